package worker_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// begin runs a worker that replaces another and waits until it is set up.
func (s *site) begin() *process {
	s.Helper()
	p := s.prepare()
	p.replaces = 1
	p.run()
	receive(s, "a process that is set up", p.warm)
	return p
}

// A worker is replaced under requests: none fails, none is lost, and no process
// writes beside the other.
func TestSucceed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	first := s.start()
	stop := make(chan struct{})
	var all sync.WaitGroup
	var mu sync.Mutex
	created := map[string]bool{}
	for range 8 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				got, err := s.CreateVolume(t.Context(), s.host, rpc.CreateVolumeRequest{Size: 1}, wait())
				if err != nil {
					t.Errorf("create: %v", err)
					return
				}
				mu.Lock()
				created[got.Volume.ID] = true
				mu.Unlock()
			}
		})
	}
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(created)
	}
	s.until("requests are answered", func() bool { return count() > 20 })
	second := s.begin()
	for range 20 { // half of them reach the second, which does without an engine
		if _, err := s.GetOperation(t.Context(), rpc.OperationRequest{OperationID: uuid.NewString()}); fault.KindOf(err) != fault.NotFound {
			t.Errorf("a question to one of two: %v", err)
		}
	}
	if row := s.row(); row.Epoch != 1 || row.Phase != volume.Ready {
		t.Errorf("while the first serves: epoch %d, %s", row.Epoch, row.Phase)
	}
	if err := first.end(); err != nil {
		t.Errorf("the first: %v", err)
	}
	close(second.turn)
	second.awaitPhase(t, volume.Ready)
	n := count()
	s.until("requests are answered by the second", func() bool { return count() > n+20 })
	close(stop)
	all.Wait()
	if row := s.row(); row.Epoch != 2 {
		t.Errorf("epoch %d, want 2", row.Epoch)
	}
	s.until("all operations have ended", func() bool { return len(second.worker.Vitals().Operations) == 0 })
	volumes, _, err := s.db.Volumes(t.Context(), volume.VolumeFilter{})
	if err != nil {
		t.Fatal(err)
	}
	available := 0
	for _, v := range volumes {
		if v.Status == volume.Available {
			available++
		}
	}
	if available != count() {
		t.Errorf("%d volumes for %d answers", available, count())
	}
}

// What an operation was doing when its process was replaced is done by the next.
func TestSucceedTakesUpTheWork(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	first := s.start()
	reached, release := first.faulty.Hold("CreateVolume", 1)
	defer release()
	accepted := must[rpc.VolumeReply](t)(s.CreateVolume(t.Context(), s.host, rpc.CreateVolumeRequest{Size: 1}, rpc.CallOptions{}))
	receive(t, "the create", reached)
	second := s.begin()
	first.cancel()
	first.awaitPhase(t, volume.Draining)
	release()
	if err := first.wait(); err != nil {
		t.Errorf("the first: %v", err)
	}
	close(second.turn)
	got := must[rpc.OperationReply](t)(s.WaitOperation(t.Context(), s.host, rpc.OperationRequest{OperationID: accepted.Operation.ID}, wait())).Operation
	if got.Status != volume.Succeeded {
		t.Errorf("operation %s", got.Status)
	}
}

// A worker whose turn does not come refuses what it has held, so that its caller
// asks another.
func TestHeldRequestIsRefusedAtTheEnd(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.begin()
	caller := s.connection()
	inbox := caller.NewInbox()
	answers := must[*nats.Subscription](t)(caller.SubscribeSync(inbox))
	if err := caller.PublishMsg(&nats.Msg{
		Subject: rpc.ServiceSubject(s.host, rpc.MethodCreateVolume), Reply: inbox, Data: []byte(`{"size": 1}`),
		Header: nats.Header{rpc.HeaderProject: {"p1"}},
	}); err != nil {
		t.Fatal(err)
	}
	if err := caller.Flush(); err != nil { // the server has passed it on
		t.Fatal(err)
	}
	p.cancel()
	answer := must[*nats.Msg](t)(answers.NextMsg(patience))
	if got := answer.Header.Get("Nats-Service-Error-Code"); got != "503" {
		t.Errorf("answer %s: %v", answer.Data, answer.Header)
	}
	if s.row().Epoch != 0 {
		t.Error("the service was taken over without a turn")
	}
	_ = p.end()
}

// Live options take effect at once, also the interval that is just being waited
// for.
func TestTune(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.prepare()
	p.cfg.Live.ReportInterval = 0 // none: the row is written when something changes
	p.start()
	before := s.row().ReportCount
	p.worker.Tune(p.cfg.Live)
	s.until("the change itself is a heartbeat", func() bool { return s.row().ReportCount > before })
	live := p.cfg.Live
	live.ReportInterval = 10 * time.Millisecond
	p.worker.Tune(live)
	s.beats(5)
}

// A worker shows that it lives before it can serve: whoever watches it must not take
// a cluster that is away for a process that hangs.
func TestBeatsBeforeReady(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.prepare()
	p.deps.OpenDriver = func(context.Context) (driver.Driver, error) { return nil, fault.New(fault.Unavailable, "no cluster") }
	p.run()
	p.awaitPhase(t, volume.Degraded)
	s.until("it shows that it lives", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.beats > 0
	})
}
