package operation

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// Task is one operation at work in this process.
type Task struct {
	engine *Engine
	definition
	bound
	log hclog.Logger

	// ctx ends when a cancel is requested, or when the engine stops; fresh also
	// at the deadline, which only counts for an operation that has not begun.
	ctx    context.Context
	cancel context.CancelCauseFunc
	fresh  context.Context
	expire context.CancelFunc
	done   chan struct{} // closed when the task has left the engine
	woken  chan struct{} // holds one token: try again now

	stalled atomic.Pointer[stall] // what the task alone is held up by; nil for nothing

	// These belong to the goroutine that runs the task.
	recovered bool
	begun     bool // a step may have had an effect
	undoing   bool
	holders   []string // whom the claim of the target waited for at accept
	follow    []Request
	leaving   any // what Finish has left in the transaction that is being written

	mu      sync.Mutex
	op      volume.Operation
	left    any // what Finish has left, once that is committed
	holdup  holdup
	stepped time.Time // when the present step began
	base    int       // progress at that time
}

// errCancelled is the cause of a task's ctx after a cancel request.
var errCancelled = fault.New(fault.Cancelled, "cancelled on request")

func newTask(e *Engine, d definition, b bound, op volume.Operation) *Task {
	t := &Task{
		engine: e, definition: d, bound: b, op: op, begun: op.Attempt > 1,
		log:  e.cfg.Log.With("operation", op.ID, "method", op.Method, string(op.Type), op.Resource.ID, "request_id", op.RequestID),
		done: make(chan struct{}), woken: make(chan struct{}, 1),
	}
	t.ctx, t.cancel = context.WithCancelCause(e.ctx)
	t.fresh, t.expire = t.ctx, func() {}
	if d := op.Deadline; !d.IsZero() {
		t.fresh, t.expire = context.WithDeadlineCause(t.ctx, d, tooLate(d))
	}
	if op.CancelRequested {
		t.cancel(errCancelled)
	}
	return t
}

func tooLate(deadline time.Time) error {
	return fault.New(fault.Cancelled, "the deadline %s passed before the operation began", deadline.Format(time.RFC3339)).WithField("deadline")
}

// Late returns the error, of the kind Cancelled, of an operation whose deadline passed
// before it began; nil as long as it has not passed. It is for steps that wait before
// anything is made: the engine asks for those that have not begun to wait.
func (t *Task) Late() error {
	if d := t.Operation().Deadline; !d.IsZero() && !time.Now().Before(d) {
		return tooLate(d)
	}
	return nil
}

// Operation returns the operation as this process knows it now.
func (t *Task) Operation() volume.Operation {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.op
}

// Repeat reports whether an earlier attempt may have done some of the steps.
func (t *Task) Repeat() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.op.Attempt > 1
}

// Progress notes how far the operation has come, in percent. It returns at once
// and may be called from any thread; a value below the last one is ignored.
func (t *Task) Progress(percent int) {
	percent = min(max(percent, 0), 100)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.alive()
	if percent <= t.op.Progress || t.op.Status != volume.Running {
		return
	}
	t.op.Progress, t.op.ETA = percent, time.Time{}
	if percent < 100 {
		left := time.Since(t.stepped) * time.Duration(100-percent) / time.Duration(percent-t.base)
		t.op.ETA = now().Add(left.Truncate(time.Microsecond))
	}
	t.engine.flusher.add(t)
}

// Follow makes the finishing transaction accept another request of the same
// service, which begins when this operation has ended. It is for Finish only. A
// follower that is refused does not keep the operation from ending.
func (t *Task) Follow(r Request) { t.follow = append(t.follow, r) }

// Leave hands the row that Finish has written of the resource to those in this
// process who wait for the end, which spares them reading it. It is for Finish only,
// and optional.
func (t *Task) Leave(row any) { t.leaving = row }

func (t *Task) outcome() Outcome {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Outcome{t.op, t.left}
}

// tell has the journal told, within a second, how the operation is.
func (t *Task) tell() { t.engine.flusher.add(t) }

func (t *Task) requestCancel() {
	t.mu.Lock()
	t.op.CancelRequested = true
	t.mu.Unlock()
	t.cancel(errCancelled)
}

// close tells those who wait for the task that it is over.
func (t *Task) close() {
	close(t.done)
	t.expire()
	t.cancel(nil)
}

// run brings the operation to its end, and returns that; or leaves it unfinished
// when the engine stops, and returns nil.
func (t *Task) run() *conclusion {
	err := t.awaitClaim()
	if err == nil {
		err = t.runSteps()
	}
	if err != nil && !errors.Is(err, errLeft) && t.begun && t.undo != nil {
		err = t.runUndo(err)
	}
	if errors.Is(err, errLeft) {
		return nil
	}
	return t.conclude(err)
}

// until returns the context that ends when the task should go no further, if the
// given step is what comes next. As long as nothing is begun, a cancel and the
// deadline count; then a cancel, as long as what was done can be undone, or the
// step can be left at any time; then only the end of the engine.
func (t *Task) until(next *boundStep) context.Context {
	switch {
	case !t.begun:
		return t.fresh
	case !t.undoing && (t.undo != nil || next != nil && next.interruptible):
		return t.ctx
	default:
		return t.engine.ctx
	}
}

// now is the present in the precision of the journal.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
