package worker

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/image"
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

	images     *image.Gate
	cacheStats cacheCounts
	health     *health
	pulse      pulse
	beating    chan struct{} // holds a token while a heartbeat is written
	tuning     *tuning
	stats      statsCache
	batches    *batches
	neighbours neighbours
	listing    chan struct{} // holds a token while a list of the pool is made
	lookups    chan struct{} // holds a token for each that asks where an image comes from
	opened     chan struct{} // closed when the engine takes requests
	over       chan error    // holds why this process must end, once that is known
	troubled   chan struct{} // holds one token: an operation is held up
	attempted  atomic.Bool   // to fence the process before
	owed       owed          // the same at other clusters
	replaced   bool          // by the end of serve: this process ends with ErrReplace
	cutOff     bool          // calls are left in the driver: the drain was not over in time, or it does not close

	background sync.WaitGroup // what goes on beside the work, until drain
}

// New returns a worker that has done nothing yet.
func New(cfg Config, deps Deps) *Worker {
	return &Worker{
		cfg: cfg, deps: deps, log: deps.Log, told: spell.New(deps.Log, 0), health: newHealth(deps.Parent, deps.Log), batches: newBatches(),
		images: image.New(cfg.Images), tuning: newTuning(cfg.Live), listing: make(chan struct{}, 1), lookups: make(chan struct{}, mostLookups), beating: make(chan struct{}, 1),
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
