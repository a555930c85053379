package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/testenv"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// What an operation that is held up promises, with half as much again for the
// machine of a test.
const (
	toldWithin = 5 * time.Second * 3 / 2  // waiting, and why
	doneWithin = 10 * time.Second * 3 / 2 // after the end of the fault
	// faultLasts is longer than the 10 s after which calls over the control
	// connection give up.
	faultLasts = 12 * time.Second
)

// faulty is a service with a backend on a cluster of its own, whose daemons the
// test stops, and a healthy one on another cluster.
type faulty struct {
	*service
	pid    int // of the worker on the faulty cluster
	source volume.Volume
}

func newFaulty(t *testing.T) *faulty {
	own := testenv.OwnCeph(t)
	shared := testenv.Ceph(t)
	s := newService(t, options{pools: []string{"volumes", shared.NewPool(t)}, defaults: "report_interval = 1\nservice_down_time = 10\n"})
	s.onCluster(0, own)
	s.start()
	s.ready()
	f := &faulty{service: s, pid: s.worker(0), source: s.createVolume(rpc.CreateVolumeRequest{Size: 1})}
	f.write(f.source.ID)
	return f
}

// onCluster points one backend to another cluster, which commands of the test use, too.
func (s *service) onCluster(i int, ceph *testenv.CephEnv) {
	s.t.Helper()
	text, err := os.ReadFile(s.conf)
	if err != nil {
		s.t.Fatal(err)
	}
	before, section, _ := strings.Cut(string(text), fmt.Sprintf("[rbd%d]\n", i))
	section = strings.Replace(section, s.ceph.Conf, ceph.Conf, 1)
	if err := os.WriteFile(s.conf, []byte(before+fmt.Sprintf("[rbd%d]\n", i)+section), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.ceph = ceph
}

// pending is an operation, and since when it can be stuck.
type pending struct {
	id, what string
	at       time.Time
}

// ask sends a request without waiting for the end of its operation.
func (f *faulty) ask(what string, send func(rpc.CallOptions) (*volume.Operation, error)) pending {
	f.t.Helper()
	a := pending{what: what, at: time.Now()}
	op, err := send(rpc.CallOptions{})
	if err != nil {
		f.t.Fatalf("%s: %v", what, err)
	}
	a.id = op.ID
	return a
}

func (f *faulty) create(req rpc.CreateVolumeRequest) pending {
	f.t.Helper()
	return f.ask("create", func(o rpc.CallOptions) (*volume.Operation, error) {
		r, err := f.client.CreateVolume(f.t.Context(), f.backend(0), req, o)
		return r.Operation, err
	})
}

func (f *faulty) flattenOf(id string) pending {
	f.t.Helper()
	return f.ask("flatten", func(o rpc.CallOptions) (*volume.Operation, error) {
		r, err := f.client.FlattenVolume(f.t.Context(), f.backend(0), rpc.FlattenVolumeRequest{VolumeID: id}, o)
		return r.Operation, err
	})
}

func (f *faulty) remove(id string) pending {
	f.t.Helper()
	return f.ask("delete", func(o rpc.CallOptions) (*volume.Operation, error) {
		r, err := f.client.DeleteVolume(f.t.Context(), f.backend(0), rpc.DeleteVolumeRequest{VolumeID: id}, o)
		return r.Operation, err
	})
}

func (f *faulty) extend(id string) pending {
	f.t.Helper()
	return f.ask("extend", func(o rpc.CallOptions) (*volume.Operation, error) {
		r, err := f.client.ExtendVolume(f.t.Context(), f.backend(0), rpc.ExtendVolumeRequest{VolumeID: id, NewSize: 2}, o)
		return r.Operation, err
	})
}

func (f *faulty) snapshotOf(id string) pending {
	f.t.Helper()
	return f.ask("snapshot", func(o rpc.CallOptions) (*volume.Operation, error) {
		r, err := f.client.CreateSnapshot(f.t.Context(), f.backend(0), rpc.CreateSnapshotRequest{VolumeID: id}, o)
		return r.Operation, err
	})
}

// operation returns the operation as it is in its row.
func (f *faulty) operation(id string) (op volume.Operation) {
	f.t.Helper()
	f.eventually("the operation is told", func() error { // between two processes nobody tells
		r, err := f.client.GetOperation(f.t.Context(), rpc.OperationRequest{OperationID: id})
		op = r.Operation
		return err
	})
	return op
}

// held waits until every operation is waiting and says why, in the words.
func (f *faulty) held(words string, all []pending) {
	f.t.Helper()
	var most time.Duration
	for _, a := range all {
		f.eventually(a.what+" says why it is stuck", func() error {
			op := f.operation(a.id)
			if op.Status != volume.Waiting || !strings.Contains(op.Reason, words) || op.NextTry.IsZero() {
				return fmt.Errorf("%s, %q, next try %s", op.Status, op.Reason, op.NextTry)
			}
			return nil
		})
		most = max(most, time.Since(a.at))
	}
	f.t.Logf("%d operations were waiting, and said why, within %s", len(all), most.Round(10*time.Millisecond))
	if most > toldWithin {
		f.t.Errorf("that took %s", most)
	}
}

// done waits until every operation has succeeded.
func (f *faulty) done(all []pending) {
	f.t.Helper()
	ended := time.Now()
	for _, a := range all {
		f.eventually(a.what+" has ended", func() error {
			if op := f.operation(a.id); !op.Status.Terminal() {
				return fmt.Errorf("%s, %q", op.Status, op.Reason)
			}
			return nil
		})
		if op := f.operation(a.id); op.Status != volume.Succeeded {
			f.t.Errorf("%s %s: %+v", a.what, op.Status, op.Error)
		}
	}
	took := time.Since(ended)
	f.t.Logf("all %d had ended %s after the fault", len(all), took.Round(10*time.Millisecond))
	if took > doneWithin {
		f.t.Errorf("that took %s", took)
	}
}

// responsive checks that the worker answers whoever asks it, and what it says of
// itself. The operation is one that can be cancelled.
func (f *faulty) responsive(words string, late func() pending) {
	t := f.t
	t.Helper()
	begun := time.Now()
	r, err := f.client.GetCapabilities(t.Context(), f.backend(0), rpc.CapabilitiesRequest{})
	if err != nil || r.Capabilities.BackendState != volume.Down || !strings.Contains(r.Capabilities.Reason, words) {
		t.Errorf("capabilities: %s, %q, %v", r.Capabilities.BackendState, r.Capabilities.Reason, err)
	}
	if s := f.row(0); s.State != volume.Up || s.Phase != volume.Degraded || !strings.Contains(s.Reason, words) {
		t.Errorf("service is %s, %s, %q", s.State, s.Phase, s.Reason)
	}
	op := rpc.OperationRequest{OperationID: late().id}
	if _, err := f.client.WaitOperation(t.Context(), f.backend(0), op, rpc.CallOptions{}); err != nil {
		t.Errorf("wait: %v", err)
	}
	if _, err := f.client.CancelOperation(t.Context(), f.backend(0), op, rpc.CallOptions{}); err != nil {
		t.Errorf("cancel: %v", err)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("five answers took %s", took)
	}
}

// during runs the fault for a while, beside a healthy backend, which goes on
// serving; the worker's process and its heartbeats outlive it.
func (f *faulty) during(lasts time.Duration, begin, end func(), check func()) {
	t := f.t
	t.Helper()
	longest := f.heartbeats()
	over := time.After(lasts)
	begin()
	stop, served := make(chan struct{}), make(chan error, 1)
	var creates atomic.Int64
	go func() { served <- f.healthy(stop, &creates) }()
	ended := false
	defer func() {
		if !ended {
			end()
		}
	}()
	check()
	<-over
	close(stop)
	if err := <-served; err != nil {
		t.Errorf("the healthy backend: %v", err)
	}
	if creates.Load() == 0 {
		t.Error("the healthy backend did nothing meanwhile")
	}
	if gap := longest(); gap > 3*time.Second {
		t.Errorf("longest gap between heartbeats is %s at an interval of 1 s", gap)
	}
	end()
	ended = true
}

// healthy has the other backend create volumes until stop is closed.
func (f *faulty) healthy(stop <-chan struct{}, creates *atomic.Int64) error {
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		ctx, cancel := context.WithTimeout(f.t.Context(), 10*time.Second)
		_, err := f.client.CreateVolume(ctx, f.backend(1), rpc.CreateVolumeRequest{Size: 1}, wait)
		if err == nil {
			_, err = f.client.GetCapabilities(ctx, f.backend(1), rpc.CapabilitiesRequest{})
		}
		cancel()
		if err != nil {
			return err
		}
		creates.Add(1)
	}
}

