package worker_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/store/storetest"
	"github.com/volumed/volumed/volume"
	"github.com/volumed/volumed/worker"
)

// Of two machines with one backend_host, one serves and the other stands by; it
// takes over, with what is unfinished, when the first is gone.
func TestStandBy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	on := func(node string) *process {
		p := s.prepare()
		p.cfg.Node, p.cfg.SharedDatabase = node, true
		return p
	}
	first := on("a").start()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	second := on("b").run()
	if reason := second.awaitPhase(t, volume.Degraded); !strings.Contains(reason, "another machine serves it") {
		t.Errorf("reason %q", reason)
	}
	if r := s.row(); r.Epoch != 1 || r.Node != "a" {
		t.Errorf("the service was taken from the machine that serves it: %+v", r)
	}
	if err := first.end(); err != nil {
		t.Error(err)
	}
	second.awaitPhase(t, volume.Ready)
	if r := s.row(); r.Epoch != 2 || r.Node != "b" {
		t.Errorf("after the change: %+v", r)
	}
	s.remove(v)
	s.audit()
}

// looks counts how often a process looks who serves.
type looks struct {
	worker.Store
	n atomic.Int64
}

func (l *looks) Services(ctx context.Context, f volume.ServiceFilter) ([]volume.ServiceState, string, error) {
	l.n.Add(1)
	return l.Store.Services(ctx, f)
}

// A machine that stands by does not take the service between two processes of the one
// that serves it.
func TestStandByDuringAHandOver(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	on := func(node string) *process {
		p := s.prepare()
		p.cfg.Node, p.cfg.SharedDatabase = node, true
		return p
	}
	first := on("a").start()
	next := on("a")
	next.replaces = 1
	next.run()
	receive(t, "a process that is set up", next.warm)
	standby := on("b")
	standby.cfg.Live.ServiceDownTime = patience
	looks := &looks{}
	open := standby.deps.OpenStore
	standby.deps.OpenStore = func(ctx context.Context) (worker.Store, error) {
		db, err := open(ctx)
		looks.Store = db
		return looks, err
	}
	standby.run().awaitPhase(t, volume.Degraded)
	first.handed.Store(true)
	if err := first.end(); err != nil {
		t.Error(err)
	}
	if r := s.row(); r.Phase == volume.Stopped || len(r.CephAddrs) > 0 {
		t.Errorf("between the two: %+v", r)
	}
	n := looks.n.Load()
	s.until("the one that stands by has looked", func() bool { return looks.n.Load() > n+1 })
	close(next.turn)
	next.awaitPhase(t, volume.Ready)
	if r := s.row(); r.Epoch != 2 || r.Node != "a" {
		t.Errorf("after the hand-over: %+v", r)
	}
}

// A worker with another database does not answer for volumes that it cannot see.
func TestOtherDatabaseOnTheBus(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	first := s.start()
	stranger := s.prepare()
	s.url = storetest.SQLite(t)
	storetest.Open(t, s.url)
	stranger.cfg.Host = "node1@mem1"
	stranger.run()
	if reason := stranger.awaitPhase(t, volume.Degraded); !strings.Contains(reason, "uses the database") || !strings.Contains(reason, s.host) {
		t.Errorf("reason %q", reason)
	}
	if err := first.end(); err != nil {
		t.Error(err)
	}
	stranger.awaitPhase(t, volume.Ready)
}
