package observe

import (
	"sync"
	"time"
)

// tellEvery is how often a slow call is told of while others are slow: a thousand of
// them, in a cluster that hangs, are told like one, but one that hangs for ever does not
// hide all that come after it.
const tellEvery = time.Minute

// slow counts the calls that take too long.
type slow struct {
	mu    sync.Mutex
	now   int // slow calls that run
	times int // those since the first of them began to be slow
	since time.Time
	told  time.Time
}

// begin notes that a call is slow, unless it has ended meanwhile. It reports whether
// that is to be told.
func (s *slow) begin(f *flight) (tell bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.ended {
		return false
	}
	f.slow = true
	now := time.Now()
	if s.now == 0 {
		s.since, s.told, s.times = now, time.Time{}, 0
	}
	s.now++
	s.times++
	if now.Sub(s.told) < tellEvery {
		return false
	}
	s.told = now
	return true
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