// settled checks that nothing is left of the fault.
func (f *faulty) settled() {
	f.t.Helper()
	f.eventually("the service is ready again", func() error {
		page, err := f.client.ListServices(f.t.Context(), rpc.ListServicesRequest{Host: f.backend(0)})
		if err == nil && page.Services[0].Phase != volume.Ready {
			err = fmt.Errorf("%s: %s", page.Services[0].Phase, page.Services[0].Reason)
		}
		return err
	})
	if pid := f.worker(0); pid != f.pid {
		f.t.Errorf("the worker is another process: %d, then %d", f.pid, pid)
	}
	f.quiet()
}

// A cluster that stops to answer, by its OSD or its monitor, that hangs or is down:
// every operation that it holds up says so, the service answers, the other backend
// serves, and when the cluster is back all ends by itself.
func TestClusterAway(t *testing.T) {
	t.Parallel()
	f := newFaulty(t)
	ceph := f.ceph
	another := func() pending { return f.create(rpc.CreateVolumeRequest{Size: 1}) }
	signal := func(daemon string, sig syscall.Signal) func() { return func() { ceph.Signal(t, daemon, sig) } }

	t.Run("OSD hangs", func(t *testing.T) {
		victims := make([]string, 3)
		for i := range victims {
			victims[i] = f.createVolume(rpc.CreateVolumeRequest{Size: 1}).ID
		}
		flatten := f.flattenInProgress()
		all := []pending{flatten}
		f.during(faultLasts, signal("osd", syscall.SIGSTOP), signal("osd", syscall.SIGCONT), func() {
			all[0].at = time.Now()
			for range 30 { // more than there are slots
				all = append(all, f.create(rpc.CreateVolumeRequest{Size: 1}))
			}
			all = append(all, f.create(rpc.CreateVolumeRequest{SourceVolID: f.source.ID}), f.remove(victims[0]), f.extend(victims[1]), f.snapshotOf(victims[2]))
			f.held("OSDs", all)
			f.responsive("OSDs", another)
		})
		f.done(all)
		f.settled()
	})
	t.Run("OSD is down", func(t *testing.T) {
		var all []pending
		f.during(faultLasts/2, func() {
			ceph.Ceph(t, "osd", "set", "noup")
			ceph.Ceph(t, "osd", "down", "0")
		}, func() { ceph.Ceph(t, "osd", "unset", "noup") }, func() {
			all = append(all, f.stuck("OSDs"), f.extend(f.source.ID))
			f.held("OSDs", all)
			f.responsive("OSDs", another)
		})
		f.done(all)
		f.settled()
	})
	t.Run("monitor hangs", func(t *testing.T) {
		var all []pending
		f.during(faultLasts, signal("mon", syscall.SIGSTOP), signal("mon", syscall.SIGCONT), func() {
			f.createVolume(rpc.CreateVolumeRequest{Size: 1}) // needs no monitor
			all = append(all, f.snapshotOf(f.source.ID), f.create(rpc.CreateVolumeRequest{SourceVolID: f.source.ID}))
			f.held("monitors", all)
			f.responsive("monitors", func() pending { return f.snapshotOf(f.source.ID) })
		})
		f.done(all)
		f.settled()
	})
	if failed := f.unhappy(); len(failed) > 0 {
		t.Errorf("operations that did not succeed: %v", failed)
	}
}

