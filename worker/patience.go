package worker

import (
	"context"
	"errors"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// How long those who ask wait for a database that does not answer. What changes
// something waits as long as its caller does.
const (
	readWithin   = 3 * time.Second
	cancelWithin = 2 * time.Second
)

// soon bounds a method that only reads.
func soon[Req, Resp any](read func(context.Context, Req) (Resp, error)) func(context.Context, Req) (Resp, error) {
	return func(ctx context.Context, r Req) (resp Resp, err error) {
		err = within(ctx, readWithin, func(ctx context.Context) error {
			resp, err = read(ctx, r)
			return err
		})
		return resp, err
	}
}

// within runs what asks the database, and gives up waiting for it after most.
func within(ctx context.Context, most time.Duration, ask func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	err := ask(bounded)
	if err != nil && ctx.Err() == nil && errors.Is(bounded.Err(), context.DeadlineExceeded) {
		return fault.New(fault.Unavailable, "the database does not answer within %s: %w", most, err)
	}
	return err
}

// known returns an operation from its row, or, if it is at work here, as this
// process knows it: that is newer, and known also while the database is away.
func (w *Worker) known(ctx context.Context, id string) (op volume.Operation, err error) {
	err = within(ctx, cancelWithin, func(ctx context.Context) error {
		op, err = w.store.Operation(ctx, id)
		return err
	})
	if err != nil && fault.KindOf(err) != fault.Unavailable || op.Status.Terminal() {
		return op, err
	}
	select {
	case <-w.opened:
	default: // nothing is at work here yet
		return op, err
	}
	if atWork, found := w.engine.Find(id); found {
		return atWork, nil
	}
	return op, err
}
