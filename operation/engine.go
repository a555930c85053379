package operation

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/crashpoint"
	"github.com/volumed/volumed/volume"
)

// Publisher sends out what was committed. Its methods must not block: readers
// who miss a message find the truth in the journal. What is published about one
// operation comes in the order of its commits.
type Publisher interface {
	PublishOperation(op volume.Operation)
	PublishEvent(e volume.Event)
}

// Config is what an engine needs. All fields but the functions are required.
type Config struct {
	Fence     Fence
	Journal   Journal
	Publisher Publisher
	Lanes     map[Lane]Limits
	Log       hclog.Logger
	// OnFenced is called once, when a newer process has taken the service over.
	// It is called from the middle of the work: it must not block, nor call Stop.
	OnFenced func(error)
	// OnTrouble is called when the backend may be away: a step, or the wait for a
	// slot, takes longer than a second, or a step was not answered. It must not
	// block. It is for an owner who then asks the backend, and calls Stall.
	OnTrouble func()
	// Pin returns the version of the records that all who live can read. It is asked
	// for methods that have a Since, which need it.
	Pin func(ctx context.Context) (volume.Pin, error)
}

// Engine runs the operations of one service. It is made by New, given its
// methods by Register, then brought up by Recover and Start, and ended by Stop.
// It is not started again.
type Engine struct {
	cfg     Config
	methods map[string]definition
	lanes   map[Lane]*lane
	flusher *flusher

	// ctx ends when the engine stops or is fenced: what waits then leaves its
	// operation to the next process. hard ends when the time to stop is over.
	// The cause of both is errLeft.
	ctx   context.Context
	leave context.CancelCauseFunc
	hard  context.Context
	cut   context.CancelCauseFunc

	running sync.WaitGroup // tasks, and accepts that are not decided yet
	fenced  sync.Once
	away    atomic.Bool           // the journal did not take the last write
	stalled atomic.Pointer[stall] // nil while the backend answers

	// mu comes before the mu of a task, where both are held.
	mu      sync.Mutex
	open    bool
	tasks   map[string]*Task
	ended   []volume.Operation // the last ones, newest last
	blocked map[*Task][]string // what each of these waits for
}

// errLeft ends the run of an operation that stays unfinished, for the next
// process to take up.
var errLeft = fault.New(fault.Cancelled, "left for the next process")

// stopGrace is how long Stop waits, when its time is over, for steps that hear
// that it is. Not all do: a call into a library may be deaf.
const stopGrace = time.Second

// New returns an engine without methods.
func New(cfg Config) *Engine {
	e := &Engine{
		cfg: cfg, methods: map[string]definition{}, lanes: map[Lane]*lane{},
		tasks: map[string]*Task{}, blocked: map[*Task][]string{},
	}
	for name, limits := range cfg.Lanes {
		e.lanes[name] = newLane(name, limits)
	}
	for name, limits := range cfg.Lanes {
		e.lanes[name].senior = e.lanes[limits.Yields]
	}
	e.ctx, e.leave = context.WithCancelCause(context.Background())
	e.hard, e.cut = context.WithCancelCause(context.Background())
	e.flusher = newFlusher(e)
	return e
}

// Recover takes over every unfinished operation of the service, without running
// any yet. It returns how many there are. After an error it may be called again.
func (e *Engine) Recover(ctx context.Context) (int, error) {
	crashpoint.At("service", "claim", "before")
	ops, err := e.cfg.Journal.Claim(ctx, e.cfg.Fence)
	crashpoint.At("service", "claim", "after")
	if err != nil {
		return 0, fmt.Errorf("claim unfinished operations: %w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, op := range ops {
		e.adopt(op)
	}
	return len(ops), nil
}

// adopt makes a task of an operation that is in the journal already. One that
// this version cannot run is left where it is, for one that can. e.mu is held.
func (e *Engine) adopt(op volume.Operation) *Task {
	d, b, err := e.bindOperation(&op)
	if err != nil {
		e.cfg.Log.Error("cannot take up operation", "operation", op.ID, "request_id", op.RequestID, "method", op.Method, "error", err)
		return nil
	}
	t := newTask(e, d, b, op)
	t.recovered = true
	e.lanes[d.lane].enter()
	e.tasks[op.ID] = t
	return t
}

// Start opens the engine for requests and runs what Recover took over. An engine
// that was stopped before stays so.
func (e *Engine) Start() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ctx.Err() != nil {
		return
	}
	e.open = true
	e.flusher.start()
	for _, t := range e.tasks {
		e.launch(t)
	}
}

