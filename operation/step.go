package operation

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// runningAfter is how long an operation works before the journal is told that
// it runs: most have ended by then, and are spared a write.
const runningAfter = time.Second

// runSteps runs the steps in order.
func (t *Task) runSteps() error {
	notice := time.AfterFunc(runningAfter, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.touchLocked()
	})
	defer notice.Stop()
	for i := range t.steps {
		if err := t.runStep(&t.steps[i]); err != nil {
			return err
		}
	}
	return nil
}

// runStep runs one step until it is done or has failed for good.
func (t *Task) runStep(s *boundStep) error {
	var retry backoffTimer
	for {
		err := t.tryStep(s)
		if err == nil {
			return nil
		}
		if errors.Is(err, errLeft) || errors.Is(err, errCancelled) || !t.worthWaiting(err) {
			return err
		}
		if err := t.pause(err, &retry, t.cancellable(s)); err != nil {
			return err
		}
		t.mu.Lock()
		t.op.Attempt++
		t.mu.Unlock()
	}
}

// worthWaiting reports whether the step may succeed later by itself.
func (t *Task) worthWaiting(err error) bool {
	kind := fault.KindOf(err)
	return kind == fault.Unavailable || t.patient && kind == fault.Busy
}

// tryStep runs the step once, on a context that a cancel ends only where that
// leaves nothing behind.
func (t *Task) tryStep(s *boundStep) error {
	until, ctx := t.engine.ctx, t.engine.hard
	if t.cancellable(s) {
		until = t.ctx
	}
	if s.interruptible {
		ctx = t.ctx
	}
	return t.attempt(s, until, ctx)
}

// attempt waits for a slot, as long as until lasts, and runs the step with ctx.
func (t *Task) attempt(s *boundStep, until, ctx context.Context) error {
	if err := t.expired(until); err != nil {
		return err
	}
	if !s.free {
		lane := t.engine.lanes[t.lane]
		if err := lane.acquire(until, t.op.ProjectID); err != nil {
			return err
		}
		defer lane.release()
	}
	t.enterStep(s.name)
	t.begun = true
	err := t.guarded(func() error { return s.run(ctx, t) })
	if err != nil && ctx.Err() != nil && fault.KindOf(err) == fault.Cancelled {
		return stopCause(ctx)
	}
	return err
}

// stopCause tells why a step was interrupted: on request, or because this
// process ends.
func stopCause(ctx context.Context) error {
	if errors.Is(context.Cause(ctx), errCancelled) {
		return errCancelled
	}
	return errLeft
}

// expired returns why nothing more should be begun: the cause of until, or the
// operation's deadline.
func (t *Task) expired(until context.Context) error {
	if until.Err() != nil {
		return context.Cause(until)
	}
	if d := t.op.Deadline; !d.IsZero() && time.Now().After(d) && !t.begun {
		return fault.New(fault.Cancelled, "the deadline %s passed before the operation began", d.Format(time.RFC3339)).WithField("deadline")
	}
	return nil
}

func (t *Task) enterStep(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now().UTC().Truncate(time.Microsecond)
	if t.op.StartedAt.IsZero() {
		t.op.StartedAt = now
	}
	if t.op.Status == volume.Waiting {
		t.touchLocked() // the journal says waiting, and must not any more
	}
	t.stepped = now
	t.op.Status, t.op.Step, t.op.Reason, t.op.NextTry = volume.Running, name, "", time.Time{}
}

// runUndo takes back what the steps have left, and returns the outcome. Another
// cancel does not interrupt it: undoing is what cancelling does.
func (t *Task) runUndo(cause error) error {
	undo := &boundStep{name: "undo", run: func(ctx context.Context, _ *Task) error { return t.undo(ctx, t, cause) }}
	var retry backoffTimer
	for {
		err := t.attempt(undo, t.engine.ctx, t.engine.hard)
		switch {
		case err == nil:
			return cause
		case errors.Is(err, errLeft):
			return errLeft
		case !t.worthWaiting(err):
			t.log.Error("undo failed; something may be left on the backend", "error", err)
			return errors.Join(cause, err)
		}
		if err := t.pause(err, &retry, false); err != nil {
			return err
		}
	}
}

// pause makes the operation wait, for what err says, until its next try.
func (t *Task) pause(err error, retry *backoffTimer, cancellable bool) error {
	f := fault.Of(err)
	delay := retry.next(f.RetryAfter)
	t.mu.Lock()
	t.op.Status, t.op.Reason = volume.Waiting, f.Message
	t.op.NextTry = time.Now().UTC().Add(delay).Truncate(time.Microsecond)
	t.blockers = f.BlockedBy
	t.touchLocked()
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		t.blockers = nil
		t.mu.Unlock()
	}()

	until := t.engine.ctx
	if cancellable {
		until = t.ctx
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.woken:
	case <-until.Done():
		return context.Cause(until)
	}
	return nil
}

// guarded turns a panic of a step into an internal error: one operation fails,
// the service goes on. The stack goes to the log.
func (t *Task) guarded(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			t.log.Error("panic in a step", "panic", p, "stack", string(debug.Stack()))
			err = fault.New(fault.Internal, "panic in a step: %v", p)
		}
	}()
	return f()
}
