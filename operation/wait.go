package operation

import (
	"context"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/crashpoint"
	"github.com/volumed/volumed/volume"
)

// waitInterval is how often Wait looks for the end of an operation that is not at
// work in this engine.
const waitInterval = time.Second

// Outcome is an operation as those who wait for it find it.
type Outcome struct {
	volume.Operation
	// Left is the row that Finish has left of the resource (see Task.Leave): nil for an
	// operation that has not ended, or not in this process.
	Left any
}

// Wait returns the operation as soon as it has ended, and as it is when ctx or
// the engine ends before. It never returns an error for an operation that did not
// succeed: the operation tells. Kinds: NotFound, Unavailable.
func (e *Engine) Wait(ctx context.Context, id string) (Outcome, error) {
	for {
		if t := e.task(id); t != nil {
			select {
			case <-t.done:
			case <-ctx.Done():
			}
			return t.outcome(), nil
		}
		// Also a caller who has no time left is told how the operation is.
		op, err := e.cfg.Journal.Operation(context.WithoutCancel(ctx), id)
		if err != nil || op.Status.Terminal() || ctx.Err() != nil || e.ctx.Err() != nil {
			return Outcome{Operation: op}, err
		}
		select {
		case <-time.After(waitInterval):
		case <-ctx.Done():
		case <-e.ctx.Done():
		}
	}
}

// Cancel asks the operation to end as soon as it can without leaving anything
// behind, and returns it as it is then. An operation that is past that point
// ends as if it had not been asked. The wish is in the journal when Cancel
// returns: it also holds for the next process. Kinds: NotFound; Conflict for an
// operation that has ended; Unavailable for one that is not at work here now.
func (e *Engine) Cancel(ctx context.Context, id string) (volume.Operation, error) {
	t := e.task(id)
	if t == nil {
		return e.cancelAbsent(ctx, id)
	}
	err := e.flusher.inTurn(ctx, func() error {
		op := t.Operation()
		op.CancelRequested = true
		crashpoint.At(op.Method, "cancel", "before")
		err := e.write(ctx, func(tx Tx) error { return tx.UpdateOperation(&op) })
		crashpoint.At(op.Method, "cancel", "after")
		if err == nil {
			t.requestCancel()
		}
		return err
	})
	if err != nil {
		return volume.Operation{}, err
	}
	return t.Operation(), nil
}

// cancelAbsent tells why an operation cannot be cancelled that is not at work here.
func (e *Engine) cancelAbsent(ctx context.Context, id string) (volume.Operation, error) {
	op, err := e.cfg.Journal.Operation(ctx, id)
	switch {
	case err != nil:
		return volume.Operation{}, err
	case op.Status.Terminal():
		return op, fault.New(fault.Conflict, "operation %s has ended: %s", id, op.Status)
	default:
		return op, fault.New(fault.Unavailable, "operation %s of %s is not at work here now", id, op.Backend).WithRetryAfter(retryFirst)
	}
}
