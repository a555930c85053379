package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// setUp brings the worker to the point where it takes requests.
func (w *Worker) setUp(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The cluster takes longest to answer, so it is asked while the database is.
	connected := make(chan connections, 1)
	go func() { connected <- w.connect(ctx) }()
	err := w.openStore(ctx)
	if err != nil {
		cancel()
	}
	for waiting := true; waiting; {
		select {
		case c := <-connected:
			w.conn, w.driver = c.conn, c.driver
			err, waiting = errors.Join(err, c.err), false
		case <-w.health.changed:
			_ = w.beat(ctx) // the row says why it is not ready
		}
	}
	if err != nil {
		return err
	}
	return w.open(ctx)
}

// openStore opens the database and takes the service's row over, unless another
// process still serves.
func (w *Worker) openStore(ctx context.Context) error {
	if err := w.retry(ctx, "database", func() error {
		store, err := w.deps.OpenStore(ctx)
		if err == nil { // otherwise it may be an interface around nil
			w.store = store
		}
		return err
	}); err != nil || w.deps.Parent.Replaces() > 0 {
		return err
	}
	return w.takeOver(ctx)
}

// connections are what connect has opened.
type connections struct {
	conn   *rpc.Conn
	driver driver.Driver
	err    error
}

// connect connects to the bus and to the cluster, side by side, however long they
// are away.
func (w *Worker) connect(ctx context.Context) (c connections) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var bus sync.WaitGroup
	bus.Go(func() {
		err := w.retry(ctx, "bus", func() (err error) {
			c.conn, err = w.deps.Connect(ctx)
			return err
		})
		if err != nil {
			cancel(err) // it is pointless to wait for the cluster
		}
	})
	err := w.retry(ctx, "backend", func() error {
		d, err := w.deps.OpenDriver(ctx)
		if err == nil {
			c.driver = d
		}
		return err
	})
	if err != nil {
		cancel(err)
	}
	bus.Wait()
	c.err = context.Cause(ctx)
	return c
}

// open claims what is unfinished, subscribes, and begins to work.
func (w *Worker) open(ctx context.Context) error {
	if w.deps.Parent.Replaces() > 0 {
		if err := w.succeed(ctx); err != nil {
			return err
		}
	}
	if d, able := driver.As[driver.Introducer](w.driver); able {
		d.Introduce(w.beat) // whoever comes after us must know what else to fence
	}
	w.background.Go(func() { w.fencePredecessor(context.WithoutCancel(ctx)) })
	var noted sync.WaitGroup // before anything is opened: who comes after us must know whom to fence
	noted.Go(func() { _ = w.beat(ctx) })
	w.events = rpc.NewEvents(w.conn)
	w.engine = operation.New(operation.Config{
		Fence: w.fence, Journal: w.store, Publisher: publisher{w}, Lanes: w.cfg.Lanes, Log: w.log.Named("operation"),
		OnFenced: w.overtaken, OnTrouble: w.trouble, Pin: w.pin,
	})
	w.register(w.engine)
	claimed := 0
	if err := w.retry(ctx, "database", func() (err error) {
		claimed, err = w.engine.Recover(ctx)
		return err
	}); err != nil {
		return err
	}
	w.owe(w.engine.InFlight())
	if claimed > 0 {
		w.log.Info("took over unfinished operations", "count", claimed)
		w.background.Wait() // they would wait for what the process before has open
	}
	if w.server == nil {
		if err := w.subscribe(ctx); err != nil {
			return err
		}
	}
	noted.Wait()
	w.engine.Start()
	close(w.opened)
	w.health.enter(volume.Ready)
	_ = w.beat(ctx) // the first of many; a failure shows in the health
	w.deps.Parent.Ready()
	return nil
}

// subscribe has requests come in. They are handled once the engine takes them.
func (w *Worker) subscribe(ctx context.Context) error {
	if err := w.retry(ctx, "peers", func() error { return w.sameDatabase(ctx) }); err != nil {
		return err
	}
	w.server = w.newServer()
	w.health.set("bus", waitingForBus(w.conn))
	if err := w.server.Start(ctx); err != nil {
		return err
	}
	w.health.set("bus", "")
	return nil
}

// succeed takes the service over from a process that serves it until this one is
// set up. Requests that come in between are held, so that no moment passes in
// which nobody takes them.
func (w *Worker) succeed(ctx context.Context) error {
	if err := w.subscribe(ctx); err != nil {
		return err
	}
	w.deps.Parent.Warm()
	if err := w.deps.Parent.Go(ctx); err != nil {
		return err
	}
	return w.takeOver(ctx)
}

func waitingForBus(conn *rpc.Conn) string {
	if conn.Connected() {
		return ""
	}
	return "no connection to the bus at " + conn.Server()
}

// Delays between attempts to reach what is away at start.
const (
	openRetryFirst = time.Second
	openRetryMost  = time.Minute
)

// retry repeats open while what it opens is away, and says so.
func (w *Worker) retry(ctx context.Context, what string, open func() error) error {
	delays := backoff.NewExponentialBackOff()
	delays.InitialInterval, delays.MaxInterval = openRetryFirst, openRetryMost
	for {
		err := open()
		if fault.KindOf(err) != fault.Unavailable || ctx.Err() != nil {
			if err == nil {
				w.health.set(what, "")
			}
			return err
		}
		w.health.set(what, err.Error())
		select {
		case <-time.After(delays.NextBackOff()):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
