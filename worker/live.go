package worker

import (
	"context"
	"sync"
	"time"
)

// tuning holds the live settings.
type tuning struct {
	mu      sync.Mutex
	now     Live
	changed chan struct{} // closed at every change, and replaced
}

func newTuning(l Live) *tuning { return &tuning{now: l, changed: make(chan struct{})} }

// get returns the settings, and a channel that is closed when they change.
func (t *tuning) get() (Live, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.now, t.changed
}

func (t *tuning) set(l Live) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now = l
	close(t.changed)
	t.changed = make(chan struct{})
}

// Tune changes the live settings. They are in effect when it returns, what waits
// for an interval to end included.
func (w *Worker) Tune(l Live) {
	w.tuning.set(l)
	w.log.Info("live options taken over", "report_interval", l.ReportInterval, "service_down_time", l.ServiceDownTime,
		"backend_stats_polling_interval", l.StatsInterval, "operation_retention", l.Retention, "graceful_shutdown_timeout", l.DrainTimeout)
}

// live returns the settings as they are now.
func (w *Worker) live() Live {
	l, _ := w.tuning.get()
	return l
}

// every calls f at each interval, as the settings have it, until ctx ends; a call
// that takes longer is followed at once by the next. An interval of 0 means never.
func (w *Worker) every(ctx context.Context, interval func(Live) time.Duration, f func()) {
	for {
		live, changed := w.tuning.get()
		tick, stop := ticker(interval(live))
		for same := true; same; {
			select {
			case <-tick:
				f()
			case <-changed:
				same = false
			case <-ctx.Done():
				stop()
				return
			}
		}
		stop()
	}
}

// ticker yields at each interval until it is stopped; never, if that is 0.
func ticker(interval time.Duration) (tick <-chan time.Time, stop func()) {
	if interval <= 0 {
		return nil, func() {}
	}
	t := time.NewTicker(interval)
	return t.C, t.Stop
}
