package rpc

import (
	"context"
	"encoding/json"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// reread is how often Watch asks for the operation, because events can be lost.
const reread = 2 * time.Second

// Watch yields the states of an operation as they become known, the present
// one first and its end last, and then closes the channel. A reader that is slow
// misses states between, never the end. The channel closes without an end only
// when ctx ends or there is no such operation. Interruptions of the connection
// and of the workers are sat out.
func (c *Client) Watch(ctx context.Context, operationID string) <-chan volume.Operation {
	w := &watch{Client: c, id: operationID, out: make(chan volume.Operation, 1), events: make(chan *nats.Msg, 64)}
	go w.run(ctx)
	return w.out
}

type watch struct {
	*Client
	id     string
	out    chan volume.Operation
	events chan *nats.Msg
	last   time.Time // UpdatedAt of the state that was yielded last
}

func (w *watch) run(ctx context.Context) {
	defer close(w.out)
	// Without the subscription (forbidden, closed) the reading still works.
	if sub, err := w.conn.nc.ChanSubscribe(OperationSubject(w.id), w.events); err == nil {
		defer func() { _ = sub.Unsubscribe() }()
	}
	again := time.NewTicker(reread)
	defer again.Stop()
	for ended := w.read(ctx); !ended; {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
			ended = w.read(ctx)
		case msg := <-w.events:
			var op volume.Operation
			if json.Unmarshal(msg.Data, &op) == nil && op.ID == w.id {
				ended = w.yield(op)
			}
		}
	}
}

// read asks for the operation and yields it; it reports whether that was all.
func (w *watch) read(ctx context.Context) (ended bool) {
	r, err := w.GetOperation(ctx, OperationRequest{OperationID: w.id})
	if err != nil {
		return ctx.Err() != nil || fault.KindOf(err) == fault.NotFound
	}
	return w.yield(r.Operation)
}

// yield puts the state where the reader finds it, in place of one that was not
// read yet, unless it is older than what the reader knows.
func (w *watch) yield(op volume.Operation) (ended bool) {
	if op.UpdatedAt.Before(w.last) {
		return false
	}
	w.last = op.UpdatedAt
	select {
	case <-w.out:
	default:
	}
	w.out <- op
	return op.Status.Terminal()
}
