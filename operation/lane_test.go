package operation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/virtual"
)

// queueUp has a waiter of the project stand in line, which notes when it is
// granted the slot.
func queueUp(ctx context.Context, l *lane, project string, granted chan<- string) {
	go func() {
		if l.acquire(ctx, project) == nil {
			granted <- project
		}
	}()
	synctest.Wait()
}

func TestLaneProjectsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, granted := newLane(Work, Limits{Slots: 1, Queue: 100}), make(chan string, 10)
		queueUp(t.Context(), l, "first", granted)
		for _, p := range []string{"big", "big", "big", "small", "big", "small", "single"} {
			queueUp(t.Context(), l, p, granted)
		}
		var order []string
		for range 8 {
			order = append(order, <-granted)
			l.release()
		}
		want := []string{"first", "big", "small", "single", "big", "small", "big", "big"}
		if !slices.Equal(order, want) {
			t.Errorf("order %v, want %v", order, want)
		}
		if l.busy != 0 || len(l.waiting) != 0 || len(l.turns) != 0 {
			t.Errorf("left: %d slots, %v, %v", l.busy, l.waiting, l.turns)
		}
	})
}

func TestLaneAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, granted := newLane(Work, Limits{Slots: 1, Queue: 100}), make(chan string, 10)
		queueUp(t.Context(), l, "first", granted)
		<-granted
		gone, leave := context.WithCancelCause(t.Context())
		for range 3 {
			queueUp(gone, l, "gone", granted)
		}
		queueUp(t.Context(), l, "stays", granted)
		leave(errors.New("gone"))
		synctest.Wait()
		if len(l.waiting) != 1 || !slices.Equal(l.turns, []string{"stays"}) {
			t.Fatalf("the lane remembers %v, %v", l.waiting, l.turns)
		}
		// One who comes back has one turn, not two.
		queueUp(t.Context(), l, "gone", granted)
		queueUp(t.Context(), l, "gone", granted)
		queueUp(t.Context(), l, "stays", granted)
		var order []string
		for range 4 {
			l.release()
			order = append(order, <-granted)
		}
		if want := []string{"stays", "gone", "stays", "gone"}; !slices.Equal(order, want) {
			t.Errorf("order %v, want %v", order, want)
		}
		// Who is granted a slot at the moment he leaves passes it on.
		c := make(chan struct{})
		close(c)
		queueUp(t.Context(), l, "next", granted)
		l.abandon("gone", c)
		if p := <-granted; p != "next" {
			t.Errorf("the slot went to %s", p)
		}
		l.release()
		if l.busy != 0 {
			t.Errorf("%d slots are lost", l.busy)
		}
		if err := l.acquire(gone, "gone"); err == nil || err.Error() != "gone" {
			t.Errorf("a context that has ended gets %v", err)
		}
	})
}

func TestLaneBounds(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.lanes[Work] = Limits{Slots: 3, Queue: 1000}
		now, most := make(chan int, 1), 0
		now <- 0
		w.know(making("make", step("work", func(context.Context, *Task, *args) error {
			n := <-now + 1
			most = max(most, n)
			now <- n
			<-time.After(time.Second)
			now <- <-now - 1
			return nil
		})))
		e := w.process()
		start := time.Now()
		for range 30 {
			w.submit(e, "make", args{})
		}
		synctest.Wait()
		pass(9 * time.Second)
		if len(e.InFlight()) == 0 {
			t.Error("all have ended too early")
		}
		pass(time.Second)
		if most != 3 || len(e.InFlight()) != 0 {
			t.Errorf("at most %d at once; %d after %s", most, len(e.InFlight()), time.Since(start))
		}
	})
}

func TestLaneAdmits(t *testing.T) {
	l := newLane(Bulk, Limits{Slots: 1, Queue: 2})
	l.enter()
	l.enter()
	l.enter() // what was accepted before comes in, whatever the limit
	if err := l.admit(); !errors.Is(err, fault.Overloaded) {
		t.Error(err)
	}
	l.leave()
	l.leave()
	if err := l.admit(); err != nil {
		t.Error(err)
	}
}

// Many come, go and give up at once; no slot is lost.
func TestLaneUnderLoad(t *testing.T) {
	l, ended := newLane(Work, Limits{Slots: 3}), make(chan struct{})
	const callers, rounds = 16, 300
	for i := range callers {
		go func() {
			defer func() { ended <- struct{}{} }()
			for range rounds {
				ctx, cancel := context.WithCancel(context.Background())
				if i%2 == 0 {
					go cancel()
				}
				if l.acquire(ctx, fmt.Sprint(i%5)) == nil {
					l.release()
				}
				cancel()
			}
		}()
	}
	for range callers {
		<-ended
	}
	if l.busy != 0 || len(l.waiting) != 0 || len(l.turns) != 0 {
		t.Errorf("left: %d slots, %v, %v", l.busy, l.waiting, l.turns)
	}
}

// What can wait stands back for those who wait for an answer, but not for ever.
func TestLaneYields(t *testing.T) {
	for name, c := range map[string]struct {
		after time.Duration // until each in front is through
		want  time.Duration
	}{
		"until all are through": {3 * time.Second, 6 * time.Second},
		"not for ever":          {time.Hour, yieldMost},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				work, bulk := newLane(Work, Limits{Slots: 1, Queue: 100}), newLane(Bulk, Limits{Slots: 1, Queue: 100})
				bulk.senior = work
				granted := make(chan string, 10)
				queueUp(t.Context(), work, "first", granted)
				queueUp(t.Context(), work, "second", granted)
				begin := time.Now()
				time.AfterFunc(c.after, work.release)
				time.AfterFunc(2*c.after, work.release)
				if err := bulk.acquire(t.Context(), "purge"); err != nil || time.Since(begin) != c.want {
					t.Errorf("granted after %v, %v; want %v", time.Since(begin), err, c.want)
				}
				queueUp(t.Context(), work, "again", granted)
				gone, leave := context.WithTimeout(t.Context(), time.Second)
				defer leave()
				queueUp(t.Context(), work, "third", granted)
				if err := bulk.acquire(gone, "purge"); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("one who has left got %v", err)
				}
				virtual.Pass(2 * c.after) // the timers are through
				for work.busy > 0 {
					work.release()
				}
			})
		})
	}
}
