package operation

import (
	"errors"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/crashpoint"
	"github.com/volumed/volumed/volume"
)

// conclusion is the end of an operation on its way into the journal.
type conclusion struct {
	task    *Task
	outcome error
	// What the journal has refused is left out.
	withoutFollowers, withoutFinish bool

	// Set by write; true once it is committed.
	op        volume.Operation
	left      any
	event     volume.Event
	followers []acceptance
}

// errFollower marks the refusal of a follower.
var errFollower = errors.New("follower refused")

// conclude writes the outcome, however long the journal takes to accept it. It
// returns nil if that is left to the next process.
func (t *Task) conclude(outcome error) *conclusion {
	e := t.engine
	c := &conclusion{task: t, outcome: outcome}
	crashpoint.At(t.name, "finish", "before")
	defer t.recording()()
	for {
		err := e.persist(e.hard, func() error { return c.commit(e) })
		if err == nil {
			break
		}
		if errors.Is(err, ErrFenced) || e.hard.Err() != nil || !c.concede(err) {
			t.log.Warn("outcome not recorded; the next process finishes the operation", "error", err)
			return nil
		}
	}
	crashpoint.At(t.name, "finish", "after")
	t.mu.Lock()
	t.op, t.left = c.op, c.left
	t.mu.Unlock()
	return c
}

// commit writes the end. That of a success need not be on the disk yet: should it be
// lost with the host, the operation is run again, finds everything done, and succeeds
// again, unless it would write over what came since. A failure or a cancel could turn
// into something else.
func (c *conclusion) commit(e *Engine) error {
	if c.outcome == nil && !c.task.durable {
		return e.writeSoon(e.hard, c.write)
	}
	return e.write(e.hard, c.write)
}

// announce tells everybody of the end, and begins what follows it.
func (c *conclusion) announce() {
	e := c.task.engine
	e.cfg.Publisher.PublishOperation(c.op)
	e.cfg.Publisher.PublishEvent(c.event)
	c.task.report(c.outcome)
	for _, a := range c.followers {
		if !a.prior {
			e.lanes[a.lane].enter()
			e.begin(a)
		}
	}
}

// write is the finishing transaction.
func (c *conclusion) write(tx Tx) error {
	t := c.task
	op := t.ended(c.outcome)
	if err := tx.UpdateOperation(&op); err != nil {
		// The last try may have been committed, and only its answer lost. Then
		// there is nothing to write, and what that try has set is true.
		if was, rerr := tx.OperationByRequest(op.ProjectID, op.RequestID); rerr == nil && was.ID == c.op.ID && was.Status.Terminal() {
			return nil
		}
		return err
	}
	t.follow, t.leaving = nil, nil
	if !c.withoutFinish {
		if err := t.finish(tx, t, c.outcome); err != nil {
			return err
		}
	}
	event := volume.Event{Resource: op.Resource, OperationID: op.ID, What: op.Method + "." + string(op.Status)}
	if err := errors.Join(tx.Release(op.ID), tx.AppendEvent(&event)); err != nil {
		return err
	}
	followers, err := c.acceptFollowers(tx)
	if err != nil {
		return err
	}
	c.op, c.left, c.event, c.followers = op, t.leaving, event, followers
	return nil
}

// acceptFollowers accepts what Finish wants done after the operation.
func (c *conclusion) acceptFollowers(tx Tx) (followers []acceptance, err error) {
	if c.withoutFollowers {
		return nil, nil
	}
	e := c.task.engine
	for _, r := range c.task.follow {
		next, err := r.operation(e.cfg.Fence.Host)
		if err != nil {
			return nil, errors.Join(err, errFollower)
		}
		a, err := e.accept(tx, *next)
		if err != nil {
			return nil, errors.Join(err, errFollower)
		}
		followers = append(followers, a)
	}
	return followers, nil
}

// concede leaves out what stands in the way of the end: first the followers,
// then the resource, which somebody must have changed under the operation. What
// it is now is theirs; the operation still has to end, and to say so. It reports
// whether there was anything left to concede.
func (c *conclusion) concede(err error) bool {
	switch {
	case errors.Is(err, errFollower):
		c.withoutFollowers = true
		c.task.log.Error("a following operation was refused", "error", err)
	case !c.withoutFinish:
		c.withoutFinish = true
		c.task.log.Error("the outcome cannot be written into the resource", "error", err)
		if c.outcome == nil {
			c.outcome = err
		}
	default:
		return false
	}
	return true
}

// ended returns the operation with its outcome.
func (t *Task) ended(outcome error) volume.Operation {
	op := t.Operation()
	op.FinishedAt, op.ETA, op.NextTry = now(), time.Time{}, time.Time{}
	op.Reason, op.BlockedBy, op.Hint = "", nil, ""
	if op.StartedAt.IsZero() {
		op.StartedAt = op.FinishedAt
	}
	op.Error = volume.NewOperationError(outcome)
	switch {
	case outcome == nil:
		op.Status, op.Progress = volume.Succeeded, 100
	case fault.KindOf(outcome) == fault.Cancelled:
		op.Status = volume.Cancelled
	default:
		op.Status = volume.Failed
	}
	return op
}

// report puts the end of the operation into the log.
func (t *Task) report(outcome error) {
	took := t.op.FinishedAt.Sub(t.op.CreatedAt)
	if t.op.Status == volume.Failed {
		t.log.Warn("operation failed", "step", t.op.Step, "took", took, "error", outcome)
		return
	}
	t.log.Info("operation ended", "status", t.op.Status, "took", took)
}