// unhappy returns the operations of the faulty backend that ended badly.
func (f *faulty) unhappy() (found []string) {
	f.t.Helper()
	page, err := f.client.ListOperations(f.t.Context(), rpc.ListOperationsRequest{Backend: f.backend(0), Status: volume.Failed})
	if err != nil {
		f.t.Fatal(err)
	}
	for _, op := range page.Operations {
		found = append(found, fmt.Sprintf("%s: %s", op.Method, op.Error.Message))
	}
	return found
}

// stuck returns a create that is waiting, for the words: the first one after the
// cluster has heard of its fault.
func (f *faulty) stuck(words string) (a pending) {
	f.t.Helper()
	f.eventually("a create is stuck", func() error {
		var op volume.Operation
		if a.id != "" {
			op = f.operation(a.id)
		}
		if a.id == "" || op.Status.Terminal() {
			a = f.create(rpc.CreateVolumeRequest{Size: 1})
		}
		if op.Status != volume.Waiting || !strings.Contains(op.Reason, words) {
			return fmt.Errorf("it is %s, %q", op.Status, op.Reason)
		}
		return nil
	})
	return a
}

// flattenInProgress returns a flatten that has begun to copy.
func (f *faulty) flattenInProgress() pending {
	f.t.Helper()
	clone := f.createVolume(rpc.CreateVolumeRequest{SourceVolID: f.source.ID})
	a := f.flattenOf(clone.ID)
	for op := range f.client.Watch(f.t.Context(), a.id) {
		if op.Progress > 0 {
			break
		}
	}
	return a
}

