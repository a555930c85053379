package operation

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/logs/logtest"
	"github.com/volumed/volumed/volume"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const host = "node1@rbd0"

// world is a service with its journal, its backend and those who listen. Its
// engines come and go.
type world struct {
	t       *testing.T
	journal *memJournal
	backend *backend
	heard   *heard
	log     *logtest.Buffer
	lanes   map[Lane]Limits
	fenced  int
	// troubles counts how often the owner of the engine was told of trouble.
	troubles atomic.Int64
	engines  []*Engine
	methods  []func(*Engine)
	asked    int
}

// inWorld runs a test in virtual time. Every engine is stopped at its end, and
// nothing may be left running.
func inWorld(t *testing.T, test func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.end()
		test(t, w)
	})
}

// inRealTime runs a test in a world where time passes by itself.
func inRealTime(t *testing.T, test func(t *testing.T, w *world)) {
	w := newWorld(t)
	defer w.end()
	test(t, w)
}

func newWorld(t *testing.T) *world {
	return &world{
		t: t, journal: newMemJournal(), backend: &backend{made: map[string]int{}, there: map[string]bool{}}, heard: &heard{}, log: &logtest.Buffer{},
		lanes: map[Lane]Limits{Control: {Slots: 4, Queue: 100}, Work: {Slots: 4, Queue: 1000}, Bulk: {Slots: 1, Queue: 100}},
	}
}

func (w *world) end() {
	for _, e := range w.engines {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		_ = e.Stop(ctx)
		cancel()
	}
	w.journal.mu.Lock()
	defer w.journal.mu.Unlock()
	for _, b := range w.journal.broken {
		w.t.Error(b)
	}
}

// know adds a method to what the engines know that are made from now on.
func (w *world) know(ms ...Method[args]) {
	for _, m := range ms {
		w.methods = append(w.methods, func(e *Engine) { Register(e, m) })
	}
}

// process makes the next process of the service, and starts it.
func (w *world) process() *Engine {
	w.t.Helper()
	e := w.prepared(w.journal)
	e.Start()
	return e
}

// prepared makes the next process up to the point before Start.
func (w *world) prepared(j Journal) *Engine {
	w.t.Helper()
	e := New(Config{
		Fence: w.journal.takeOver(host), Journal: j, Publisher: w.heard, Lanes: w.lanes,
		Log:      hclog.New(&hclog.LoggerOptions{Output: w.log, JSONFormat: true, Level: hclog.Debug}),
		OnFenced: func(error) { w.fenced++ }, OnTrouble: func() { w.troubles.Add(1) },
	})
	for _, register := range w.methods {
		register(e)
	}
	if _, err := e.Recover(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	w.engines = append(w.engines, e)
	return e
}

// request returns a new request.
func (w *world) request(method string, a args) Request {
	w.asked++
	return Request{RequestID: fmt.Sprint("r", w.asked), ProjectID: "p", Method: method, Args: a}
}

// submit has a new request accepted.
func (w *world) submit(e *Engine, method string, a args) volume.Operation {
	w.t.Helper()
	op, err := e.Submit(w.t.Context(), w.request(method, a))
	if err != nil {
		w.t.Fatal(err)
	}
	return op
}

// ends waits for the end of the operation, and checks what it is.
func (w *world) ends(e *Engine, id string, want volume.OperationStatus) volume.Operation {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Hour)
	defer cancel()
	if _, err := e.Wait(ctx, id); err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait() // until the world is told, too
	return w.is(id, want)
}

// is checks the status of the operation in the journal.
func (w *world) is(id string, want volume.OperationStatus) volume.Operation {
	w.t.Helper()
	op, err := w.journal.Operation(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	if op.Status != want {
		w.t.Fatalf("operation is %s (reason %q, error %+v), want %s", op.Status, op.Reason, op.Error, want)
	}
	return op
}

func (w *world) tables() tables {
	w.journal.mu.Lock()
	defer w.journal.mu.Unlock()
	return w.journal.tables.clone()
}

// status returns the status of a volume in the journal.
func (w *world) status(id string) volume.Status { return w.tables().volumes[id].Status }

func (w *world) writes() int {
	w.journal.mu.Lock()
	defer w.journal.mu.Unlock()
	return w.journal.writes
}

// strike has the n-th write from now on meet with a mishap.
func (w *world) strike(n int, m mishap) {
	first := w.writes() + n
	w.afflict(func(n int) mishap {
		if n == first {
			return m
		}
		return mishap{}
	})
}

func (w *world) afflict(mishap func(n int) mishap) {
	w.journal.mu.Lock()
	defer w.journal.mu.Unlock()
	w.journal.mishap = mishap
}

var errAway = fault.New(fault.Unavailable, "the database does not answer")

// backend is where effects happen; they are keyed by what asks for them.
type backend struct {
	mu    sync.Mutex
	made  map[string]int // how often the effect was new
	there map[string]bool
}

func (b *backend) make(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.there[key] {
		b.there[key] = true
		b.made[key]++
	}
}

func (b *backend) remove(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.there, key)
}

