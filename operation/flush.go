package operation

import (
	"context"
	"sync"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/crashpoint"
	"github.com/volumed/volumed/volume"
)

// flushInterval is the least time between two writes of progress.
const flushInterval = time.Second

// flusher writes the changes of operations between accept and finish: steps,
// progress, reasons to wait. A first change is written at once, those that come
// within the next second together after it. It is idle while nothing changes.
type flusher struct {
	engine *Engine
	signal chan struct{} // holds one token: something has changed
	quit   chan struct{}
	// turn holds a token while the copy of an operation is on its way into the
	// journal, so that an older copy never overtakes a newer one.
	turn chan struct{}

	running sync.WaitGroup
	once    sync.Once // for quit

	mu      sync.Mutex
	changed map[*Task]struct{}
}

func newFlusher(e *Engine) *flusher {
	return &flusher{
		engine: e, signal: make(chan struct{}, 1), quit: make(chan struct{}),
		turn: make(chan struct{}, 1), changed: map[*Task]struct{}{},
	}
}

// add has the task's operation written soon.
func (f *flusher) add(t *Task) {
	f.mu.Lock()
	f.changed[t] = struct{}{}
	f.mu.Unlock()
	select {
	case f.signal <- struct{}{}:
	default:
	}
}

// take returns the tasks to be written, and forgets them.
func (f *flusher) take() []*Task {
	f.mu.Lock()
	defer f.mu.Unlock()
	tasks := make([]*Task, 0, len(f.changed))
	for t := range f.changed {
		tasks = append(tasks, t)
	}
	clear(f.changed)
	return tasks
}

func (f *flusher) start() { f.running.Go(f.run) }

// stop ends the flusher, if it was started, after a last write.
func (f *flusher) stop() {
	f.once.Do(func() { close(f.quit) })
	f.running.Wait()
}

func (f *flusher) run() {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-pause.C:
		case <-f.quit:
			f.flush()
			return
		}
		select {
		case <-f.signal:
			f.flush()
		case <-f.quit:
			f.flush()
			return
		}
		pause.Reset(flushInterval)
	}
}

// flush writes and publishes every operation that has changed.
func (f *flusher) flush() {
	e := f.engine
	_ = f.inTurn(e.hard, func() error {
		tasks := f.take()
		if len(tasks) == 0 {
			return nil
		}
		err := f.write(tasks)
		e.note(err)
		if outage(err) {
			for _, t := range tasks {
				f.add(t)
			}
		}
		return err
	})
}

// write writes the operations of the tasks, and publishes what was written.
func (f *flusher) write(tasks []*Task) error {
	ops := make([]volume.Operation, len(tasks))
	for i, t := range tasks {
		crashpoint.At(t.name, "progress", "before")
		ops[i] = t.Operation()
	}
	written := make([]bool, len(tasks))
	err := f.engine.writeSoon(f.engine.hard, func(tx Tx) error {
		for i := range ops {
			err := tx.UpdateOperation(&ops[i])
			if k := fault.KindOf(err); err != nil && k != fault.Conflict && k != fault.NotFound {
				return err
			}
			written[i] = err == nil // otherwise it has ended meanwhile
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, t := range tasks {
		crashpoint.At(t.name, "progress", "after")
		if written[i] {
			t.publish(ops[i])
		}
	}
	return nil
}

// inTurn runs f while no other copy of an operation is on its way into the
// journal. It gives up waiting for that when ctx ends.
func (f *flusher) inTurn(ctx context.Context, do func() error) error {
	select {
	case f.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-f.turn }()
	return do()
}

// publish publishes what was committed before the end of the operation, unless
// that end is published already.
func (t *Task) publish(op volume.Operation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.op.Status.Terminal() {
		t.engine.cfg.Publisher.PublishOperation(op)
	}
}
