package store

import (
	"context"
	"time"
)

// pruneBatch keeps one transaction of Prune about as short as another write.
const pruneBatch = 100

// An operation does not end before it is created: the condition on created_at
// changes nothing but lets the index operations_created be used.
const deleteFinished = `DELETE FROM operations WHERE id IN (
	SELECT id FROM operations
	WHERE status IN ('succeeded', 'failed', 'cancelled') AND created_at < $1 AND finished_at < $1
		AND NOT EXISTS (SELECT 1 FROM claims WHERE operation_id = operations.id)
	ORDER BY created_at, id LIMIT $2)`

// The oldest events come first by their id; none is looked at beyond the first batch.
// The newest stays, whatever its age: SQLite gives ids again that are above all others.
const deleteEvents = `DELETE FROM events WHERE id IN (
	SELECT id FROM (SELECT id, created_at FROM events ORDER BY id LIMIT $2) AS oldest WHERE created_at < $1)
	AND id < (SELECT max(id) FROM events)`

// Prune removes operations that ended before the given time and returns their
// number; and events that were written, and audits that began before it. It works
// in small transactions between which other writes are let in, so it may end early
// with some removed: when ctx ends, or with fault.Unavailable. Processes may prune
// at the same time.
func (db *DB) Prune(ctx context.Context, before time.Time) (int, error) {
	total, err := db.inBatches(ctx, deleteFinished, before)
	if err != nil {
		return total, err
	}
	if _, err := db.inBatches(ctx, deleteEvents, before); err != nil {
		return total, err
	}
	return total, db.pruneAudits(ctx, before)
}

// inBatches repeats a statement that deletes one batch of what is older than the
// given time, and returns how many rows that were.
func (db *DB) inBatches(ctx context.Context, statement string, before time.Time) (int, error) {
	for total := 0; ; {
		var n int64
		err := db.engine.write(ctx, durable, func(s *session) (err error) {
			n, err = s.exec(statement, timeOf(&before), pruneBatch)
			return err
		})
		if err != nil {
			return total, err
		}
		if total += int(n); n < pruneBatch {
			return total, nil
		}
	}
}
