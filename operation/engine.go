package operation

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// Publisher sends out what was committed. Its methods must not block: readers
// who miss a message find the truth in the journal.
type Publisher interface {
	PublishOperation(op volume.Operation)
	PublishEvent(e volume.Event)
}

// Config is what an engine needs. All fields but OnFenced are required.
type Config struct {
	Fence     Fence
	Journal   Journal
	Publisher Publisher
	Lanes     map[Lane]Limits
	Log       hclog.Logger
	// OnFenced is called once, when a newer process has taken the service over.
	OnFenced func(error)
}

// Engine runs the operations of one service. It is made by New, given its
// methods by Register, then brought up by Recover and Start, and ended by Stop.
type Engine struct {
	cfg     Config
	methods map[string]definition
	lanes   map[Lane]*lane

	// ctx ends, with the cause errLeft, when the engine stops: what waits then
	// leaves its operation to the next process. hard ends when the time to stop
	// is over.
	ctx   context.Context
	leave context.CancelCauseFunc
	hard  context.Context
	cut   context.CancelFunc

	flusher *flusher
	running sync.WaitGroup
	fenced  sync.Once

	mu    sync.Mutex
	open  bool
	tasks map[string]*Task
}

// errLeft ends the run of an operation that stays unfinished, for the next
// process to take up.
var errLeft = errors.New("left for the next process")

// New returns an engine without methods.
func New(cfg Config) *Engine {
	e := &Engine{cfg: cfg, methods: map[string]definition{}, lanes: map[Lane]*lane{}, tasks: map[string]*Task{}}
	for name, limits := range cfg.Lanes {
		e.lanes[name] = newLane(name, limits)
	}
	e.ctx, e.leave = context.WithCancelCause(context.Background())
	e.hard, e.cut = context.WithCancel(context.Background())
	e.flusher = newFlusher(e)
	return e
}

// Recover takes over every unfinished operation of the service, without running
// any yet. It returns how many there are.
func (e *Engine) Recover(ctx context.Context) (int, error) {
	ops, err := e.cfg.Journal.Claim(ctx, e.cfg.Fence)
	if err != nil {
		return 0, fmt.Errorf("claim unfinished operations: %w", err)
	}
	for i := range ops {
		e.adopt(&ops[i])
	}
	return len(ops), nil
}

// adopt makes a task of an operation that was accepted by an earlier process.
// One that this version cannot run is left where it is, for one that can.
func (e *Engine) adopt(op *volume.Operation) {
	d, b, err := e.bindOperation(op)
	if err != nil {
		e.cfg.Log.Error("cannot take up operation", "operation", op.ID, "method", op.Method, "error", err)
		return
	}
	t := newTask(e, d, b, *op)
	t.recovered = true
	e.lanes[d.lane].enter()
	e.mu.Lock()
	e.tasks[op.ID] = t
	e.mu.Unlock()
}

// Start opens the engine for requests and runs what Recover took over.
func (e *Engine) Start() {
	e.flusher.start()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.open = true
	for _, t := range e.tasks {
		e.launch(t)
	}
}

// launch runs a task that is in e.tasks. e.mu is held.
func (e *Engine) launch(t *Task) {
	e.running.Add(1)
	go func() {
		defer e.running.Done()
		t.run()
		e.lanes[t.lane].leave()
		e.mu.Lock()
		delete(e.tasks, t.op.ID)
		e.mu.Unlock()
		close(t.done)
		e.wake(t)
	}()
}

