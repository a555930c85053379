package operation

import (
	"errors"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// flushInterval is the least time between two writes of progress.
const flushInterval = time.Second

// flusher writes the changes of operations between accept and finish: steps,
// progress, reasons to wait. A first change is written at once, those that come
// within the next second together after it. It is idle while nothing changes.
type flusher struct {
	engine *Engine
	signal chan struct{} // holds one token: something is dirty
	quit   chan struct{}
	ended  chan struct{}
}

func newFlusher(e *Engine) *flusher {
	return &flusher{engine: e, signal: make(chan struct{}, 1), quit: make(chan struct{}), ended: make(chan struct{})}
}

func (f *flusher) kick() {
	select {
	case f.signal <- struct{}{}:
	default:
	}
}

func (f *flusher) start() { go f.run() }

// stop ends the flusher after a last write. It must have been started.
func (f *flusher) stop() {
	close(f.quit)
	<-f.ended
}

func (f *flusher) run() {
	defer close(f.ended)
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
	tasks, ops := f.engine.dirty()
	if len(ops) == 0 {
		return
	}
	written := make([]bool, len(ops))
	err := f.engine.write(f.engine.hard, func(tx Tx) error {
		for i := range ops {
			err := tx.UpdateOperation(&ops[i])
			if err != nil && !errors.Is(err, fault.Conflict) { // a conflict: it has ended meanwhile
				return err
			}
			written[i] = err == nil
		}
		return nil
	})
	if err != nil {
		for _, t := range tasks {
			t.mu.Lock()
			t.touchLocked()
			t.mu.Unlock()
		}
		return
	}
	for i, op := range ops {
		if written[i] {
			f.engine.cfg.Publisher.PublishOperation(op)
		}
	}
}

// dirty returns the tasks with unwritten changes, and the operations to write.
func (e *Engine) dirty() (tasks []*Task, ops []volume.Operation) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, t := range e.tasks {
		t.mu.Lock()
		if t.dirty {
			t.dirty = false
			tasks, ops = append(tasks, t), append(ops, t.op)
		}
		t.mu.Unlock()
	}
	return tasks, ops
}
