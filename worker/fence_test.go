package worker_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/volumed/volumed/driver"
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
	p := s.prepare()
	p.cfg.Node, p.cfg.Live.ReportInterval = s.died(), time.Hour
	f := &fencing{Driver: p.faulty, addrs: []string{"10.0.0.1:0/3", "10.0.0.1:0/4"}}
	p.deps.OpenDriver = func(context.Context) (driver.Driver, error) { return f, nil }
	p.start()
	s.until("the row names the living only", func() bool { return slices.Equal(s.row().CephAddrs, f.addrs) })
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Equal(f.fenced, addrsOfTheDead) {
		t.Errorf("fenced %v, want %v", f.fenced, addrsOfTheDead)
	}
}

// A process that is stopped before it has fenced the dead leaves that to the next one.
func TestStoppedBeforeItHasFenced(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.prepare()
	p.cfg.Node = s.died()
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
	if row := s.row(); row.Phase != volume.Stopped || !slices.Equal(row.CephAddrs, addrsOfTheDead) {
		t.Errorf("the row is %s and names %v, want %v", row.Phase, row.CephAddrs, addrsOfTheDead)
	}
}

var addrsOfTheDead = []string{"10.0.0.1:0/1", "10.0.0.1:0/2"}

// died leaves the row of a process of this service that was killed, and returns its node.
func (s *site) died() (node string) {
	s.Helper()
	dead := storetest.NewService(s.host)
	dead.Node = "this boot"
	row, _, err := s.db.TakeOver(s.Context(), dead)
	if err != nil {
		s.Fatal(err)
	}
	fence := operation.Fence{Host: s.host, Epoch: row.Epoch}
	if err := s.db.Heartbeat(s.Context(), fence, volume.Ready, "", addrsOfTheDead); err != nil {
		s.Fatal(err)
	}
	return dead.Node
}
