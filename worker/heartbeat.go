package worker

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/operation"
)

// heartbeats writes the heartbeat at every report interval, and at once when
// the health changes, until ctx ends or another process has taken over; sooner
// again while the database does not take it. It shares nothing with work: no slot,
// no lane, no lock.
func (w *Worker) heartbeats(ctx context.Context) {
	last, missed := time.Now(), false
	for {
		live, changed := w.tuning.get()
		due, stop := until(last, beatInterval(live, missed))
		select {
		case <-due:
		case <-w.health.changed:
		case <-changed:
		case <-ctx.Done():
		}
		stop()
		if ctx.Err() != nil {
			return
		}
		last = time.Now()
		err := w.beat(ctx)
		if errors.Is(err, operation.ErrFenced) {
			w.overtaken(err)
			return
		}
		missed = err != nil
	}
}

// until yields an interval after last; never, if the interval is 0.
func until(last time.Time, interval time.Duration) (due <-chan time.Time, stop func()) {
	if interval <= 0 {
		return nil, func() {}
	}
	t := time.NewTimer(interval - time.Since(last))
	return t.C, func() { t.Stop() }
}

// beatWithin is how soon a heartbeat is written, and how soon after one that was
// not the next is tried.
const beatWithin = 3 * time.Second

func beatInterval(l Live, missed bool) time.Duration {
	if missed && l.ReportInterval > beatWithin {
		return beatWithin
	}
	return l.ReportInterval
}

// writeWithin bounds the writing of one heartbeat: less than a report interval.
func writeWithin(l Live) time.Duration {
	if d := beatInterval(l, true); d > 0 {
		return d
	}
	return beatWithin
}

// beat writes one heartbeat, in less than a report interval or not at all. One goes after
// the other: an older one would bring back the addresses that it has seen.
func (w *Worker) beat(ctx context.Context) error {
	if w.fence.Epoch == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, writeWithin(w.live()))
	defer cancel()
	select {
	case w.beating <- struct{}{}:
		defer func() { <-w.beating }()
	case <-ctx.Done():
		return ctx.Err()
	}
	phase, reason := w.health.now()
	err := w.store.Heartbeat(ctx, w.fence, phase, reason, append(w.addrs(), w.unfenced()...))
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
		n, err := w.store.Prune(ctx, time.Now().Add(-w.live().Retention))
		const key = "prune"
		switch {
		case err == nil:
			w.told.End(key)
		case ctx.Err() == nil:
			w.told.Note(key, hclog.Warn, "old operations not removed", "error", err)
		}
		if n > 0 {
			w.log.Info("old operations removed", "count", n)
		}
	}
	prune()
	w.every(ctx, func(l Live) time.Duration { return min(pruneInterval, l.Retention) }, prune)
}

// watchdog tells the parent that the inner loops make progress, from the first
// moment to the end of the drain. It passes through the engine and looks at the
// heartbeats, so that what is wedged is not taken for living; a long call to the
// cluster holds nothing that it needs.
func (w *Worker) watchdog(ctx context.Context) {
	if w.deps.Parent.Watchdog() <= 0 {
		return
	}
	w.deps.Parent.Beat()
	w.every(ctx, func(Live) time.Duration { return w.deps.Parent.Watchdog() / 6 }, func() {
		if w.progresses() {
			w.deps.Parent.Beat()
		}
	})
}

// wedgedBeats is for how many intervals, and a minute, the heartbeats may not even be
// tried. A database that does not take them is no reason: that ends every try.
const wedgedBeats = 3

// progresses reports whether the loops of the worker do, once there are any; it does
// not return where the engine has wedged.
func (w *Worker) progresses() bool {
	select {
	case <-w.opened:
	default:
		return true
	}
	w.engine.InFlight()
	tried, interval := w.pulse.tried(), w.live().ReportInterval
	return interval <= 0 || time.Since(tried) < time.Minute+wedgedBeats*interval
}
