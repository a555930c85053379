package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
	"github.com/volumed/volumed/worker"
)

// beats waits until the row was written n more times.
func (s *site) beats(n int64) {
	s.Helper()
	from := s.row().ReportCount
	s.until("heartbeats", func() bool { return s.row().ReportCount >= from+n })
}

// A process that is stopped ends what runs, and goes on living meanwhile; its
// successor runs what is left.
func TestDrain(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start()
	source := s.create(rpc.CreateVolumeRequest{Size: 1})
	s.clone(source)
	s.remove(source) // its purge waits
	reached, release := p.faulty.Hold("CreateVolume", 2)
	defer release()
	waiter := s.connection()
	inbox := waiter.NewInbox()
	answer := must[*nats.Subscription](t)(waiter.SubscribeSync(inbox))
	if err := waiter.PublishMsg(&nats.Msg{
		Subject: rpc.ServiceSubject(s.host, rpc.MethodCreateVolume), Reply: inbox, Data: []byte(`{"size": 1}`),
		Header: nats.Header{rpc.HeaderProject: {"p1"}, rpc.HeaderWait: {"10m"}},
	}); err != nil {
		t.Fatal(err)
	}
	receive(t, "the create", reached)
	p.cancel()
	p.awaitPhase(t, volume.Draining)
	var held rpc.VolumeReply // whoever waits is answered with what there is
	if err := json.Unmarshal(must[*nats.Msg](t)(answer.NextMsg(patience)).Data, &held); err != nil {
		t.Fatal(err)
	}
	if held.Operation.Status.Terminal() {
		t.Errorf("answered as %s", held.Operation.Status)
	}
	s.until("nobody takes requests", func() bool {
		_, err := s.CreateVolume(t.Context(), s.host, rpc.CreateVolumeRequest{Size: 1}, wait())
		return fault.KindOf(err) == fault.Unavailable
	})
	s.beats(3)
	if row := s.row(); row.Phase != volume.Draining {
		t.Errorf("the row says %s", row.Phase)
	}
	release()
	if err := p.end(); err != nil {
		t.Error(err)
	}
	if row := s.row(); row.Phase != volume.Stopped || len(row.CephAddrs) != 0 {
		t.Errorf("the row says %s, addresses %v", row.Phase, row.CephAddrs)
	}
	if got := s.status(held.Volume.ID); got != volume.Available {
		t.Errorf("the volume is %s", got)
	}
	s.start()
	s.purge(source.ID, volume.Waiting)
	s.audit()
}

// A leader that waits for clones which are left to the next process is left, too.
func TestDrainWithClonesThatWait(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.prepare()
	p.cfg.Live.DrainTimeout = 0 // no limit
	p.start()
	source := s.create(rpc.CreateVolumeRequest{Size: 1})
	reached, release := p.faulty.Hold("CreateSnapshot", 1)
	defer release()
	ops := s.clones(source, 3)
	receive(t, "the snapshot", reached)
	leader := s.leader(p, ops)
	led := must[volume.Operation](t)(s.db.Operation(t.Context(), leader)).Resource.ID
	p.recorder.refuse(func(v volume.Spec) error {
		if strings.HasSuffix(v.Name, led) {
			return nil
		}
		return fault.New(fault.Unavailable, "no answer")
	})
	release()
	s.until("the others wait", func() bool {
		return len(s.operations(volume.OperationFilter{Status: volume.Waiting})) == len(ops)-1 && s.world.Size("volume-"+led) > 0
	})
	ended := make(chan error, 1)
	go func() { ended <- p.end() }()
	if err := receive(t, "the end of the drain", ended); err != nil {
		t.Error(err)
	}
	s.start()
	for _, op := range ops {
		s.want(op.ID, volume.Succeeded)
	}
	s.audit()
}

