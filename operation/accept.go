package operation

import (
	"context"
	"errors"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/crashpoint"
	"github.com/volumed/volumed/volume"
)

// Submit accepts a request: once it returns an operation, that operation will
// end, whatever happens to this process. A request that was accepted before, in
// whichever process, gets the operation that it got then. Kinds: those of the
// method's Accept; Conflict for a request id that was used for something else;
// Overloaded for a full lane; Unavailable when nothing can be accepted now, or
// when it is not known whether the request was accepted: repeating it with the
// same request id is then the way to find out.
//
// A ctx that has ended is Cancelled or Unavailable. One that ends later changes
// nothing: an accept that is under way is not given up, for the operation that it
// makes must not be without somebody to run it.
func (e *Engine) Submit(ctx context.Context, r Request) (volume.Operation, error) {
	if err := ctx.Err(); err != nil {
		return volume.Operation{}, err
	}
	d, err := e.admissible(ctx, &r)
	if err != nil {
		return volume.Operation{}, err
	}
	op, err := r.operation(e.cfg.Fence.Host)
	if err != nil {
		return volume.Operation{}, err
	}
	if !e.enter() {
		return volume.Operation{}, e.closed()
	}
	defer e.running.Done()
	full := e.lanes[d.lane].admit()
	a, err := e.record(op, full)
	if full == nil && (err != nil || a.prior) {
		e.lanes[d.lane].leave()
	}
	if err != nil {
		return volume.Operation{}, e.unanswered(a, err)
	}
	e.begin(a)
	return a.op, nil
}

// admissible refuses what must not even be tried, and finds the method.
func (e *Engine) admissible(ctx context.Context, r *Request) (definition, error) {
	d, ok := e.methods[r.Method]
	switch {
	case !ok:
		return d, fault.New(fault.Unsupported, "unknown method %s", r.Method)
	case !r.Deadline.IsZero() && time.Now().After(r.Deadline):
		return d, overdue(r.Deadline)
	case d.since != "":
		return d, e.Readable(ctx, d.name, d.since)
	default:
		return d, nil
	}
}

// Readable refuses, with the kind Unsupported, what needs records of the version since as
// long as a service lives that does not know them.
func (e *Engine) Readable(ctx context.Context, what, since string) error {
	pin, err := e.cfg.Pin(ctx)
	if err != nil || volume.CompareVersions(since, pin.Version) <= 0 {
		return err
	}
	return fault.New(fault.Unsupported, "%s needs records of version %s, and there are services of version %s", what, since, pin.Version).
		WithBlockers(pin.By...).WithHint("upgrade them; volumectl service list shows the versions")
}

// enter counts an accept in, which Stop then waits for, unless the engine is closed.
func (e *Engine) enter() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.open {
		e.running.Add(1)
	}
	return e.open
}

// acceptance is the outcome of an accept: an operation, and what running it
// takes.
type acceptance struct {
	op volume.Operation // without an ID while the accept has not come to its end
	definition
	bound
	holders []string // whom the claim of the target waits for
	prior   bool     // the request was accepted before; there is nothing to run
}

// record writes the acceptance of an operation. With an error in full, nothing new
// is accepted, but what was accepted before is still found.
func (e *Engine) record(op *volume.Operation, full error) (a acceptance, err error) {
	crashpoint.At(op.Method, "accept", "before")
	defer crashpoint.At(op.Method, "accept", "after")
	err = e.write(e.hard, func(tx Tx) (err error) {
		if full != nil {
			a, err = prior(tx, op)
			if err == nil && !a.prior {
				err = full
			}
			return err
		}
		a, err = e.accept(tx, *op)
		return err
	})
	return a, err
}

// prior returns what was accepted before under the request id: an acceptance that
// is not prior if there is nothing, Conflict if it was another request.
func prior(tx Tx, op *volume.Operation) (acceptance, error) {
	found, err := tx.OperationByRequest(op.ProjectID, op.RequestID)
	switch {
	case errors.Is(err, fault.NotFound):
		return acceptance{}, nil
	case err != nil:
		return acceptance{}, err
	case found.ArgHash != op.ArgHash:
		return acceptance{}, fault.New(fault.Conflict, "request id %s was used for another request: %s of %s", op.RequestID, found.Method, found.Resource).
			WithField("request_id").WithBlockers("operation " + found.ID)
	default:
		return acceptance{op: found, prior: true}, nil
	}
}

// accept writes the operation and what its method wants written with it.
func (e *Engine) accept(tx Tx, op volume.Operation) (a acceptance, err error) {
	if a, err = prior(tx, &op); err != nil || a.prior {
		return a, err
	}
	if a.definition, a.bound, err = e.bindOperation(&op); err != nil {
		return a, err
	}
	op.Epoch, op.Type, op.Lane = e.cfg.Fence.Epoch, a.resource, string(a.lane)
	if err := a.accept(tx, &op); err != nil {
		return a, err
	}
	if op.Args, err = a.encode(); err != nil {
		return a, err
	}
	if a.target != "" {
		if err := tx.Claim(op.ID, op.Resource, a.target); err != nil {
			return a, err
		}
	}
	if a.target == Exclusive && !a.creates {
		if a.holders, err = tx.Holders(op.ID, op.Resource); err != nil {
			return a, err
		}
	}
	if len(a.holders) > 0 {
		op.Status, op.Reason, op.NextTry = volume.Waiting, held(op.Resource, a.holders).Message, now().Add(retryFirst)
	}
	if err := tx.InsertOperation(&op); err != nil {
		return a, err
	}
	a.op = op
	return a, nil
}

// begin runs what an accept has made. An engine that was stopped meanwhile
// leaves it to the next process.
func (e *Engine) begin(a acceptance) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if a.prior || !e.open {
		return
	}
	t := newTask(e, a.definition, a.bound, a.op)
	t.holders = a.holders
	e.tasks[a.op.ID] = t
	e.launch(t)
}

// unanswered returns what the caller is told of an accept that returned err.
// Where only the answer of the commit is missing, somebody has to look: if the
// operation is in the journal it must be run, and its caller may never ask again.
func (e *Engine) unanswered(a acceptance, err error) error {
	switch {
	case errors.Is(err, ErrFenced):
		return fault.New(fault.Unavailable, "%w", err).WithRetryAfter(retryFirst)
	case e.hard.Err() != nil:
		return fault.New(fault.Unavailable, "%s stopped before the request was accepted, or could tell so", e.cfg.Fence.Host).
			WithRetryAfter(retryFirst)
	case outage(err) && a.op.ID != "" && !a.prior:
		// Submit is counted in running itself, so Stop still waits.
		e.running.Go(func() { e.recheck(a.op) })
	}
	return err
}

// recheck looks whether an accept was committed after all, and runs the operation
// if so.
func (e *Engine) recheck(op volume.Operation) {
	// A commit may have been under way when the connection that carried it broke.
	if sleep(e.ctx, retryFirst) != nil {
		return
	}
	var found volume.Operation
	err := e.persist(e.ctx, func() error {
		return e.write(e.ctx, func(tx Tx) (err error) {
			found, err = tx.OperationByRequest(op.ProjectID, op.RequestID)
			return err
		})
	})
	if err != nil || found.ID != op.ID || found.Status.Terminal() {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.open {
		return
	}
	if t := e.adopt(found); t != nil {
		e.launch(t)
	}
}
