package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/volume"
)

// serve does the periodic work until ctx ends or another process takes over, and
// drains then. Heartbeats go on until that is done; a call of the other loops
// that hangs in the backend delays neither.
func (w *Worker) serve(ctx context.Context) (err error) {
	alive, die := context.WithCancel(context.Background())
	var beats sync.WaitGroup
	beats.Go(func() { w.heartbeats(alive) })
	defer func() { die(); beats.Wait() }()

	periodic, stop := context.WithCancel(context.Background())
	for _, loop := range []func(context.Context){w.watchBus, w.watchBackend, w.statistics, w.pruning, w.lateness} {
		w.background.Go(func() { loop(periodic) })
	}
	select {
	case <-ctx.Done():
	case err = <-w.over:
		w.log.Error("this process must end", "epoch", w.fence.Epoch, "error", err)
		w.replaced = errors.Is(err, ErrReplace)
	}
	stop()
	timeout := w.live().DrainTimeout
	if w.replaced {
		timeout = replaceTimeout
	}
	drainErr := w.drain(timeout)
	w.cutOff = drainErr != nil
	return errors.Join(err, drainErr)
}

// drain ends the work: no new requests, what runs comes to a safe point, and so
// do the loops. A timeout of 0 means no limit.
func (w *Worker) drain(timeout time.Duration) error {
	w.deps.Parent.Stopping()
	w.health.enter(volume.Draining)
	ctx, drained := w.drainContext(timeout)
	defer drained()
	if n := len(w.engine.InFlight()); n > 0 {
		w.log.Info("draining", "operations", n, "timeout", timeout)
	}
	ended := make(chan struct{})
	go func() { w.background.Wait(); close(ended) }()
	err := errors.Join(w.server.Stop(ctx), w.engine.Stop(ctx))
	select {
	case <-ended:
		return err
	default:
	}
	select {
	case <-ended:
		return err
	case <-ctx.Done():
		return errors.Join(err, fault.New(fault.Unavailable, "a check of the backend did not end in time"))
	}
}

// closeTimeout bounds the last words to the database.
const closeTimeout = 2 * time.Second

// tearDown closes what setUp has opened.
func (w *Worker) tearDown() (err error) {
	if w.server != nil { // what it holds is refused, if the engine was never opened; else it has stopped before
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		err = w.server.Stop(ctx)
	}
	if w.driver != nil && !w.replaced && !w.cutOff { // else the end of the process is what ends its calls
		closed := w.driver.Close()
		w.cutOff = closed != nil
		err = errors.Join(err, closed)
	}
	w.images.Close()
	if w.conn != nil {
		w.conn.Close()
	}
	if w.store != nil {
		if w.fence.Epoch > 0 {
			ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
			defer cancel()
			if e := w.lastBeat(ctx); e != nil && !errors.Is(e, operation.ErrFenced) {
				w.log.Warn("last heartbeat not written", "error", e)
			}
		}
		err = errors.Join(err, w.store.Close())
	}
	return err
}

// lastBeat makes the service show as down at once, instead of after
// service_down_time; but not one whose successor is about to begin: a machine that
// stands by would take the service from that.
func (w *Worker) lastBeat(ctx context.Context) error {
	phase, reason := volume.Stopped, "stopped"
	if w.replaced || w.deps.Parent.HandedOver() {
		phase, reason = volume.Draining, "is being replaced"
		if _, why := w.health.now(); why != "" {
			reason += ": " + why
		}
	}
	// What is left in a driver may still come to be, until it is fenced.
	left := w.neighbours.addrs()
	if w.replaced || w.cutOff {
		left = w.addrs()
	}
	addrs := append([]string{}, w.unfenced()...) // nil would leave those in the row that are there
	addrs = append(addrs, left...)
	return w.store.Heartbeat(ctx, w.fence, phase, reason, addrs)
}
