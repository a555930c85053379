package operation

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/volumed/volumed/fault"
)

// Delays between the tries of what did not answer, before a jitter of a half: an
// outage is over for everyone within ten seconds of its end.
const (
	retryFirst = time.Second
	retryMost  = 5 * time.Second
)

// backoffTimer makes growing delays with jitter. Its zero value is ready.
type backoffTimer struct{ b *backoff.ExponentialBackOff }

// next returns the delay before the next try: what the error asked for, if it
// did, and the next of the growing ones otherwise.
func (t *backoffTimer) next(asked time.Duration) time.Duration {
	if asked > 0 {
		return asked
	}
	if t.b == nil {
		t.b = backoff.NewExponentialBackOff()
		t.b.InitialInterval, t.b.MaxInterval, t.b.Multiplier = retryFirst, retryMost, 2
	}
	return t.b.NextBackOff()
}

// persist repeats f, which uses the journal, while that is away, full or broken,
// until ctx ends.
func (e *Engine) persist(ctx context.Context, f func() error) error {
	var retry backoffTimer
	for {
		err := f()
		if ctx.Err() == nil {
			e.note(err)
		}
		if !outage(err) {
			return err
		}
		if err := sleep(ctx, retry.next(0)); err != nil {
			return err
		}
	}
}

// note says when the journal goes away, and when it is back: an outage is one
// event for the whole engine, not a line for every operation and every try.
func (e *Engine) note(err error) {
	switch {
	case outage(err) && e.away.CompareAndSwap(false, true):
		e.cfg.Log.Error("journal does not take a write; what has to be written is tried until it does", "error", err)
	case err == nil && e.away.CompareAndSwap(true, false):
		e.cfg.Log.Info("journal takes writes again")
	}
}

// outage reports whether err says more about the journal than about the write.
func outage(err error) bool {
	if errors.Is(err, ErrFenced) || errors.Is(err, errLeft) || errors.Is(err, errPanic) {
		return false
	}
	switch fault.KindOf(err) {
	case fault.Unavailable, fault.Exhausted, fault.Internal:
		return true
	default:
		return false
	}
}

// sleep waits for d, or for the end of ctx, whose cause it then returns.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
