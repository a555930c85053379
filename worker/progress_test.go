package worker

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/internal/virtual"
	"github.com/volumed/volumed/operation"
)

// Heartbeats that nobody even tries to write are a reason not to beat; those that a
// database does not take are none.
func TestProgresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(Config{Live: Live{ReportInterval: 10 * time.Second}}, Deps{Parent: deaf{}, Log: hclog.NewNullLogger()})
		if !w.progresses() {
			t.Error("not while it sets itself up")
		}
		w.engine = operation.New(operation.Config{})
		close(w.opened)
		w.pulse.note(nil)
		virtual.Pass(time.Minute)
		w.pulse.note(operation.ErrFenced)
		virtual.Pass(89 * time.Second)
		if !w.progresses() {
			t.Error("not while heartbeats are tried")
		}
		virtual.Pass(time.Second)
		if w.progresses() {
			t.Error("though nobody has tried a heartbeat for a minute and three intervals")
		}
		w.Tune(Live{})
		if !w.progresses() {
			t.Error("not where there are no heartbeats")
		}
	})
}
