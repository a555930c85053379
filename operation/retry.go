package operation

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/volumed/volumed/fault"
)

// Delays between the tries of what did not answer.
const (
	retryFirst = time.Second
	retryMost  = 30 * time.Second
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

// persist repeats f while the journal is away, full or broken, until ctx ends.
// It says so once, and once when it is over: an outage is one event, not a line
// for every try.
func (e *Engine) persist(ctx context.Context, what string, f func() error) error {
	var retry backoffTimer
	for tries := 1; ; tries++ {
		err := f()
		if err == nil {
			if tries > 1 {
				e.cfg.Log.Info("journal answers again", "doing", what, "tries", tries)
			}
			return nil
		}
		if !outage(err) {
			return err
		}
		if tries == 1 {
			e.cfg.Log.Error("journal does not take a write; it is tried until it does", "doing", what, "error", err)
		}
		timer := time.NewTimer(retry.next(0))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}

// outage reports whether err says more about the journal than about the write.
func outage(err error) bool {
	if errors.Is(err, ErrFenced) {
		return false
	}
	switch fault.KindOf(err) {
	case fault.Unavailable, fault.Exhausted, fault.Internal:
		return true
	default:
		return false
	}
}
