package worker_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
	"github.com/volumed/volumed/worker"
)

// When the time to drain is over, the alarm is given while what is unfinished can
// still be seen.
func TestAlarmAtTheEndOfTheDrain(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.prepare()
	p.cfg.Live.DrainTimeout = 100 * time.Millisecond
	alarms := make(chan string, 10)
	var seen worker.Vitals
	p.deps.Alarm = func(what string, v worker.Vitals, _ worker.Details) {
		seen = v
		alarms <- what
	}
	p.start()
	reached, release := p.faulty.Hold("CreateVolume", 1)
	accepted, err := s.CreateVolume(t.Context(), s.host, rpc.CreateVolumeRequest{Size: 1}, rpc.CallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	receive(t, "the create", reached)
	p.cancel()
	if what := <-alarms; what != "drain deadline exceeded" {
		t.Errorf("alarm: %s", what)
	}
	release()
	if err := p.wait(); err == nil {
		t.Error("the drain was cut off, and nobody is told")
	}
	p.wait = func() error { return nil } // said
	if len(seen.Operations) != 1 || seen.Operations[0].ID != accepted.Operation.ID || seen.Phase != volume.Draining {
		t.Errorf("seen %+v", seen)
	}
}

// A worker whose heartbeats are late gives the alarm once each time.
func TestAlarmAboutLateHeartbeats(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.prepare()
	p.cfg.Live.ReportInterval = 300 * time.Millisecond
	var away atomic.Bool
	open := p.deps.OpenStore
	p.deps.OpenStore = func(ctx context.Context) (worker.Store, error) {
		store, err := open(ctx)
		return forgetful{store, &away}, err
	}
	alarms := make(chan string, 10)
	p.deps.Alarm = func(what string, _ worker.Vitals, _ worker.Details) { alarms <- what }
	p.start()
	for range 2 {
		away.Store(true)
		if what := <-alarms; what != "heartbeat is late" {
			t.Errorf("alarm: %s", what)
		}
		away.Store(false)
		s.until("heartbeats are written", func() bool { return time.Since(p.worker.Vitals().Heartbeat) < 2*p.cfg.Live.ReportInterval })
		s.beats(3)
	}
	if err := p.end(); err != nil {
		t.Error(err)
	}
	if len(alarms) > 0 {
		t.Errorf("further alarm: %s", <-alarms)
	}
}

// forgetful is a store that does not take heartbeats while it is away.
type forgetful struct {
	worker.Store
	away *atomic.Bool
}

func (f forgetful) Heartbeat(ctx context.Context, fence operation.Fence, phase volume.Phase, reason string, addrs []string) error {
	if f.away.Load() {
		return fault.New(fault.Unavailable, "away")
	}
	return f.Store.Heartbeat(ctx, fence, phase, reason, addrs)
}
