package worker

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/spell"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// Worker is the service of one backend. It is made by New and lives through one
// call of Run.
type Worker struct {
	cfg  Config
	deps Deps
	log  hclog.Logger
	told *spell.Log // of what fails at every interval while something is away

	// Set in the course of setUp, in this order, and constant afterwards.
	store  Store
	fence  operation.Fence
	before volume.ServiceState // the row as the process before has left it
	conn   *rpc.Conn
	driver driver.Driver
	engine *operation.Engine
	server *rpc.Server
	events *rpc.Events

	health    *health
	pulse     pulse
	tuning    *tuning
	stats     statsCache
	batches   *batches
	opened    chan struct{} // closed when the engine takes requests
	over      chan error    // holds why this process must end, once that is known
	troubled  chan struct{} // holds one token: an operation is held up
	attempted atomic.Bool   // to fence the process before
	replaced  bool          // by the end of serve: this process ends with ErrReplace
	cutOff    bool          // the drain was not over in time: calls are left in the driver

	background sync.WaitGroup // what goes on beside the work, until drain
}

// New returns a worker that has done nothing yet.
func New(cfg Config, deps Deps) *Worker {
	return &Worker{
		cfg: cfg, deps: deps, log: deps.Log, told: spell.New(deps.Log, 0), health: newHealth(deps.Parent, deps.Log), batches: newBatches(),
		tuning: newTuning(cfg.Live),
		opened: make(chan struct{}), over: make(chan error, 1), troubled: make(chan struct{}, 1),
	}
}

// Run serves until ctx ends, and then brings the work to safe points, for at
// most the drain timeout. It returns nil when everything it had accepted is
// done or safely left in the journal. Kinds of its error: those of the Opens,
// Conflict (operation.ErrFenced) when another process has taken the service over,
// Unavailable (ErrReplace) when a fresh process has to go on with the work.
func (w *Worker) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, w.tearDown()) }()
	watched, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	var watch sync.WaitGroup
	watch.Go(func() { w.watchdog(watched) })
	defer func() { unwatch(); watch.Wait() }()
	if err := w.setUp(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // asked to stop before it had begun
		}
		return err
	}
	w.log.Info("ready", "host", w.cfg.Host, "epoch", w.fence.Epoch, "database", w.store.ID())
	return w.serve(ctx)
}

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

// overtaken notes that another process has taken the service over.
func (w *Worker) overtaken(err error) { w.finish(err) }

// finish notes why this process must end.
func (w *Worker) finish(why error) {
	select {
	case w.over <- why:
	default: // noted already
	}
}

// confirm returns ErrFenced if another process has taken the service over. It
// comes before what takes something back: that may be the successor's by now.
func (w *Worker) confirm(ctx context.Context) error {
	err := w.store.Write(ctx, w.fence, func(operation.Tx) error { return nil })
	if errors.Is(err, operation.ErrFenced) {
		w.overtaken(err)
	}
	return err
}

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
		err = errors.Join(err, w.driver.Close())
	}
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
// service_down_time; but not one whose successor is about to begin.
func (w *Worker) lastBeat(ctx context.Context) error {
	if w.replaced {
		_, reason := w.health.now()
		return w.store.Heartbeat(ctx, w.fence, volume.Draining, "is being replaced: "+reason, w.driver.Addrs())
	}
	addrs := []string{}
	if w.cutOff { // what is left in the driver may still come to be, until it is fenced
		addrs = w.driver.Addrs()
	}
	return w.store.Heartbeat(ctx, w.fence, volume.Stopped, "stopped", addrs)
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
