package store

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/volume"
)

// operationColumns are the columns of operations: what accept decides, then what
// changes in an operation's life.
var operationColumns = []string{
	"id", "request_id", "project_id", "user_id", "method", "args", "arg_hash", "resource_type", "resource_id", "backend", "lane",
	"epoch", "traceparent", "created_at", "deadline", "cancel_requested",
	"status", "step", "progress", "eta", "attempt", "reason", "blocked_by", "hint", "next_try", "error", "result", "started_at", "updated_at", "finished_at",
}

const operationFixed = 16

func operationFields(op *volume.Operation) []any {
	return []any{
		&op.ID, &op.RequestID, &op.ProjectID, &op.UserID, &op.Method, jsonOf((*json.RawMessage)(&op.Args)), &op.ArgHash,
		(*string)(&op.Type), &op.Resource.ID, &op.Backend, &op.Lane,
		&op.Epoch, &op.TraceParent, timeOf(&op.CreatedAt), timeOf(&op.Deadline), &op.CancelRequested,
		(*string)(&op.Status), &op.Step, &op.Progress, timeOf(&op.ETA), &op.Attempt, &op.Reason, jsonOf(&op.BlockedBy), &op.Hint, timeOf(&op.NextTry),
		jsonOf(&op.Error), jsonOf(&op.Result), timeOf(&op.StartedAt), timeOf(&op.UpdatedAt), timeOf(&op.FinishedAt),
	}
}

// unfinished is the condition of the index operations_unfinished, word for word:
// the engines use a partial index only for a query that says the same.
const unfinished = "status IN ('queued', 'running', 'waiting')"

var (
	selectOperations = "SELECT " + strings.Join(operationColumns, ", ") + " FROM operations"
	selectOperation  = selectOperations + " WHERE id = $1"
	selectWork       = selectOperations + " WHERE resource_id = $1 AND resource_type = $2 AND method = $3 AND " + unfinished +
		" ORDER BY created_at DESC, id DESC LIMIT 1"
	selectRequest   = selectOperations + " WHERE project_id = $1 AND request_id = $2"
	insertOperation = insertInto("operations", operationColumns)
	// A request to cancel stays, whoever made it meanwhile.
	updateOperation = "UPDATE operations SET " + assignments(5, operationColumns[operationFixed:]) +
		", cancel_requested = (cancel_requested OR $4)" +
		" WHERE id = $1 AND backend = $2 AND epoch = $3 AND " + unfinished + " RETURNING cancel_requested"
	claimOperations = "UPDATE operations SET epoch = $2, attempt = attempt + 1, updated_at = $3" +
		" WHERE backend = $1 AND " + unfinished + " RETURNING " + strings.Join(operationColumns, ", ")
)

// OperationByRequest implements operation.Tx.
func (t *tx) OperationByRequest(projectID, requestID string) (volume.Operation, error) {
	var op volume.Operation
	found, err := t.one(operationFields(&op), selectRequest, projectID, requestID)
	if err == nil && !found {
		err = fault.New(fault.NotFound, "project %q has no operation for request %q", projectID, requestID)
	}
	return op, err
}

// OperationOn implements operation.Tx.
func (t *tx) OperationOn(r volume.Resource, method string) (volume.Operation, error) {
	var op volume.Operation
	found, err := t.one(operationFields(&op), selectWork, r.ID, string(r.Type), method)
	if err == nil && !found {
		err = fault.New(fault.NotFound, "no %s is at work on %s", method, r)
	}
	return op, err
}

// InsertOperation implements operation.Tx. It is fault.Exists if the id or the
// request id is taken; one that is taken at this moment by another process makes
// the change run again, so that OperationByRequest finds it.
func (t *tx) InsertOperation(op *volume.Operation) error {
	op.CreatedAt, op.UpdatedAt = t.now, t.now
	t.markEnd(op)
	n, err := t.exec(insertOperation, operationFields(op)...)
	if err == nil && n == 0 {
		err = fault.New(fault.Exists, "operation %s for request %q exists already: %w", op.ID, op.RequestID, errLostRace)
	}
	return err
}

// UpdateOperation implements operation.Tx. CancelRequested is set in op too when
// somebody asked for it meanwhile, and FinishedAt at an end that has none.
func (t *tx) UpdateOperation(op *volume.Operation) error {
	op.UpdatedAt = t.now
	t.markEnd(op)
	if op.Epoch != t.epoch.Epoch {
		return fault.New(fault.Conflict, "operation %s is of epoch %d, the writer of %d", op.ID, op.Epoch, t.epoch.Epoch)
	}
	found, err := t.one([]any{&op.CancelRequested}, updateOperation,
		append([]any{op.ID, t.epoch.Host, op.Epoch, op.CancelRequested}, operationFields(op)[operationFixed:]...)...)
	if err == nil && !found {
		err = t.whyNotUpdated(op)
	}
	return err
}

// markEnd gives an operation that has ended the time of it.
func (t *tx) markEnd(op *volume.Operation) {
	if op.Status.Terminal() && op.FinishedAt.IsZero() {
		op.FinishedAt = t.now
	}
}

func (t *tx) whyNotUpdated(op *volume.Operation) error {
	now, err := operationByID(t.session, op.ID)
	switch {
	case err != nil:
		return err
	case now.Status.Terminal():
		return fault.New(fault.Conflict, "operation %s has ended: it %s", op.ID, now.Status)
	default:
		return fault.New(fault.Conflict, "operation %s belongs to %s, epoch %d", op.ID, now.Backend, now.Epoch)
	}
}

// Claim implements operation.Journal.
func (db *DB) Claim(ctx context.Context, fence operation.Fence) (ops []volume.Operation, err error) {
	err = db.engine.write(ctx, durable, func(s *session) error {
		if err := s.fence(fence); err != nil {
			return err
		}
		ops, err = all(s, operationFields, claimOperations, fence.Host, fence.Epoch, timeOf(&s.now))
		return err
	})
	slices.SortFunc(ops, func(a, b volume.Operation) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return ops, err
}

// Operation implements operation.Journal.
func (db *DB) Operation(ctx context.Context, id string) (volume.Operation, error) {
	return operationByID(db.lookup(ctx), id)
}

func operationByID(s *session, id string) (volume.Operation, error) {
	var op volume.Operation
	found, err := s.one(operationFields(&op), selectOperation, id)
	if err == nil && !found {
		err = fault.New(fault.NotFound, "there is no operation %s", id)
	}
	return op, err
}
