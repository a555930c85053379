package operation

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
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
	// ctx ends when a cancel is requested, or when the engine stops.
	ctx    context.Context
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when the task has left the engine
	woken  chan struct{} // holds one token: try again now

	recovered bool
	begun     bool     // a step may have had an effect
	holders   []string // whom the claim of the target waits for
	follow    []Request

	mu       sync.Mutex
	op       volume.Operation
	stepped  time.Time // when the present step began
	dirty    bool      // op has changes that the journal has not
	blockers []string
}

// errCancelled is the cause of a task's ctx after a cancel request.
var errCancelled = fault.New(fault.Cancelled, "cancelled on request")

func newTask(e *Engine, d definition, b bound, op volume.Operation) *Task {
	t := &Task{
		engine: e, definition: d, bound: b, op: op,
		log:  e.cfg.Log.With("operation", op.ID, "method", op.Method, op.Type, op.Resource.ID, "request_id", op.RequestID),
		done: make(chan struct{}), woken: make(chan struct{}, 1),
		begun: op.Attempt > 1,
	}
	t.ctx, t.cancel = context.WithCancelCause(e.ctx)
	if op.CancelRequested {
		t.cancel(errCancelled)
	}
	return t
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
	if percent <= t.op.Progress {
		return
	}
	t.op.Progress = percent
	if elapsed := time.Since(t.stepped); percent < 100 {
		t.op.ETA = time.Now().Add(elapsed * time.Duration(100-percent) / time.Duration(percent))
	}
	t.touchLocked()
}

// Follow makes the finishing transaction accept another request of the same
// service, which begins when this operation has ended. It is for Finish only.
func (t *Task) Follow(r Request) { t.follow = append(t.follow, r) }

// touchLocked has the operation written within a second. t.mu is held.
func (t *Task) touchLocked() {
	t.dirty = true
	t.engine.flusher.kick()
}

func (t *Task) requestCancel() {
	t.mu.Lock()
	t.op.CancelRequested = true
	t.mu.Unlock()
	t.cancel(errCancelled)
}

// unblock wakes the task if it waits for one of the ids.
func (t *Task) unblock(ids ...string) {
	t.mu.Lock()
	blocked := slices.ContainsFunc(t.blockers, func(b string) bool {
		return slices.ContainsFunc(ids, func(id string) bool { return strings.Contains(b, id) })
	})
	t.mu.Unlock()
	if blocked {
		select {
		case t.woken <- struct{}{}:
		default:
		}
	}
}

// run brings the operation to its end, or leaves it unfinished when the engine
// stops.
func (t *Task) run() {
	err := t.awaitClaims()
	if err == nil {
		err = t.runSteps()
	}
	if err != nil && !errors.Is(err, errLeft) && t.undo != nil && t.begun {
		err = t.runUndo(err)
	}
	if !errors.Is(err, errLeft) {
		t.conclude(err)
	}
}

// awaitClaims waits until the exclusive claim of the target is effective.
func (t *Task) awaitClaims() (err error) {
	if t.target != Exclusive {
		return nil
	}
	holders := t.holders
	if t.recovered {
		holders, err = t.readHolders()
	}
	for retry := (backoffTimer{}); err == nil && len(holders) > 0; {
		if err = t.pause(held(t.op.Resource, holders), &retry, t.cancellable(nil)); err == nil {
			holders, err = t.readHolders()
		}
	}
	return err
}

// readHolders asks the journal whom the claim still waits for.
func (t *Task) readHolders() (holders []string, err error) {
	e := t.engine
	err = e.persist(e.ctx, "reading claims", func() error {
		return e.write(e.ctx, func(tx Tx) (err error) {
			holders, err = tx.Holders(t.op.ID, t.op.Resource)
			return err
		})
	})
	if e.ctx.Err() != nil {
		err = errLeft
	}
	return holders, err
}

// held is the reason of an operation whose target others still use.
func held(r volume.Resource, holders []string) *fault.Error {
	return fault.New(fault.Busy, "%s is used by %d other operations: %s", r, len(holders), strings.Join(holders, ", ")).
		WithBlockers(holders...)
}

