package operation

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/volumed/volumed/fault"
)

// Lane names a class of work with slots of its own.
type Lane string

// The lanes.
const (
	Control Lane = "control" // attach, snapshots, small calls
	Work    Lane = "work"    // create, delete, clone, extend
	Flatten Lane = "flatten" // flatten, which has a bound of its own in the configuration
	Bulk    Lane = "bulk"    // copy, import, purge
	Stats   Lane = "stats"   // what looks at the whole backend: audits
)

// Limits bounds a lane.
type Limits struct {
	Slots int // steps at work at once, at least 1
	Queue int // operations accepted and not ended; more are refused with Overloaded
	// Yields is a lane that goes first: as long as anything is at work there, no step
	// begins here, though none is held up by that for more than yieldMost.
	Yields Lane
}

// yieldMost bounds how long a step stands back for those of another lane, so that
// work that never ends there does not stop all work here.
const yieldMost = 10 * time.Second

// lane hands out slots. Projects take turns: within one project the order is
// first come, first served, and between projects it is round robin, so that
// one with a thousand requests does not stand in front of one with a single.
type lane struct {
	name   Lane
	senior *lane // goes first; nil for none

	mu       sync.Mutex
	limits   Limits
	accepted int      // operations accepted and not ended
	busy     int      // slots taken
	turns    []string // the projects in waiting, each once; the first is next
	waiting  map[string][]chan struct{}
	calmed   chan struct{} // closed when nothing is at work any more; nil if nobody asks

	behind []*junior        // those who wait behind everybody else, the next one first
	spare  map[*junior]bool // those at work
}

func newLane(name Lane, l Limits) *lane {
	return &lane{name: name, limits: l, waiting: map[string][]chan struct{}{}, spare: map[*junior]bool{}}
}

// admit counts an operation in; leave counts it out again.
func (l *lane) admit() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.accepted >= l.limits.Queue {
		return fault.New(fault.Overloaded, "lane %s is full: %d operations have not ended", l.name, l.accepted).
			WithHint("send the request again with the same request id").WithRetryAfter(retryFirst)
	}
	l.accepted++
	return nil
}

// enter counts an operation in that was accepted before, whatever the limit.
func (l *lane) enter() {
	l.mu.Lock()
	l.accepted++
	l.mu.Unlock()
}

func (l *lane) leave() {
	l.mu.Lock()
	l.accepted--
	l.mu.Unlock()
}

// acquire waits for a slot. The caller gives it back with release.
func (l *lane) acquire(ctx context.Context, project string) error {
	if err := l.standBack(ctx); err != nil {
		return err
	}
	l.mu.Lock()
	if l.busy < l.limits.Slots {
		l.busy++
		l.mu.Unlock()
		return nil
	}
	granted := make(chan struct{})
	if len(l.waiting[project]) == 0 {
		l.turns = append(l.turns, project)
	}
	l.waiting[project] = append(l.waiting[project], granted)
	l.displace()
	l.mu.Unlock()

	select {
	case <-granted:
		return nil
	case <-ctx.Done():
		l.abandon(project, granted)
		return context.Cause(ctx)
	}
}

// standBack lets the lane that goes first go first.
func (l *lane) standBack(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil || l.senior == nil {
		return err
	}
	return l.senior.calm(ctx)
}

// calm waits until nothing is at work, but no longer than yieldMost.
func (l *lane) calm(ctx context.Context) error {
	l.mu.Lock()
	if l.busy == 0 {
		l.mu.Unlock()
		return nil
	}
	if l.calmed == nil {
		l.calmed = make(chan struct{})
	}
	calmed := l.calmed
	l.mu.Unlock()

	enough := time.NewTimer(yieldMost)
	defer enough.Stop()
	select {
	case <-calmed:
	case <-enough.C:
	case <-ctx.Done():
	}
	return context.Cause(ctx)
}

// settle tells those who let this lane go first when nothing is at work any more.
func (l *lane) settle() {
	if l.busy == 0 && l.calmed != nil {
		close(l.calmed)
		l.calmed = nil
	}
}

// abandon takes a waiter back; a slot that was granted meanwhile goes on to the next.
func (l *lane) abandon(project string, granted chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	queue := l.waiting[project]
	i := slices.Index(queue, granted)
	switch {
	case i < 0:
		l.releaseLocked()
	case len(queue) == 1:
		delete(l.waiting, project)
		l.turns = slices.DeleteFunc(l.turns, func(p string) bool { return p == project })
	default:
		l.waiting[project] = slices.Delete(queue, i, i+1)
	}
}

func (l *lane) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.releaseLocked()
}

// releaseLocked passes the slot to the next project in turn, or frees it.
func (l *lane) releaseLocked() {
	if len(l.turns) == 0 {
		if !l.admitJunior() {
			l.busy--
			l.settle()
		}
		return
	}
	project := l.turns[0]
	l.turns = l.turns[1:]
	queue := l.waiting[project]
	close(queue[0])
	if len(queue) > 1 {
		l.waiting[project] = queue[1:]
		l.turns = append(l.turns, project)
	} else {
		delete(l.waiting, project)
	}
}
