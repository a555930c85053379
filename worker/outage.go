package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// ErrReplace is the error of Run for a process that cannot serve any more while
// a fresh one can: the backend has shut it out, or calls are lost in it. What was
// unfinished is in the journal, for the successor, who should begin at once.
var ErrReplace = fault.New(fault.Unavailable, "this process has to be replaced")

const (
	// lookAgain is how often the backend is asked while operations take long, and
	// while it does not answer.
	lookAgain = time.Second
	// lookPause is the least time between two questions.
	lookPause = 200 * time.Millisecond
	// replaceTimeout is how long a process that is to be replaced may take for its
	// answers and for steps that still come to their end.
	replaceTimeout = time.Second
)

// trouble has the backend asked now: an operation is held up.
func (w *Worker) trouble() {
	select {
	case w.troubled <- struct{}{}:
	default: // it will be
	}
}

// watchBackend checks that the backend serves this client: at every ping interval,
// and every second while operations take long, or while it does not answer.
func (w *Worker) watchBackend(ctx context.Context) {
	look := outlook{w: w}
	for wait := w.cfg.PingInterval; ; {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-w.troubled:
		case <-ctx.Done():
		}
		timer.Stop()
		pause(ctx, lookPause-time.Since(look.last))
		if ctx.Err() != nil {
			return
		}
		err := look.look(ctx)
		if wait = w.cfg.PingInterval; err != nil || w.engine.Late() {
			wait = min(wait, lookAgain)
		}
	}
}

// outlook is what watchBackend has seen.
type outlook struct {
	w    *Worker
	last time.Time
	// away tells that the backend did not answer the last time; back is when it
	// did again, after it had not. Zero if it always has.
	away bool
	back time.Time
}

// look asks the backend and passes the answer on: to the health of this worker, to
// the operations that it holds up, to the end of this process where nothing else helps.
func (o *outlook) look(ctx context.Context) error {
	err := o.w.driver.Ping(ctx)
	o.last = time.Now()
	if ctx.Err() != nil {
		return nil
	}
	reason := ""
	if err != nil {
		reason = err.Error()
	} else if o.away {
		o.back = o.last
	}
	o.away = err != nil
	o.w.health.set(backend, reason)
	o.w.engine.Stall(err)
	switch {
	case errors.Is(err, driver.ErrShutOut):
		o.w.replace(err)
	case err == nil:
		if f := o.lost(); f != nil {
			o.w.replace(fault.New(fault.Unavailable, "%s of %s has hung in the backend for %s, though that has answered again for %s",
				f.Method, f.Object, time.Since(f.Sign).Round(time.Second), time.Since(o.back).Round(time.Second)))
		}
	}
	return err
}

// lost returns a call that will not return any more: one that was there while the
// backend did not answer, and has given no sign of life for a long time since it
// answers again. What began later only takes long, and what goes to a neighbour as well
// may wait for that.
func (o *outlook) lost() *driver.Flight {
	tracker, able := driver.As[driver.Tracker](o.w.driver)
	limit := o.w.cfg.LostAfter
	if !able || limit <= 0 || o.back.IsZero() || time.Since(o.back) < limit {
		return nil
	}
	for _, f := range tracker.Flights() {
		if f.Begun.Before(o.back) && time.Since(f.Sign) >= limit && !o.w.neighbours.holdUp(f.Object, limit) {
			return &f
		}
	}
	return nil
}

// replace ends this process in favour of a fresh one.
func (w *Worker) replace(cause error) {
	w.finish(fmt.Errorf("%w: %w", ErrReplace, cause))
}

// backendState is what the last look at the backend says of it.
func (w *Worker) backendState(c *volume.Capabilities) {
	if reason := w.health.reason(backend); reason != "" {
		c.BackendState, c.Reason = volume.Down, reason
	}
}

// pause waits for d, if that is not over, or for the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
