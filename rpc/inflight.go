package rpc

import (
	"context"
	"sync"
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

// inflight counts requests, so that Stop can wait for the last one. Unlike a
// sync.WaitGroup it can be waited for while it still grows, and closes for good
// when the wait is over.
type inflight struct {
	mu     sync.Mutex
	n      int
	closed bool
	wake   chan struct{} // yields after n has become 0
}

func newInflight() *inflight { return &inflight{wake: make(chan struct{}, 1)} }

// begin counts a request, unless the count is closed.
func (f *inflight) begin() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	f.n++
	return true
}

func (f *inflight) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n--
	if f.n == 0 {
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
		left = f.n
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
			return f.n
		}
	}
}
