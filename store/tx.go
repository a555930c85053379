package store

import (
	"context"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/volume"
)

// tx is the inside of one Write. Its methods stand beside the tables they are about.
type tx struct {
	*session
	epoch operation.Fence
}

var (
	_ operation.Journal = (*DB)(nil)
	_ operation.Tx      = (*tx)(nil)
)

// Write implements operation.Journal. On SQLite, change runs on the goroutine
// that writes for the whole process, so it must be quick and must not call Write.
// change never runs after Write has returned. When ctx ends early enough, the
// change is taken back and the error is that of ctx; once it may have been
// committed, the error is fault.Unavailable.
func (db *DB) Write(ctx context.Context, fence operation.Fence, change func(operation.Tx) error) error {
	return db.writeAs(ctx, durable, fence, change)
}

// WriteSoon implements operation.Journal. PostgreSQL makes it durable at once.
func (db *DB) WriteSoon(ctx context.Context, fence operation.Fence, change func(operation.Tx) error) error {
	return db.writeAs(ctx, soon, fence, change)
}

func (db *DB) writeAs(ctx context.Context, how manner, fence operation.Fence, change func(operation.Tx) error) error {
	return db.engine.write(ctx, how, func(s *session) error {
		if err := s.fence(fence); err != nil {
			return err
		}
		return change(&tx{s, fence})
	})
}

// compareAndSet explains an UPDATE of a row that should have had the status from
// and changed n rows.
func (t *tx) compareAndSet(n int64, table string, r volume.Resource, from volume.Status) error {
	if n > 0 {
		return nil
	}
	var status string
	found, err := t.one([]any{&status}, "SELECT status FROM "+table+" WHERE id = $1", r.ID)
	switch {
	case err != nil:
		return err
	case !found:
		return fault.New(fault.NotFound, "there is no %s", r)
	default:
		return fault.New(fault.Conflict, "%s is %s, not %s", r, status, from)
	}
}