// cancellable reports whether a cancel, if it came now, before the step, would
// leave nothing behind.
func (t *Task) cancellable(next *boundStep) bool {
	return !t.begun || t.undo != nil || (next != nil && next.interruptible)
}

// conclude writes the outcome, however long the journal takes to accept it.
func (t *Task) conclude(outcome error) {
	var followers []acceptance
	var ended volume.Operation
	var event volume.Event
	skip := false
	err := t.engine.persist(t.engine.hard, "finishing an operation", func() error {
		err := t.engine.write(t.engine.hard, func(tx Tx) (err error) {
			ended, event, followers, err = t.finishIn(tx, outcome, skip)
			return err
		})
		if k := fault.KindOf(err); !skip && (k == fault.Conflict || k == fault.NotFound) && !errors.Is(err, ErrFenced) {
			// Somebody changed the resource under the operation. What it is now is
			// theirs; the operation still has to end, and to say so.
			t.log.Error("the resource was changed under the operation", "error", err)
			skip, outcome = true, err
			return fault.New(fault.Unavailable, "%w", err)
		}
		return err
	})
	if err != nil {
		t.log.Warn("outcome not recorded; the next process finishes the operation", "error", err)
		return
	}
	t.mu.Lock()
	t.op, t.dirty = ended, false
	t.mu.Unlock()
	t.report(ended, outcome)
	t.engine.cfg.Publisher.PublishOperation(ended)
	t.engine.cfg.Publisher.PublishEvent(event)
	for _, f := range followers {
		if f.task != nil {
			t.engine.lanes[f.task.lane].enter()
			t.engine.begin(f)
		}
	}
}

// finishIn is the finishing transaction.
func (t *Task) finishIn(tx Tx, outcome error, skip bool) (volume.Operation, volume.Event, []acceptance, error) {
	t.follow = nil
	if !skip {
		if err := t.finish(tx, t, outcome); err != nil {
			return volume.Operation{}, volume.Event{}, nil, err
		}
	}
	op := t.ended(outcome)
	event := volume.Event{Resource: op.Resource, OperationID: op.ID, What: op.Method + "." + string(op.Status)}
	if err := errors.Join(tx.UpdateOperation(&op), tx.Release(op.ID), tx.AppendEvent(&event)); err != nil {
		return volume.Operation{}, volume.Event{}, nil, err
	}
	var followers []acceptance
	for _, r := range t.follow {
		next, err := r.operation(t.engine.cfg.Fence.Host)
		if err != nil {
			return volume.Operation{}, volume.Event{}, nil, err
		}
		a, err := t.engine.accept(tx, *next)
		if err != nil {
			return volume.Operation{}, volume.Event{}, nil, err
		}
		followers = append(followers, a)
	}
	return op, event, followers, nil
}

// ended returns the operation with its outcome.
func (t *Task) ended(outcome error) volume.Operation {
	op := t.Operation()
	op.FinishedAt, op.ETA, op.Reason, op.NextTry = time.Now().UTC().Truncate(time.Microsecond), time.Time{}, "", time.Time{}
	if op.StartedAt.IsZero() {
		op.StartedAt = op.FinishedAt
	}
	switch {
	case outcome == nil:
		op.Status, op.Progress, op.Error = volume.Succeeded, 100, nil
	case errors.Is(outcome, errCancelled):
		op.Status, op.Error = volume.Cancelled, volume.NewOperationError(outcome)
	default:
		op.Status, op.Error = volume.Failed, volume.NewOperationError(outcome)
	}
	return op
}

func (t *Task) report(op volume.Operation, outcome error) {
	took := op.FinishedAt.Sub(op.CreatedAt)
	if op.Status == volume.Failed {
		t.log.Warn("operation failed", "step", op.Step, "took", took, "error", outcome)
		return
	}
	t.log.Info("operation ended", "status", op.Status, "took", took)
}
