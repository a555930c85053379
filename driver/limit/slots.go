package limit

import (
	"context"
	"sync"
)

// Class is a class of calls that share a bound.
type Class int

// The classes, in the order in which waiting calls are looked at.
const (
	Stats Class = iota
	Control
	Work
	Bulk
	check // pings, one at a time; whoever watches the backend never waits for others
	classes
)

// Config says how many slots there are. The zero value is a working default.
type Config struct {
	// Slots is backend_native_threads_pool_size, the number of calls at a time;
	// 20 if 0. It is raised to what the reserved slots and one more need.
	Slots int
	// Control and Stats are the slots reserved for these classes; 2 and 1 if 0.
	Control, Stats int
	// Bulk is the most slots that calls of that class may take; half of the
	// unreserved ones if 0.
	Bulk int
}

func (c Config) withDefaults() Config {
	for _, f := range []struct {
		value *int
		usual int
	}{{&c.Slots, 20}, {&c.Control, 2}, {&c.Stats, 1}} {
		if *f.value <= 0 {
			*f.value = f.usual
		}
	}
	c.Slots = max(c.Slots, c.Control+c.Stats+1)
	free := c.Slots - c.Control - c.Stats
	if c.Bulk <= 0 {
		c.Bulk = (free + 1) / 2
	}
	c.Bulk = min(c.Bulk, free)
	return c
}

// slots hands out slots. A slot counts against the reservation of its class as
// long as that lasts, and is one of the common ones beyond.
type slots struct {
	mu       sync.Mutex
	total    int
	reserved [classes]int
	most     [classes]int // per class
	used     [classes]int
	waiting  [classes][]chan struct{} // closed when admitted
}

func newSlots(c Config) *slots {
	s := &slots{total: c.Slots + 1}
	s.reserved[Control], s.reserved[Stats], s.reserved[check] = c.Control, c.Stats, 1
	for class := range s.most {
		s.most[class] = c.Slots
	}
	s.most[Bulk], s.most[check] = c.Bulk, 1
	return s
}

// acquire takes a slot for the class, or returns the error of the ctx.
func (s *slots) acquire(ctx context.Context, class Class) error {
	s.mu.Lock()
	if len(s.waiting[class]) == 0 && s.admits(class) {
		s.used[class]++
		s.mu.Unlock()
		return nil
	}
	admitted := make(chan struct{})
	s.waiting[class] = append(s.waiting[class], admitted)
	s.mu.Unlock()
	select {
	case <-admitted:
		return nil
	case <-ctx.Done():
		s.withdraw(class, admitted)
		return ctx.Err()
	}
}

// withdraw gives up waiting, or gives back what was granted meanwhile.
func (s *slots) withdraw(class Class, admitted chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, w := range s.waiting[class] {
		if w == admitted {
			s.waiting[class] = append(s.waiting[class][:i], s.waiting[class][i+1:]...)
			return
		}
	}
	s.used[class]--
	s.admit()
}

func (s *slots) release(class Class) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used[class]--
	s.admit()
}

// admits reports whether a further call of the class fits beside those at work
// and what is still reserved for other classes.
func (s *slots) admits(class Class) bool {
	if s.used[class] >= s.most[class] {
		return false
	}
	taken := 0
	for c, used := range s.used {
		if Class(c) == class {
			taken += used
		} else {
			taken += max(used, s.reserved[c])
		}
	}
	return taken < s.total
}

// admit lets in whoever fits.
func (s *slots) admit() {
	for class := range classes {
		for len(s.waiting[class]) > 0 && s.admits(class) {
			s.used[class]++
			close(s.waiting[class][0])
			s.waiting[class] = s.waiting[class][1:]
		}
	}
}

// busy returns the number of slots taken.
func (s *slots) busy() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, used := range s.used {
		n += used
	}
	return n
}
