package worker

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/volume"
)

// slowOnce is a database that takes its time with the first heartbeat, and keeps the
// addresses of the last.
type slowOnce struct {
	Store
	held  chan struct{}
	addrs []string
}

func (s *slowOnce) Heartbeat(_ context.Context, _ operation.Fence, _ volume.Phase, _ string, addrs []string) error {
	if held := s.held; held != nil {
		s.held = nil
		<-held
	}
	s.addrs = addrs
	return nil
}

// at is a driver that is known to its cluster by an address.
type at struct {
	driver.Driver
	addr string
}

func (a at) Addrs() []string { return []string{a.addr} }

// A heartbeat that takes long does not take the address of a connection out of the row
// that was opened meanwhile.
func TestHeartbeatsDoNotOvertake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := make(chan struct{})
		store := &slowOnce{held: held}
		w := New(Config{Live: Live{ReportInterval: time.Hour}}, Deps{Parent: deaf{}, Log: hclog.NewNullLogger()})
		w.store, w.driver, w.fence.Epoch = store, at{addr: "10.0.0.1:0/1"}, 1
		go func() { _ = w.beat(t.Context()) }()
		synctest.Wait()
		w.neighbours.add(at{addr: "10.0.0.1:0/2"}, "volume-1")
		go func() { _ = w.beat(t.Context()) }()
		synctest.Wait()
		close(held)
		synctest.Wait()
		if want := []string{"10.0.0.1:0/1", "10.0.0.1:0/2"}; !slices.Equal(store.addrs, want) {
			t.Errorf("the row names %v, want %v", store.addrs, want)
		}
	})
}
