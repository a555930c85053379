package operation

import (
	"context"
	"encoding/json"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/crashpoint"
	"github.com/volumed/volumed/volume"
)

// Enactment is a change of rows that belong to no backend.
type Enactment struct {
	Request
	Resource volume.ResourceType
	// Change makes it, in the transaction that accepts the request. It sets
	// op.Resource.ID and returns what is kept as the result. An error refuses the
	// request; nothing of it is written then. It may run more than once.
	Change func(tx Tx, op *volume.Operation) (result any, err error)
}

// Enact accepts a request and finishes it, in one transaction, whichever service of the
// database is asked: it runs no steps. The operation that it returns has succeeded. A
// request that was enacted before, by whichever service, gets the operation that it got
// then. Kinds: those of Change; Conflict for a request id that was used for something
// else; Unavailable when nothing can be accepted now, or when it is not known whether the
// request was: repeating it with the same request id is then the way to find out. A ctx
// counts as in Submit.
func (e *Engine) Enact(ctx context.Context, r Enactment) (op volume.Operation, err error) {
	if err := ctx.Err(); err != nil {
		return op, err
	}
	if !r.Deadline.IsZero() && time.Now().After(r.Deadline) {
		return op, overdue(r.Deadline)
	}
	asked, err := r.operation("") // the same request, whoever gets it
	if err != nil {
		return op, err
	}
	if !e.enter() {
		return op, e.closed()
	}
	defer e.running.Done()
	asked.Backend, asked.Epoch, asked.Type, asked.Lane = e.cfg.Fence.Host, e.cfg.Fence.Epoch, r.Resource, string(Control)
	crashpoint.At(r.Method, "accept", "before")
	op, event, err := e.enact(*asked, r.Change)
	crashpoint.At(r.Method, "accept", "after")
	if err != nil {
		return op, e.unanswered(acceptance{}, err)
	}
	if event != nil {
		e.cfg.Publisher.PublishOperation(op)
		e.cfg.Publisher.PublishEvent(*event)
	}
	return op, nil
}

// enact writes the change, the operation and its event; a request that was enacted
// before has no event.
func (e *Engine) enact(asked volume.Operation, change func(Tx, *volume.Operation) (any, error)) (op volume.Operation, event *volume.Event, err error) {
	err = e.write(e.hard, func(tx Tx) error {
		op, event = asked, nil
		before, err := prior(tx, &op)
		if err != nil || before.prior {
			op = before.op
			return err
		}
		result, err := change(tx, &op)
		if err != nil {
			return err
		}
		if op.Result, err = json.Marshal(result); err != nil {
			return err
		}
		op.Status, op.Progress, op.StartedAt = volume.Succeeded, 100, now()
		op.FinishedAt = op.StartedAt
		if err := tx.InsertOperation(&op); err != nil {
			return err
		}
		event = &volume.Event{Resource: op.Resource, OperationID: op.ID, What: op.Method + "." + string(op.Status)}
		return tx.AppendEvent(event)
	})
	return op, event, err
}

// overdue is the error for a request that came too late.
func overdue(deadline time.Time) error {
	return fault.New(fault.Invalid, "the deadline %s has passed", deadline.Format(time.RFC3339)).WithField("deadline")
}

// closed is the error of an engine that accepts nothing.
func (e *Engine) closed() error {
	return fault.New(fault.Unavailable, "%s takes no requests now", e.cfg.Fence.Host).WithRetryAfter(retryFirst)
}
