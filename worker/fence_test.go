package worker_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/store/storetest"
	"github.com/volumed/volumed/volume"
)

// fencing is a driver that notes whom it is told to fence.
type fencing struct {
	driver.Driver
	addrs  []string
	mu     sync.Mutex
	fenced []string
}

func (f *fencing) Addrs() []string { return f.addrs }

// hanging is a driver in which calls hang, so that it does not close.
type hanging struct{ fencing }

func (h *hanging) Close() error {
	return errors.Join(h.Driver.Close(), fault.New(fault.Unavailable, "a call hangs"))
}

func (f *fencing) Fence(_ context.Context, addrs []string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fenced = append(f.fenced, addrs...)
	return nil
}

// Once the connections of the dead are fenced the row names them no more, without
// waiting for a heartbeat: the next process would fence them again, which takes the
// longer the faster processes follow each other.
func TestFencedIsForgotten(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.fences(s.died(volume.Ready))
}

// The dead of another machine are fenced also by the second that takes over from them,
// if the first has died before it has even seen the cluster.
func TestFencedBySecondSuccessor(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.died(volume.Ready)
	first := storetest.NewService(s.host)
	first.Node = "another machine"
	if _, _, err := s.db.TakeOver(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	s.fences(first.Node)
}

// What a process leaves in its driver when it stops is fenced at once, also by another machine.
func TestLeftByOneThatStopped(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.died(volume.Stopped)
	s.fences("another machine")
}

// A process of another machine that may be living is fenced by nobody yet, and not forgotten.
func TestMayBeLiving(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.died(volume.Ready)
	p, f := s.fencing("another machine")
	p.start()
	want := slices.Concat(f.addrs, volume.Elsewhere(addrsOfTheDead))
	s.until("the row names both", func() bool { return slices.Equal(s.row().CephAddrs, want) })
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fenced != nil {
		t.Errorf("fenced %v", f.fenced)
	}
}

// A process that cannot end the calls in its driver leaves its addresses to the next one.
func TestStoppedWithCallsLeft(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.prepare()
	h := &hanging{fencing{Driver: p.faulty, addrs: []string{"10.0.0.1:0/3"}}}
	p.deps.OpenDriver = func(context.Context) (driver.Driver, error) { return h, nil }
	p.start()
	if err := p.end(); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("ended with %v", err)
	}
	p.end = func() error { return nil } // that was as it should be
	if row := s.row(); row.Phase != volume.Stopped || !slices.Equal(row.CephAddrs, h.addrs) {
		t.Errorf("the row is %s and names %v, want %v", row.Phase, row.CephAddrs, h.addrs)
	}
}

// fencing prepares a process of the node that notes whom it fences.
func (s *site) fencing(node string) (*process, *fencing) {
	s.Helper()
	p := s.prepare()
	p.cfg.Node, p.cfg.Live.ReportInterval = node, time.Hour
	f := &fencing{Driver: p.faulty, addrs: []string{"10.0.0.1:0/3", "10.0.0.1:0/4"}}
	p.deps.OpenDriver = func(context.Context) (driver.Driver, error) { return f, nil }
	return p, f
}

// fences starts a process of the node, and sees that it fences the dead and nobody else.
func (s *site) fences(node string) {
	s.Helper()
	p, f := s.fencing(node)
	p.start()
	s.until("the row names the living only", func() bool { return slices.Equal(s.row().CephAddrs, f.addrs) })
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Equal(f.fenced, addrsOfTheDead) {
		s.Errorf("fenced %v, want %v", f.fenced, addrsOfTheDead)
	}
}

// A process that is stopped before it has fenced the dead leaves that to the next one.
func TestStoppedBeforeItHasFenced(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		node string
		want []string
	}{
		"on the same machine": {nodeOfTheDead, addrsOfTheDead},
		"on another machine":  {"another machine", volume.Elsewhere(addrsOfTheDead)},
	} {
		t.Run(name, func(t *testing.T) { stopsBeforeItHasFenced(t, c.node, c.want) })
	}
}

func stopsBeforeItHasFenced(t *testing.T, node string, want []string) {
	s := newSite(t)
	s.died(volume.Ready)
	p := s.prepare()
	p.cfg.Node = node
	connecting := make(chan struct{})
	p.deps.OpenDriver = func(ctx context.Context) (driver.Driver, error) {
		close(connecting)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	p.run()
	receive(t, "a process that connects", connecting)
	s.until("the service is taken over", func() bool { return s.row().Epoch == 2 })
	if err := p.end(); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if row := s.row(); row.Phase != volume.Stopped || !slices.Equal(row.CephAddrs, want) {
		t.Errorf("the row is %s and names %v, want %v", row.Phase, row.CephAddrs, want)
	}
}

const nodeOfTheDead = "this boot"

var addrsOfTheDead = []string{"10.0.0.1:0/1", "10.0.0.1:0/2"}

// died leaves the row of a process of this service that was killed in the phase, and
// returns its node.
func (s *site) died(phase volume.Phase) (node string) {
	s.Helper()
	dead := storetest.NewService(s.host)
	dead.Node = nodeOfTheDead
	row, _, err := s.db.TakeOver(s.Context(), dead)
	if err != nil {
		s.Fatal(err)
	}
	fence := operation.Fence{Host: s.host, Epoch: row.Epoch}
	if err := s.db.Heartbeat(s.Context(), fence, phase, "", addrsOfTheDead); err != nil {
		s.Fatal(err)
	}
	return dead.Node
}
