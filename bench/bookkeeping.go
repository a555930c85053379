package main

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	_ "modernc.org/sqlite" // the floor writes to the same engine

	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/store"
	"github.com/volumed/volumed/store/storetest"
	"github.com/volumed/volumed/volume"
)

// measureBookkeeping: what a request costs in the database, on SQLite: the commit that
// accepts it and the one that finishes it. The floor is two commits of one small row.
// Alone a request waits for the disk twice; 20 at a time share the commits.
func measureBookkeeping(ctx context.Context, w *world) error {
	floor, err := w.plainCommits(ctx)
	if err != nil {
		return err
	}
	b, err := w.openBooks(ctx)
	if err != nil {
		return err
	}
	defer b.db.Close()
	var ours []time.Duration
	for range 100 * w.runs {
		begin := time.Now()
		if err := b.keep(ctx); err != nil {
			return err
		}
		ours = append(ours, time.Since(begin))
	}
	over := median(ours) - median(floor)
	w.table.add("bookkeeping of one request, alone, p50", round(median(floor))+" two commits", round(median(ours)),
		fmt.Sprintf("+ %s", round(over)), "≤ + 0.5 ms")
	var each []time.Duration
	for range w.runs {
		rate, err := parallel(1000, rawJobs, func(int) error { return b.keep(ctx) })
		if err != nil {
			return err
		}
		each = append(each, time.Duration(float64(time.Second)/rate))
	}
	w.table.add(fmt.Sprintf("bookkeeping of one request, %d at a time", rawJobs), "", round(median(each)), "", "≤ 0.5 ms")
	return nil
}

// plainCommits returns how long two durable commits of one row take.
func (w *world) plainCommits(ctx context.Context) (took []time.Duration, err error) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(w.dir, "floor.db")+"?_pragma=journal_mode(wal)&_pragma=synchronous(full)")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, "CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT NOT NULL)"); err != nil {
		return nil, err
	}
	for range 100 * w.runs {
		begin := time.Now()
		for range 2 {
			if _, err := db.ExecContext(ctx, "INSERT INTO t (text) VALUES ($1)", "a request"); err != nil {
				return nil, err
			}
		}
		took = append(took, time.Since(begin))
	}
	return took, nil
}

// books is a database of our own with one service in it.
type books struct {
	db    *store.DB
	fence operation.Fence
}

func (w *world) openBooks(ctx context.Context) (*books, error) {
	url := "sqlite:///" + filepath.Join(w.dir, "books.db")
	if err := store.Migrate(ctx, url, mute{}); err != nil {
		return nil, err
	}
	db, err := store.Open(ctx, url, store.Options{})
	if err != nil {
		return nil, err
	}
	row, _, err := db.TakeOver(ctx, storetest.NewService(services[0]))
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	return &books{db, operation.Fence{Host: services[0], Epoch: row.Epoch}}, nil
}

// mute is a log that nobody reads.
type mute struct{}

func (mute) Info(string, ...any) {}

// keep does the bookkeeping of one create_volume.
func (b *books) keep(ctx context.Context) error {
	op := storetest.NewOperation(b.fence)
	v := storetest.NewVolume(op.Resource.ID, b.fence.Host)
	err := b.db.Write(ctx, b.fence, func(tx operation.Tx) error { return storetest.Accept(tx, &op, &v) })
	if err != nil {
		return err
	}
	v.Status, v.ImageID = volume.Available, uuid.NewString()
	op.Status, op.Progress = volume.Succeeded, 100
	return b.db.Write(ctx, b.fence, func(tx operation.Tx) error { return storetest.Finish(tx, &op, &v, volume.Creating) })
}