// A client that the cluster has blocklisted never serves again: the worker is
// replaced by a fresh process at once, which ends all that was begun.
func TestBlocklisted(t *testing.T) {
	t.Parallel()
	s := started(t, options{defaults: "report_interval = 1\n"})
	f := &faulty{service: s, pid: s.worker(0)}
	for name, pick := range map[string]func(addrs []string) []string{
		"both connections": func(addrs []string) []string { return addrs },
		"data connection":  func(addrs []string) []string { return addrs[1:] },
	} {
		t.Run(name, func(t *testing.T) {
			source := f.createVolume(rpc.CreateVolumeRequest{Size: 1})
			f.write(source.ID)
			before := f.worker(0)
			addrs := f.row(0).CephAddrs
			if len(addrs) != 2 {
				t.Fatalf("addresses: %v", addrs)
			}
			victim := f.createVolume(rpc.CreateVolumeRequest{Size: 1})
			all := []pending{f.create(rpc.CreateVolumeRequest{SourceVolID: source.ID})}
			for range 20 {
				all = append(all, f.create(rpc.CreateVolumeRequest{Size: 1}))
			}
			for _, addr := range pick(addrs) {
				f.ceph.Ceph(t, "osd", "blocklist", "add", addr)
			}
			all = append(all, f.remove(victim.ID))
			f.eventually("another process serves", func() error {
				if f.worker(0) == before {
					return errors.New("the same")
				}
				return nil
			})
			f.done(all)
			f.quiet()
			f.audit()
		})
	}
	log := s.log.String()
	if n := strings.Count(log, "child is replaced"); n != 2 {
		t.Errorf("%d replacements in the log, want 2", n)
	}
	if strings.Contains(log, "child died") {
		t.Error("a replacement is taken for a death")
	}
}

// A pool at its quota: what needs space fails at once and says so, what frees it
// works, and nothing is stuck.
func TestPoolOverQuota(t *testing.T) {
	t.Parallel()
	s := started(t, options{defaults: "report_interval = 1\n"})
	f := &faulty{service: s, pid: s.worker(0)}
	source := f.createVolume(rpc.CreateVolumeRequest{Size: 1})
	f.write(source.ID)
	clone := f.createVolume(rpc.CreateVolumeRequest{SourceVolID: source.ID})
	f.ceph.Ceph(t, "osd", "pool", "set-quota", f.pools[0], "max_objects", "1")
	f.whileFull(t, source, clone, func() { f.ceph.Ceph(t, "osd", "pool", "set-quota", f.pools[0], "max_objects", "0") })
}

// A cluster whose OSDs are full is the same.
func TestClusterFull(t *testing.T) {
	t.Parallel()
	f := newFaulty(t)
	clone := f.createVolume(rpc.CreateVolumeRequest{SourceVolID: f.source.ID})
	ratios := func(full string) {
		for _, which := range []string{"nearfull", "backfillfull", "full"} {
			f.ceph.Ceph(t, "osd", "set-"+which+"-ratio", full)
		}
	}
	ratios("0.001")
	f.whileFull(t, f.source, clone, func() { ratios("0.95") })
}

// whileFull checks what happens in a full pool, and after its end.
func (f *faulty) whileFull(t *testing.T, source, clone volume.Volume, end func()) {
	t.Helper()
	f.eventually("the pool is full", func() error {
		begun := time.Now()
		_, err := f.client.CreateVolume(t.Context(), f.backend(0), rpc.CreateVolumeRequest{Size: 1}, wait)
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("the answer took %s", took)
		}
		if !errors.Is(err, fault.Exhausted) {
			return fmt.Errorf("the create ended by %w", err)
		}
		return nil
	})
	begun := time.Now()
	_, err := f.client.FlattenVolume(t.Context(), f.backend(0), rpc.FlattenVolumeRequest{VolumeID: clone.ID}, wait)
	if !errors.Is(err, fault.Exhausted) {
		t.Errorf("a flatten in a full pool: %v", err)
	}
	t.Logf("flatten: %v", err)
	_, err = f.client.CreateSnapshot(t.Context(), f.backend(0), rpc.CreateSnapshotRequest{VolumeID: source.ID}, wait)
	t.Logf("snapshot: %v", err)
	_, err = f.client.ExtendVolume(t.Context(), f.backend(0), rpc.ExtendVolumeRequest{VolumeID: clone.ID, NewSize: 2}, wait)
	t.Logf("extend: %v", err)
	f.deleteVolume(clone.ID) // one can delete one's way out
	f.quiet()
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("a flatten, a snapshot, an extend and a delete took %s", took)
	}
	end()
	f.eventually("the pool takes data again", func() error {
		_, err := f.client.CreateVolume(t.Context(), f.backend(0), rpc.CreateVolumeRequest{Size: 1}, wait)
		return err
	})
	f.settled()
	if slices.Contains(f.images(0), "volume-"+clone.ID) {
		t.Error("the deleted volume is still there")
	}
}