// times says how often key was made.
func (b *backend) times(key string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.made[key]
}

func (b *backend) has(key string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.there[key]
}

// heard is a Publisher that remembers.
type heard struct {
	// ask is called with everything that is published of operations.
	ask    func(volume.Operation)
	mu     sync.Mutex
	ops    []volume.Operation
	events []volume.Event
}

func (h *heard) PublishOperation(op volume.Operation) {
	if h.ask != nil {
		h.ask(op)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, op)
}

func (h *heard) PublishEvent(e volume.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

func (h *heard) of(id string) (ops []volume.Operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(h.ops), func(op volume.Operation) bool { return op.ID != id })
}

// args are the arguments of the methods of these tests.
type args struct {
	VolumeID string `json:"volume_id,omitempty"`
	Source   string `json:"source,omitempty"`
	Size     int    `json:"size,omitempty"`
}

// making returns a method that makes a volume, by the steps.
func making(name string, steps ...Step[args]) Method[args] {
	return Method[args]{
		Name: name, Resource: volume.VolumeResource, Lane: Work, Target: Exclusive, Steps: steps,
		Accept: func(tx Tx, op *volume.Operation, a *args) error {
			if a.Size < 0 {
				return fault.New(fault.Invalid, "size %d", a.Size)
			}
			if a.VolumeID == "" {
				a.VolumeID = uuid.NewString()
			}
			op.Resource.ID = a.VolumeID
			if a.Source != "" {
				r := volume.Resource{Type: volume.VolumeResource, ID: a.Source}
				if err := tx.Claim(op.ID, r, Shared); err != nil {
					return err
				}
			}
			return tx.InsertVolume(&volume.Volume{ID: a.VolumeID, Status: volume.Creating})
		},
		Finish: func(tx Tx, _ *Task, a *args, err error) error {
			v, lost := tx.Volume(a.VolumeID)
			if lost != nil {
				return lost
			}
			v.Status = volume.Available
			if err != nil {
				v.Status = volume.Error
			}
			return tx.UpdateVolume(&v, volume.Creating)
		},
	}
}

// erasing returns a method that takes a volume away.
func erasing(name string, steps ...Step[args]) Method[args] {
	return Method[args]{
		Name: name, Resource: volume.VolumeResource, Lane: Work, Target: Exclusive, Steps: steps,
		Accept: func(tx Tx, op *volume.Operation, a *args) error {
			op.Resource.ID = a.VolumeID
			v, err := tx.Volume(a.VolumeID)
			if err != nil {
				return err
			}
			from := v.Status
			v.Status = volume.Deleting
			return tx.UpdateVolume(&v, from)
		},
		Finish: func(tx Tx, _ *Task, a *args, err error) error {
			v, lost := tx.Volume(a.VolumeID)
			if lost != nil {
				return lost
			}
			v.Status = volume.Deleted
			if err != nil {
				v.Status = volume.Available
			}
			return tx.UpdateVolume(&v, volume.Deleting)
		},
	}
}

// shared returns a method that uses a volume beside others.
func shared(name string, steps ...Step[args]) Method[args] {
	return Method[args]{
		Name: name, Resource: volume.VolumeResource, Lane: Work, Target: Shared, Steps: steps,
		Accept: func(_ Tx, op *volume.Operation, a *args) error { op.Resource.ID = a.VolumeID; return nil },
		Finish: func(Tx, *Task, *args, error) error { return nil },
	}
}

// step returns a step of the name.
func step(name string, run func(ctx context.Context, t *Task, a *args) error) Step[args] {
	return Step[args]{Name: name, Run: run}
}

// done is a step that has nothing to do.
func done(name string) Step[args] {
	return step(name, func(context.Context, *Task, *args) error { return nil })
}

// effect is a step that makes the operation's effect.
func (w *world) effect() Step[args] {
	return step("effect", func(_ context.Context, t *Task, _ *args) error {
		w.backend.make(t.Operation().ID)
		return nil
	})
}

// gate is a step that waits until it is opened; it does not hear its ctx unless
// it is interruptible.
type gate struct {
	opened chan struct{}
}

func newGate() *gate { return &gate{opened: make(chan struct{})} }

func (g *gate) open() { close(g.opened) }

func (g *gate) step(name string) Step[args] {
	return step(name, func(context.Context, *Task, *args) error {
		<-g.opened
		return nil
	})
}

func (g *gate) interruptible(name string) Step[args] {
	s := step(name, func(ctx context.Context, _ *Task, _ *args) error {
		select {
		case <-g.opened:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	s.Interruptible = true
	return s
}

// keys returns the keys in order.
func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// pass lets the time pass, and then everything happen that is to happen.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// load returns how many operations and slots the lane counts.
func load(e *Engine, name Lane) [2]int {
	l := e.lanes[name]
	l.mu.Lock()
	defer l.mu.Unlock()
	return [2]int{l.accepted, l.busy}
}
