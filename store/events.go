package store

import (
	"strings"

	"github.com/volumed/volumed/volume"
)

var eventColumns = []string{"resource_type", "resource_id", "operation_id", "what", "detail", "created_at"}

func eventFields(e *volume.Event) []any {
	return append([]any{&e.ID}, newEventFields(e)...)
}

func newEventFields(e *volume.Event) []any {
	return []any{(*string)(&e.Type), &e.Resource.ID, &e.OperationID, &e.What, jsonOf(&e.Detail), timeOf(&e.CreatedAt)}
}

var (
	selectEvents     = "SELECT id, " + strings.Join(eventColumns, ", ") + " FROM events"
	selectLastEvents = selectEvents + " WHERE resource_id = $1 AND resource_type = $2 ORDER BY id DESC LIMIT $3"
	insertEvent      = "INSERT INTO events (" + strings.Join(eventColumns, ", ") + ") VALUES (" +
		placeholders(len(eventColumns)) + ") RETURNING id"
)

// AppendEvent implements operation.Tx. On PostgreSQL it makes every other
// transaction that appends wait for the end of this one, so that ids grow in the
// order of the commits: append last.
func (t *tx) AppendEvent(e *volume.Event) error {
	if err := t.lockKey("events"); err != nil {
		return err
	}
	e.CreatedAt = t.now
	_, err := t.one([]any{&e.ID}, insertEvent, newEventFields(e)...)
	return err
}
