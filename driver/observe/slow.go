package observe

import (
	"sync"
	"time"
)

// slow counts the calls that take too long, so that a thousand of them, in a
// cluster that hangs, are told like one: when it begins, and when it is over.
type slow struct {
	mu    sync.Mutex
	now   int // slow calls that run
	times int // those since the first of them began to be slow
	since time.Time
}

// begin notes that a call is slow, unless it has ended meanwhile. It reports whether
// no other was.
func (s *slow) begin(f *flight) (first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.ended {
		return false
	}
	f.slow = true
	if s.now == 0 {
		s.since, s.times = time.Now(), 0
	}
	s.now++
	s.times++
	return s.times == 1
}

// end notes that a call has ended. If it was the last slow one, it returns how many
// there were, and over which time.
func (s *slow) end(f *flight) (times int, lasted time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.ended = true
	if !f.slow {
		return 0, 0
	}
	if s.now--; s.now > 0 {
		return 0, 0
	}
	return s.times, time.Since(s.since).Round(time.Millisecond)
}
