package worker

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/volumed/volumed/operation"
)

// heartbeats writes the heartbeat at every report interval, and at once when
// the health changes, until ctx ends or another process has taken over; sooner
// again while the database does not take it. It shares nothing with work: no slot,
// no lane, no lock.
func (w *Worker) heartbeats(ctx context.Context) {
	tick := time.NewTicker(w.cfg.ReportInterval)
	defer tick.Stop()
	missed := false
	for {
		select {
		case <-tick.C:
		case <-w.health.changed:
		case <-ctx.Done():
			return
		}
		err := w.beat(ctx)
		if errors.Is(err, operation.ErrFenced) {
			w.overtaken(err)
			return
		}
		if was := missed; was != (err != nil) {
			missed = !was
			tick.Reset(w.beatInterval(missed))
		}
	}
}

// beatWithin is how soon a heartbeat is written, and how soon after one that was
// not the next is tried.
const beatWithin = 3 * time.Second

func (w *Worker) beatInterval(missed bool) time.Duration {
	if missed {
		return min(w.cfg.ReportInterval, beatWithin)
	}
	return w.cfg.ReportInterval
}

// beat writes one heartbeat, in less than a report interval or not at all.
func (w *Worker) beat(ctx context.Context) error {
	if w.fence.Epoch == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, w.beatInterval(true))
	defer cancel()
	phase, reason := w.health.now()
	var addrs []string
	if w.driver != nil {
		addrs = slices.Concat(w.driver.Addrs(), w.unfenced())
	}
	err := w.store.Heartbeat(ctx, w.fence, phase, reason, addrs)
	w.pulse.note(err)
	switch {
	case err == nil:
		w.health.set("database", "")
	case !errors.Is(err, operation.ErrFenced) && !errors.Is(ctx.Err(), context.Canceled):
		w.health.set("database", err.Error())
	}
	return err
}

// watchBus notes when the connection to the bus is lost and found.
func (w *Worker) watchBus(ctx context.Context) {
	for {
		w.health.set("bus", waitingForBus(w.conn))
		select {
		case <-w.conn.Changes():
		case <-ctx.Done():
			return
		}
	}
}

// pruneInterval is how often records of ended operations are looked through, unless
// they are kept for less.
const pruneInterval = time.Hour

// pruning removes records of ended operations after the retention. It begins at once:
// a process may not live for an interval.
func (w *Worker) pruning(ctx context.Context) {
	prune := func() {
		n, err := w.store.Prune(ctx, time.Now().Add(-w.cfg.Retention))
		if err != nil && ctx.Err() == nil {
			w.log.Warn("old operations not removed", "error", err)
		}
		if n > 0 {
			w.log.Info("old operations removed", "count", n)
		}
	}
	prune()
	every(ctx, min(pruneInterval, w.cfg.Retention), prune)
}

// watchdog tells the parent that the inner loops make progress. It passes
// through the engine, so that a wedged engine is not taken for a living one; a
// long call to the cluster holds nothing that it needs.
func (w *Worker) watchdog(ctx context.Context) {
	if w.deps.Parent.Watchdog() <= 0 {
		return
	}
	w.deps.Parent.Beat()
	every(ctx, w.deps.Parent.Watchdog()/6, func() {
		w.engine.InFlight()
		w.deps.Parent.Beat()
	})
}

// every calls f at each interval until ctx ends; a call that takes longer is
// followed at once by the next.
func every(ctx context.Context, interval time.Duration, f func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			f()
		case <-ctx.Done():
			return
		}
	}
}
