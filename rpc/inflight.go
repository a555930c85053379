package rpc

import (
	"context"
	"slices"
	"sync"
	"time"
)

// slots bounds how many requests of one class are handled at once.
type slots chan struct{}

func (s slots) take() bool {
	select {
	case s <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s slots) give() { <-s }

// Pending is a request that was received and not answered yet.
type Pending struct {
	Method    string    `json:"method"`
	RequestID string    `json:"request_id,omitempty"` // if its caller gave one
	Project   string    `json:"project_id,omitempty"`
	Received  time.Time `json:"received"`
}

// inflight knows the requests at work, so that Stop can wait for the last one. Unlike
// a sync.WaitGroup it can be waited for while it still grows, and closes for good
// when the wait is over.
type inflight struct {
	mu     sync.Mutex
	all    map[*Pending]struct{}
	closed bool
	wake   chan struct{} // yields after the last has ended
}

func newInflight() *inflight {
	return &inflight{all: map[*Pending]struct{}{}, wake: make(chan struct{}, 1)}
}

// begin takes a request in, unless inflight is closed.
func (f *inflight) begin(p *Pending) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	f.all[p] = struct{}{}
	return true
}

func (f *inflight) end(p *Pending) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.all, p)
	if len(f.all) == 0 {
		select {
		case f.wake <- struct{}{}:
		default:
		}
	}
}

// wait returns 0 when no request is left, or the number left when ctx ended.
// Either way no further request begins.
func (f *inflight) wait(ctx context.Context) (left int) {
	for {
		f.mu.Lock()
		left = len(f.all)
		f.closed = f.closed || left == 0
		f.mu.Unlock()
		if left == 0 {
			return 0
		}
		select {
		case <-f.wake:
		case <-ctx.Done():
			f.mu.Lock()
			defer f.mu.Unlock()
			f.closed = true
			return len(f.all)
		}
	}
}

// list returns the requests, oldest first.
func (f *inflight) list() []Pending {
	f.mu.Lock()
	all := make([]Pending, 0, len(f.all))
	for p := range f.all {
		all = append(all, *p)
	}
	f.mu.Unlock()
	slices.SortFunc(all, func(a, b Pending) int { return a.Received.Compare(b.Received) })
	return all
}