// Submit accepts a request: once it returns an operation, that operation will
// end, whatever happens to this process. A request that was accepted before, in
// whichever process, gets the operation that it got then. Kinds: those of the
// method's Accept; Conflict for a request id that was used for something else;
// Overloaded for a full lane; Unavailable when nothing can be accepted now, or
// when it is not known whether the request was accepted: repeating it with the
// same request id is then the way to find out.
func (e *Engine) Submit(ctx context.Context, r Request) (volume.Operation, error) {
	d, ok := e.methods[r.Method]
	if !ok {
		return volume.Operation{}, fault.New(fault.Unsupported, "unknown method %s", r.Method)
	}
	if err := e.admissible(ctx, r); err != nil {
		return volume.Operation{}, err
	}
	op, err := r.operation(e.cfg.Fence.Host)
	if err != nil {
		return volume.Operation{}, err
	}
	if err := e.lanes[d.lane].admit(); err != nil {
		return volume.Operation{}, err
	}
	var accepted acceptance
	// A caller that goes away must not leave an accepted operation without
	// anyone to run it, so the write does not end with the caller.
	err = e.write(context.WithoutCancel(ctx), func(tx Tx) error {
		accepted, err = e.accept(tx, *op)
		return err
	})
	if err != nil || accepted.task == nil {
		e.lanes[d.lane].leave()
	}
	if err != nil {
		e.recheck(op.ID, err)
		return volume.Operation{}, err
	}
	e.begin(accepted)
	return accepted.op, nil
}

// admissible refuses what must not even be tried.
func (e *Engine) admissible(ctx context.Context, r Request) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !r.Deadline.IsZero() && time.Now().After(r.Deadline) {
		return fault.New(fault.Invalid, "the deadline %s has passed", r.Deadline.Format(time.RFC3339)).WithField("deadline")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.open {
		return fault.New(fault.Unavailable, "%s takes no requests now", e.cfg.Fence.Host).WithRetryAfter(retryFirst)
	}
	return nil
}

// begin runs what an accept has made. An engine that was stopped meanwhile
// leaves it to the next process.
func (e *Engine) begin(a acceptance) {
	if a.task == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.open {
		return
	}
	e.tasks[a.op.ID] = a.task
	e.launch(a.task)
}

// recheck finds out, once the journal answers again, whether an accept whose
// outcome is unknown was committed after all, and runs the operation if so.
func (e *Engine) recheck(id string, err error) {
	if k := fault.KindOf(err); k != fault.Unavailable && k != fault.Internal {
		return
	}
	e.running.Add(1)
	go func() {
		defer e.running.Done()
		var op volume.Operation
		if e.persist(e.ctx, "finding out whether a request was accepted", func() (err error) {
			op, err = e.cfg.Journal.Operation(e.ctx, id)
			return err
		}) != nil || op.Status.Terminal() {
			return
		}
		e.adopt(&op)
		e.mu.Lock()
		defer e.mu.Unlock()
		if t := e.tasks[id]; t != nil && e.open {
			e.launch(t)
		}
	}()
}

// acceptance is the outcome of one accept: a task to run, or none for a request
// that was accepted before.
type acceptance struct {
	op   volume.Operation
	task *Task
}

// accept writes the operation and what its method wants written with it.
func (e *Engine) accept(tx Tx, op volume.Operation) (acceptance, error) {
	switch prior, err := tx.OperationByRequest(op.ProjectID, op.RequestID); {
	case err == nil && prior.ArgHash == op.ArgHash:
		return acceptance{op: prior}, nil
	case err == nil:
		return acceptance{}, fault.New(fault.Conflict, "request id %s was used for another request: %s of %s", op.RequestID, prior.Method, prior.Resource).
			WithField("request_id").WithBlockers("operation " + prior.ID)
	case !errors.Is(err, fault.NotFound):
		return acceptance{}, err
	}
	d, b, err := e.bindOperation(&op)
	if err != nil {
		return acceptance{}, err
	}
	op.Epoch, op.Type, op.Lane = e.cfg.Fence.Epoch, d.resource, string(d.lane)
	if err := b.accept(tx, &op); err != nil {
		return acceptance{}, err
	}
	if op.Args, err = b.encode(); err != nil {
		return acceptance{}, err
	}
	if err := tx.Claim(op.ID, op.Resource, d.target); err != nil {
		return acceptance{}, err
	}
	t := newTask(e, d, b, op)
	if d.target == Exclusive {
		if t.holders, err = tx.Holders(op.ID, op.Resource); err != nil {
			return acceptance{}, err
		}
		if len(t.holders) > 0 {
			t.op.Status, t.op.Reason = volume.Waiting, held(op.Resource, t.holders).Message
		}
	}
	if err := tx.InsertOperation(&t.op); err != nil {
		return acceptance{}, err
	}
	return acceptance{op: t.op, task: t}, nil
}

