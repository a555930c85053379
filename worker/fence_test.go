package worker_test

import (
	"context"
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
	dead := storetest.NewService(s.host)
	dead.Node = "this boot"
	row, _, err := s.db.TakeOver(t.Context(), dead)
	if err != nil {
		t.Fatal(err)
	}
	fence := operation.Fence{Host: s.host, Epoch: row.Epoch}
	if err := s.db.Heartbeat(t.Context(), fence, volume.Ready, "", []string{"10.0.0.1:0/1", "10.0.0.1:0/2"}); err != nil {
		t.Fatal(err)
	}
	p := s.prepare()
	p.cfg.Node, p.cfg.Live.ReportInterval = dead.Node, time.Hour
	f := &fencing{Driver: p.faulty, addrs: []string{"10.0.0.1:0/3", "10.0.0.1:0/4"}}
	p.deps.OpenDriver = func(context.Context) (driver.Driver, error) { return f, nil }
	p.start()
	s.until("the row names the living only", func() bool { return slices.Equal(s.row().CephAddrs, f.addrs) })
	f.mu.Lock()
	defer f.mu.Unlock()
	if want := []string{"10.0.0.1:0/1", "10.0.0.1:0/2"}; !slices.Equal(f.fenced, want) {
		t.Errorf("fenced %v, want %v", f.fenced, want)
	}
}
