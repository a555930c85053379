package operation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/crashpoint"
	"github.com/volumed/volumed/volume"
)

// tellAfter is how long a step works before the journal is told of it: most have
// ended by then, and are spared a write.
const tellAfter = time.Second

// runSteps runs the steps in order.
func (t *Task) runSteps() error {
	for i := range t.steps {
		if !t.steps[i].when() {
			continue
		}
		if err := t.persevere(&t.steps[i]); err != nil {
			return err
		}
	}
	return nil
}

// runUndo takes back what the steps have left, and returns the outcome of the
// operation.
func (t *Task) runUndo(cause error) error {
	t.undoing = true
	err := t.persevere(&boundStep{name: "undo", run: func(ctx context.Context, _ *Task) error { return t.undo(ctx, t, cause) }})
	if err == nil {
		return cause
	}
	if errors.Is(err, errLeft) {
		return err
	}
	t.log.Error("undo failed; something may be left on the backend", "cause", cause, "error", err)
	if fault.KindOf(cause) == fault.Cancelled { // which promises that nothing is left behind
		return fault.New(fault.Internal, "%v, but what was done could not be undone: %v", cause, err)
	}
	return fmt.Errorf("%w; what was done could not be undone: %s", cause, err.Error()) // the kind is that of the cause alone
}

// persevere runs one step until it is done, has failed for good, or is to go no
// further.
func (t *Task) persevere(s *boundStep) error {
	defer t.engine.watch(t, nil)
	var retry backoffTimer
	for {
		err := t.attempt(s)
		if errors.Is(err, errAside) {
			t.queue()
			continue
		}
		if err == nil || !t.worthWaiting(err) {
			return err
		}
		if err := t.pause(t.until(s), &retry, err); err != nil {
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

// attempt waits for a slot and runs the step once, on a context that a cancel
// ends only where the step may be interrupted.
func (t *Task) attempt(s *boundStep) error {
	until := t.until(s)
	if until.Err() != nil {
		return context.Cause(until)
	}
	late := time.AfterFunc(tellAfter, t.late)
	defer late.Stop()
	ctx := t.engine.hard
	if s.interruptible {
		ctx = t.ctx
	}
	if !s.free {
		t.begin()
		var release func()
		var err error
		if ctx, release, err = t.slot(ctx, until, s); err != nil {
			return err
		}
		defer release()
	}
	t.enterStep(s.name)
	late.Reset(tellAfter)
	ctx = crashpoint.With(ctx, t.name, s.name)
	crashpoint.Hit(ctx, "before")
	err := guarded(t.log, func() error { return s.run(ctx, t) })
	crashpoint.Hit(ctx, "after")
	if ctx.Err() != nil && fault.KindOf(err) == fault.Cancelled {
		return context.Cause(ctx)
	}
	return err
}

// slot waits for a slot for the step. A background step that can be interrupted works
// on a context that ends with errAside when somebody else wants its slot.
func (t *Task) slot(ctx, until context.Context, s *boundStep) (work context.Context, release func(), err error) {
	lane := t.engine.lanes[cmp.Or(s.lane, t.lane)]
	if !t.behind || !s.interruptible {
		return ctx, lane.release, lane.acquire(until, t.op.ProjectID)
	}
	work, aside := context.WithCancelCause(ctx)
	giveBack, err := lane.acquireBehind(until, func() { aside(errAside) })
	if err != nil {
		aside(nil)
		return nil, nil, err
	}
	return work, func() { aside(nil); giveBack() }, nil
}

// errAside is the end of an attempt of a background step whose slot somebody else wants.
var errAside = fault.New(fault.Cancelled, "somebody else wants the slot")

// queue notes that the operation waits for a slot again.
func (t *Task) queue() {
	t.mu.Lock()
	t.op.Status, t.op.ETA = volume.Queued, time.Time{}
	t.mu.Unlock()
	t.tell()
}

func (t *Task) enterStep(name string) {
	t.begun = true
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stepped, t.base = now(), t.op.Progress
	if t.op.StartedAt.IsZero() {
		t.op.StartedAt = t.stepped
	}
	t.holdup.begin()
	if t.stillHeld() {
		t.op.Step = name
		return
	}
	t.holdup.was, t.holdup.unanswered = "", false
	t.op.Status, t.op.Step = volume.Running, name
	t.unblock()
}

// unblock forgets what the operation waited for. t.mu is held.
func (t *Task) unblock() {
	t.op.Reason, t.op.BlockedBy, t.op.Hint, t.op.NextTry = "", nil, "", time.Time{}
}

// pause makes the operation wait for what err says, until its next try.
func (t *Task) pause(until context.Context, retry *backoffTimer, err error) error {
	f := fault.Of(err)
	asked := f.RetryAfter
	if t.engine.watch(t, f.BlockedBy) {
		// Something else stands in the way now. It may have come to its end between the
		// look and the watch, which woke nobody: so it is looked at once more soon.
		*retry, asked = backoffTimer{}, min(asked, retryFirst)
	}
	delay := retry.next(asked)
	t.mu.Lock()
	t.op.Status, t.op.NextTry, t.op.ETA = volume.Waiting, now().Add(delay), time.Time{}
	t.op.Reason, t.op.BlockedBy, t.op.Hint = f.Message, f.BlockedBy, f.Hint
	t.holdup.was, t.holdup.unanswered = "", f.Kind == fault.Unavailable
	t.mu.Unlock()
	t.tell()
	if f.Kind == fault.Unavailable {
		t.engine.trouble()
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

// errPanic marks the error of a panic, which no repetition cures.
var errPanic = errors.New("panic")

// guarded turns a panic of f into an internal error: one operation fails, the
// service goes on. The stack goes to the log.
func guarded(log hclog.Logger, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			log.Error("panic in an operation", "panic", p, "stack", string(debug.Stack()))
			err = fault.New(fault.Internal, "%w: %v", errPanic, p)
		}
	}()
	return f()
}