// Wait returns the operation as soon as it has ended, and as it is when ctx ends
// before. It never returns an error for an operation that did not succeed: the
// operation tells. Kinds: NotFound, Unavailable.
func (e *Engine) Wait(ctx context.Context, id string) (volume.Operation, error) {
	e.mu.Lock()
	t := e.tasks[id]
	e.mu.Unlock()
	if t == nil {
		return e.cfg.Journal.Operation(context.WithoutCancel(ctx), id)
	}
	select {
	case <-t.done:
	case <-ctx.Done():
	}
	return t.Operation(), nil
}

// Cancel asks the operation to end as soon as it can without leaving anything
// behind, and returns it as it is then. An operation that is past that point
// ends as if it had not been asked. Kinds: NotFound; Conflict for one that has
// ended.
func (e *Engine) Cancel(ctx context.Context, id string) (volume.Operation, error) {
	e.mu.Lock()
	t := e.tasks[id]
	e.mu.Unlock()
	if t == nil {
		op, err := e.cfg.Journal.Operation(ctx, id)
		if err == nil {
			err = fault.New(fault.Conflict, "operation %s has ended: %s", id, op.Status)
		}
		return op, err
	}
	op := t.Operation()
	op.CancelRequested = true
	if err := e.write(ctx, func(tx Tx) error { return tx.UpdateOperation(&op) }); err != nil {
		return volume.Operation{}, err
	}
	t.requestCancel()
	return t.Operation(), nil
}

// Stop ends the engine: it accepts nothing more, steps that can be repeated
// cheaply are interrupted, others may end until ctx does. What has not ended
// then is named in the error and left, as accepted, to the next process.
func (e *Engine) Stop(ctx context.Context) error {
	e.mu.Lock()
	e.open = false
	e.mu.Unlock()
	e.leave(errLeft)
	defer e.flusher.stop()

	ended := make(chan struct{})
	go func() { e.running.Wait(); close(ended) }()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	unfinished := e.InFlight()
	e.cut()
	<-ended
	if len(unfinished) == 0 {
		return nil
	}
	return fmt.Errorf("%d operations did not come to a safe point in time: %s", len(unfinished), strings.Join(names(unfinished), ", "))
}

// InFlight returns the operations that this engine has not brought to an end,
// oldest first.
func (e *Engine) InFlight() []volume.Operation {
	e.mu.Lock()
	tasks := make([]*Task, 0, len(e.tasks))
	for _, t := range e.tasks {
		tasks = append(tasks, t)
	}
	e.mu.Unlock()
	ops := make([]volume.Operation, len(tasks))
	for i, t := range tasks {
		ops[i] = t.Operation()
	}
	sort.Slice(ops, func(i, j int) bool { return ops[i].CreatedAt.Before(ops[j].CreatedAt) })
	return ops
}

func names(ops []volume.Operation) []string {
	out := make([]string, len(ops))
	for i, op := range ops {
		out[i] = fmt.Sprintf("%s of %s (step %s, %s old)", op.Method, op.Resource, op.Step, time.Since(op.CreatedAt).Round(time.Second))
	}
	return out
}

// wake makes those tasks try again now that waited for what t has brought to an end.
func (e *Engine) wake(ended *Task) {
	op := ended.Operation()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, t := range e.tasks {
		t.unblock(op.ID, op.Resource.ID)
	}
}

// write is Journal.Write under the engine's fence. Being fenced ends the engine.
func (e *Engine) write(ctx context.Context, change func(tx Tx) error) error {
	err := e.cfg.Journal.Write(ctx, e.cfg.Fence, change)
	if errors.Is(err, ErrFenced) {
		e.fenced.Do(func() {
			e.mu.Lock()
			e.open = false
			e.mu.Unlock()
			e.leave(errLeft)
			if e.cfg.OnFenced != nil {
				e.cfg.OnFenced(err)
			}
		})
	}
	return err
}