// A check of the backend that hangs delays neither the drain nor heartbeats.
func TestDrainWhileACheckHangs(t *testing.T) {
	for _, check := range []string{"Ping", "Stats"} {
		t.Run(check, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			p := s.prepare()
			reached, release := p.faulty.Hold(check, 1)
			defer release()
			p.start()
			receive(t, "the check", reached)
			p.cancel()
			p.awaitPhase(t, volume.Draining)
			s.until("nobody answers", func() bool {
				_, err := s.ListVolumes(t.Context(), rpc.ListVolumesRequest{})
				return fault.KindOf(err) == fault.Unavailable
			})
			s.beats(3)
			release()
			if err := p.end(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A process whose service was taken over learns it by its next heartbeat.
func TestFenced(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	first := s.start()
	reached, release := first.faulty.Hold("CreateVolume", 1)
	defer release()
	held := must[rpc.VolumeReply](t)(s.CreateVolume(t.Context(), s.host, rpc.CreateVolumeRequest{Size: 1}, rpc.CallOptions{}))
	receive(t, "the create", reached)
	s.start()
	s.want(held.Operation.ID, volume.Succeeded)
	first.awaitPhase(t, volume.Draining)
	release()
	if err := first.end(); !errors.Is(err, operation.ErrFenced) || fault.KindOf(err) != fault.Conflict {
		t.Errorf("the first ended with %v", err)
	}
	s.onlySuccesses()
	if row := s.row(); row.Epoch != 2 || row.Phase != volume.Ready {
		t.Errorf("the row says %s of epoch %d", row.Phase, row.Epoch)
	}
	s.audit()
}

// A process that does not know yet that its service was taken over takes nothing
// back from its successor.
func TestFencedUndoesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	first := s.prepare()
	first.cfg.Live.ReportInterval = time.Hour
	first.start()
	source := s.create(rpc.CreateVolumeRequest{Size: 1})
	first.faulty.FailBefore("CreateVolumeFromSnapshot", 1, fault.New(fault.Internal, "broken"))
	reached, release := first.faulty.Hold("CreateVolumeFromSnapshot", 1)
	defer release()
	clone := s.clones(source, 1)[0]
	receive(t, "the clone", reached)
	s.start()
	s.until("the successor has made it", func() bool {
		return must[volume.Operation](t)(s.db.Operation(t.Context(), clone.ID)).Status == volume.Succeeded
	})
	release() // now it fails, and would remove what it made
	first.awaitPhase(t, volume.Draining)
	if err := first.end(); !errors.Is(err, operation.ErrFenced) {
		t.Errorf("the first ended with %v", err)
	}
	s.onlySuccesses()
	s.audit()
}

// gaps measures the time between the heartbeats of a process.
type gaps struct {
	worker.Store
	mu      sync.Mutex
	last    time.Time
	longest time.Duration
	n       int
}

func (g *gaps) Heartbeat(ctx context.Context, f operation.Fence, phase volume.Phase, reason string, addrs []string) error {
	err := g.Store.Heartbeat(ctx, f, phase, reason, addrs)
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	if !g.last.IsZero() {
		g.longest = max(g.longest, now.Sub(g.last))
	}
	g.last = now
	g.n++
	return err
}

func (g *gaps) seen() (int, time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.n, g.longest
}

// Heartbeats come on time while every slot of a lane hangs in the backend.
func TestHeartbeatsWhileTheBackendHangs(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.prepare()
	beats := &gaps{}
	open := p.deps.OpenStore
	p.deps.OpenStore = func(ctx context.Context) (worker.Store, error) {
		db, err := open(ctx)
		beats.Store = db
		return beats, err
	}
	var all []<-chan struct{}
	for n := 1; n <= 20; n++ {
		reached, release := p.faulty.Hold("CreateVolume", n)
		defer release()
		all = append(all, reached)
	}
	p.start()
	for range all {
		must[rpc.VolumeReply](t)(s.CreateVolume(t.Context(), s.host, rpc.CreateVolumeRequest{Size: 1}, rpc.CallOptions{}))
	}
	for _, reached := range all {
		receive(t, "a create", reached)
	}
	s.beats(10)
	if n, longest := beats.seen(); n < 10 || longest > 5*p.cfg.Live.ReportInterval {
		t.Errorf("%d heartbeats, once %s apart", n, longest)
	}
	// Other lanes work, and so do reads.
	must[rpc.VolumesReply](t)(s.ListVolumes(t.Context(), rpc.ListVolumesRequest{}))
}
