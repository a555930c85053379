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
	ORDER BY created_at, id LIMIT $2) RETURNING id`

// Prune removes operations that ended before the given time, with their events,
// and returns their number; and audits that began before it. It works in small
// transactions between which other writes are let in, so it may end early with
// some removed: when ctx ends, or with fault.Unavailable. Processes may prune at
// the same time.
func (db *DB) Prune(ctx context.Context, before time.Time) (int, error) {
	total := 0
	for {
		n := 0
		err := db.engine.write(ctx, false, func(s *session) (err error) {
			n, err = s.prune(before)
			return err
		})
		if err != nil {
			return total, err
		}
		total += n
		if n < pruneBatch {
			return total, db.pruneAudits(ctx, before)
		}
	}
}

func (s *session) prune(before time.Time) (int, error) {
	ids, err := all(s, func(id *string) []any { return []any{id} }, deleteFinished, timeOf(&before), pruneBatch)
	for _, id := range ids {
		if err != nil {
			break
		}
		_, err = s.exec("DELETE FROM events WHERE operation_id = $1", id)
	}
	return len(ids), err
}
