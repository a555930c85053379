package rbd

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
)

// The connection of flattens comes with the first of them, is told of before it is used,
// and goes when there was none for a while.
func TestAsideComesAndGoes(t *testing.T) {
	_, d := fresh(t)
	snap := snapshot(t, d, create(t, d, "volume-1"), "snapshot-1")
	if n := len(d.Addrs()); n != 2 {
		t.Fatalf("%d connections before the first flatten", n)
	}
	wantKind(t, "", d.FlattenVolume(driver.Awaited(t.Context()), clone(t, d, "volume-2", snap), nil))
	if n := len(d.Addrs()); n != 2 {
		t.Fatalf("%d connections after one that somebody waits for", n)
	}

	c := clone(t, d, "volume-3", snap)
	refused := errors.New("refused")
	var told []string
	d.Introduce(func(context.Context) error { return refused })
	if err := d.FlattenVolume(t.Context(), c, nil); !errors.Is(err, refused) {
		t.Fatalf("a flatten that nobody would fence: %v", err)
	}
	d.Introduce(func(context.Context) error { told = append(told, d.Addrs()...); return nil })
	for range 2 {
		wantKind(t, "", d.FlattenVolume(t.Context(), c, func(int) {
			if !slices.Equal(told, d.Addrs()) || len(told) != 3 {
				t.Errorf("%v were told of, there are %v", told, d.Addrs())
			}
		}))
	}
	if len(told) != 3 {
		t.Errorf("told of more than once: %v", told)
	}

	wantKind(t, "", d.Ping(t.Context()))
	if n := len(d.Addrs()); n != 3 {
		t.Fatalf("%d connections right after a flatten", n)
	}
	d.aside.retire(0)
	if n := len(d.Addrs()); n != 2 {
		t.Fatalf("%d connections a while after it", n)
	}
	wantKind(t, "", d.FlattenVolume(t.Context(), clone(t, d, "volume-4", snap), nil))
	if len(told) != 6 {
		t.Errorf("the second connection was not told of: %v", told)
	}
}

// The connection is not closed under who uses it.
func TestAsideStaysWhileInUse(t *testing.T) {
	_, d := fresh(t)
	l, done, err := d.aside.use(t.Context(), d.cfg)
	wantKind(t, "", err)
	d.aside.retire(0)
	wantKind(t, "", l.read())
	done()
	d.aside.retire(time.Hour)
	if n := len(d.aside.addrs()); n != 1 {
		t.Error("closed before its time")
	}
}

// The end of the connection of flattens is told as that of any other.
func TestAsideIsWatched(t *testing.T) {
	env, d := fresh(t)
	_, done, err := d.aside.use(t.Context(), d.cfg)
	wantKind(t, "", err)
	defer done()
	other := openDriver(t, config(env, d.cfg.Pool))
	wantKind(t, "", other.Fence(t.Context(), d.aside.addrs()))
	for err = d.Ping(t.Context()); !errors.Is(err, driver.ErrShutOut); err = d.Ping(t.Context()) {
		if err != nil {
			wantKind(t, fault.Unavailable, err)
		}
	}
}

// What flattens ask is the least urgent: that it is late does not make the backend look
// away, nor librbd wedged.
func TestLateAsideIsNoOutage(t *testing.T) {
	_, d := fresh(t)
	_, done, err := d.aside.use(t.Context(), d.cfg)
	wantKind(t, "", err)
	defer done()
	wantKind(t, "", d.Ping(t.Context()))
	stuck := make(chan struct{})
	defer close(stuck)
	hang := func(q *question, since time.Time) {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.asked = &asked{at: since, done: stuck}
	}
	long := time.Now().Add(-wedgedAfter)
	hang(&d.questions.aside, long)
	hang(&d.questions.asideLibrary, long)
	d.fitness.since, d.aside.fitness.since = long, long
	timely(t, time.Second, func() { wantKind(t, "", d.Ping(t.Context())) })

	hang(&d.questions.aside, time.Now()) // it has answered so far
	d.fitness.since, d.aside.fitness.since = long, long
	if err := d.Ping(t.Context()); !errors.Is(err, driver.ErrShutOut) {
		t.Errorf("a librbd that has wedged there: %v", err)
	}
}

// A flatten that sleeps keeps nobody waiting on the other connections.
func TestAsideSleepsAlone(t *testing.T) {
	_, d := fresh(t)
	snap := snapshot(t, d, create(t, d, "volume-1"), "snapshot-1")
	c := clone(t, d, "volume-2", snap)
	asleep, wake, ended := make(chan struct{}), make(chan struct{}), make(chan error)
	sleep := sync.OnceFunc(func() { close(asleep); <-wake })
	go func() { ended <- d.FlattenVolume(t.Context(), c, func(int) { sleep() }) }()
	<-asleep
	wantKind(t, "", d.control.probe())
	wantKind(t, "", d.data.probe())
	wantKind(t, "", d.FlattenVolume(driver.Awaited(t.Context()), clone(t, d, "volume-3", snap), nil))
	close(wake)
	wantKind(t, "", <-ended)
}
