package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// soon is how long a request is waited for without showing progress.
const soon = 2 * time.Second

// carryOut sends a request that starts an operation and waits for its end as
// --wait says. Most are over soon, with one message. For the others the
// operation is watched, and the request is repeated for its final answer.
func carryOut[Reply any](ctx context.Context, a *app, c change, operation func(Reply) *volume.Operation,
	send func(context.Context, rpc.CallOptions) (Reply, error),
) (Reply, error) {
	ctx, cancel := context.WithTimeout(ctx, c.wait+patience)
	defer cancel()
	end := time.Now().Add(c.wait)
	reply, err := send(ctx, rpc.CallOptions{RequestID: c.requestID, Wait: min(c.wait, soon)})
	if err != nil || c.wait == 0 {
		return reply, err
	}
	op := operation(reply)
	if op == nil || op.Status.Terminal() {
		return reply, nil
	}
	last := a.watch(ctx, *op, end)
	if !last.Status.Terminal() {
		return reply, stillRunning(last)
	}
	final, err := send(ctx, rpc.CallOptions{RequestID: c.requestID})
	if errors.Is(err, rpc.ErrNoAnswer) {
		// The worker has gone since; what it did is known all the same.
		*op = last
		return reply, outcome(last)
	}
	return final, err
}

// outcome returns the error of an operation that has ended.
func outcome(op volume.Operation) error {
	switch {
	case op.Error != nil:
		return rpc.WithOperation(op.Error.Fault(), op)
	case op.Status == volume.Succeeded:
		return nil
	default:
		return rpc.WithOperation(fault.New(fault.Cancelled, "operation %s is %s", op.ID, op.Status), op)
	}
}

// watch shows the progress of an operation until it or the wait ends, and
// returns its last known state.
func (a *app) watch(ctx context.Context, op volume.Operation, end time.Time) volume.Operation {
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	bar := a.newBar(op)
	defer bar.stop()
	for state := range a.client.Watch(ctx, op.ID) {
		op = state
		bar.show(op)
	}
	return op
}

// bar is a progress bar; the zero bar shows nothing.
type bar struct {
	container *mpb.Progress
	line      *mpb.Bar
	states    chan volume.Operation // holds the state to show
}

// newBar returns a bar on a terminal, else one that shows nothing.
func (a *app) newBar(op volume.Operation) *bar {
	if !isTerminal(a.stderr) {
		return &bar{}
	}
	b := &bar{container: mpb.New(mpb.WithOutput(a.stderr), mpb.WithWidth(64)), states: make(chan volume.Operation, 1)}
	shown := op
	b.line = b.container.AddBar(100,
		mpb.PrependDecorators(decor.Name(escape(op.Method))),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string {
			select {
			case shown = <-b.states:
			default:
			}
			return caption(shown, time.Now())
		})))
	b.show(op)
	return b
}

// caption says beside the bar how things stand.
func caption(op volume.Operation, now time.Time) string {
	text := string(op.Status)
	switch {
	case op.Reason != "":
		text += ": " + op.Reason
	case op.Step != "":
		text = op.Step
	}
	if left := op.ETA.Sub(now).Round(time.Second); !op.ETA.IsZero() && left > 0 {
		text += ", " + left.String() + " left"
	}
	return fmt.Sprintf("%d%% %s", op.Progress, escape(text))
}

func (b *bar) show(op volume.Operation) {
	if b.line == nil {
		return
	}
	select { // the newest state replaces one that was not drawn
	case <-b.states:
	default:
	}
	b.states <- op
	b.line.SetCurrent(int64(min(op.Progress, 99))) // 100 would end the line
}

// stop removes the bar, so that what is printed next stands alone.
func (b *bar) stop() {
	if b.line == nil {
		return
	}
	b.line.Abort(true)
	b.container.Wait()
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
