package store

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// turnstiles returns so many on one file, as processes have them.
func turnstiles(t *testing.T, n int) []*turnstile {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lock")
	list := make([]*turnstile, n)
	for i := range list {
		var err error
		if list[i], err = openTurnstile(path); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { list[i].close() })
	}
	return list
}

// waitTaken returns once somebody else holds the lock.
func (t *turnstile) waitTaken(which int64) {
	for t.lock(unix.F_OFD_SETLK, unix.F_WRLCK, which) == nil {
		_ = t.lock(unix.F_OFD_SETLK, unix.F_UNLCK, which)
		runtime.Gosched()
	}
}

// One who was in the room lets the one who waits go first.
func TestTurnsAlternate(t *testing.T) {
	list := turnstiles(t, 3)
	a, b, observer := list[0], list[1], list[2]
	if err := a.take(t.Context()); err != nil {
		t.Fatal(err)
	}
	order, ended := make(chan string, 2), make(chan struct{})
	go func() {
		defer close(ended)
		err := b.take(context.Background())
		order <- "b"
		if err == nil {
			b.give()
		}
	}()
	observer.waitTaken(gate)
	a.give()
	if err := a.take(t.Context()); err != nil {
		t.Fatal(err)
	}
	order <- "a"
	if first := <-order; first != "b" {
		t.Errorf("%s was first", first)
	}
	a.give()
	<-ended
}

// A wait that was given up leaves nothing locked.
func TestTurnGivenUp(t *testing.T) {
	list := turnstiles(t, 3)
	a, b, observer := list[0], list[1], list[2]
	if err := a.take(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- b.take(ctx) }()
	observer.waitTaken(gate)
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v", err)
	}
	a.give()
	for range 2 {
		for _, turn := range []*turnstile{observer, b, a} {
			if err := turn.take(t.Context()); err != nil {
				t.Fatal(err)
			}
			turn.give()
		}
	}
}

// Closing while a wait that was given up goes on is safe, and that wait ends.
func TestTurnClosedWhileItWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	a, err := openTurnstile(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := openTurnstile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.take(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- b.take(ctx) }()
	a.waitTaken(gate)
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v", err)
	}
	if err := b.close(); err != nil {
		t.Error(err)
	}
	a.give()
	<-b.busy
	if err := a.take(t.Context()); err != nil {
		t.Errorf("the wait that was given up left a lock: %v", err)
	}
	if err := a.close(); err != nil {
		t.Error(err)
	}
}