// launch runs a task that is in e.tasks. e.mu is held, and e.open.
func (e *Engine) launch(t *Task) {
	e.running.Add(1)
	go func() {
		defer e.running.Done()
		end := t.run()
		e.lanes[t.lane].leave()
		e.mu.Lock()
		delete(e.tasks, t.op.ID)
		delete(e.blocked, t)
		if end != nil {
			e.remember(end.op)
		}
		e.mu.Unlock()
		t.close()
		if end != nil {
			runtime.Gosched() // those who wait for it answer first; the world is told after them
			end.announce()
		}
		e.wake(t.Operation())
	}()
}

// Stop ends the engine: it accepts nothing more, steps that can be repeated
// cheaply are interrupted, others may end until ctx does. What has not ended
// then is named in the error and left, as accepted, to the next process; Stop
// returns within about a second of the end of ctx, also where a step does not
// hear that it should end, and nothing is written after it has returned.
func (e *Engine) Stop(ctx context.Context) error {
	e.close()
	ended := make(chan struct{})
	go func() {
		e.running.Wait()
		e.flusher.stop()
		close(ended)
	}()
	select {
	case <-ended:
		e.cut(errLeft)
		return nil
	case <-ctx.Done():
	}
	unfinished := e.InFlight()
	e.cut(errLeft)
	select {
	case <-ended:
	case <-time.After(stopGrace):
	}
	if len(unfinished) == 0 {
		return nil
	}
	return fmt.Errorf("%d operations did not come to a safe point in time: %s", len(unfinished), strings.Join(names(unfinished), ", "))
}

// close ends the taking of requests and the waiting of operations.
func (e *Engine) close() {
	e.mu.Lock()
	e.open = false
	e.mu.Unlock()
	e.leave(errLeft)
}

// InFlight returns the operations at work in this engine, oldest first. Once it
// stops, those that are left for the next process are not among them any more.
func (e *Engine) InFlight() []volume.Operation {
	e.mu.Lock()
	ops := make([]volume.Operation, 0, len(e.tasks))
	for _, t := range e.tasks {
		ops = append(ops, t.Operation())
	}
	e.mu.Unlock()
	slices.SortFunc(ops, func(a, b volume.Operation) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return ops
}

// Find returns an operation at work in this engine, as this process knows it, also
// while the journal does not answer.
func (e *Engine) Find(id string) (op volume.Operation, found bool) {
	t := e.task(id)
	if t == nil {
		return op, false
	}
	return t.Operation(), true
}

func names(ops []volume.Operation) []string {
	out := make([]string, len(ops))
	for i, op := range ops {
		out[i] = fmt.Sprintf("%s of %s (step %s, %s old)", op.Method, op.Resource, op.Step, time.Since(op.CreatedAt).Round(time.Second))
	}
	return out
}

// task returns the task of an operation at work in this engine, nil if it is not.
func (e *Engine) task(id string) *Task {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.tasks[id]
}

// write is Journal.Write under the engine's fence. Being fenced ends the engine.
// A change that panics changes nothing.
func (e *Engine) write(ctx context.Context, change func(tx Tx) error) error {
	return e.writeBy(ctx, e.cfg.Journal.Write, change)
}

// writeSoon is the same by Journal.WriteSoon.
func (e *Engine) writeSoon(ctx context.Context, change func(tx Tx) error) error {
	return e.writeBy(ctx, e.cfg.Journal.WriteSoon, change)
}

func (e *Engine) writeBy(ctx context.Context, write func(context.Context, Fence, func(Tx) error) error, change func(tx Tx) error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	err := write(ctx, e.cfg.Fence, func(tx Tx) error {
		return guarded(e.cfg.Log, func() error { return change(tx) })
	})
	if errors.Is(err, ErrFenced) {
		e.fenced.Do(func() {
			e.close()
			if e.cfg.OnFenced != nil {
				e.cfg.OnFenced(err)
			}
		})
	}
	return err
}
