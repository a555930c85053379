package worker

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/volume"
)

// moody is a database that refuses every heartbeat, never twice with the same words.
type moody struct {
	Store
	asked int
}

func (m *moody) Heartbeat(context.Context, operation.Fence, volume.Phase, string, []string) error {
	m.asked++
	return fault.New(fault.Unavailable, "connection %d refused", m.asked)
}

// deaf is a parent that does not listen.
type deaf struct{ Parent }

func (deaf) Phase(volume.Phase, string) {}

// A database that is away is asked once an interval, whatever it answers.
func TestHeartbeatsDoNotStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &moody{}
		w := New(Config{Live: Live{ReportInterval: time.Second}}, Deps{Parent: deaf{}, Log: hclog.NewNullLogger()})
		w.store, w.fence.Epoch = store, 1
		ctx, cancel := context.WithTimeout(t.Context(), 10500*time.Millisecond)
		defer cancel()
		w.heartbeats(ctx)
		if store.asked < 10 || store.asked > 12 {
			t.Errorf("asked %d times in ten intervals", store.asked)
		}
		if phase, reason := w.health.now(); phase != volume.Degraded || reason == "" {
			t.Errorf("%s: %q", phase, reason)
		}
	})
}
