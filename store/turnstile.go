package store

import (
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// turnstile lets the processes that share a SQLite file write in turn. It only
// makes the waiting fair and short; that there is one writer at a time is
// SQLite's doing.
//
// It is two locks on a file beside the database: whoever wants to write waits for
// the gate, holds it while he waits for the room, and leaves the gate once he is
// in. A process that has just been in the room finds another one in the gate, and
// cannot be in the room twice while that one waits.
type turnstile struct {
	file *os.File
	busy chan struct{} // closed when a wait that was given up has ended
}

// Bytes of the file that stand for the locks.
const (
	gate int64 = iota
	room
	migrating // held by Migrate
)

func openTurnstile(path string) (*turnstile, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	free := make(chan struct{})
	close(free)
	return &turnstile{file: file, busy: free}, nil
}

// lock locks a byte, waiting for it if cmd says so. The lock belongs to the open
// file: it ends with the process at the latest.
func (t *turnstile) lock(cmd int, kind int16, which int64) error {
	lock := unix.Flock_t{Type: kind, Whence: io.SeekStart, Start: which, Len: 1}
	for {
		err := unix.FcntlFlock(t.file.Fd(), cmd, &lock)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// take waits for the turn of this process, or for the end of ctx.
func (t *turnstile) take(ctx context.Context) error {
	select {
	case <-t.busy:
	case <-ctx.Done():
		return ctx.Err()
	}
	if t.enter(unix.F_OFD_SETLK) == nil {
		return nil
	}
	return t.wait(ctx, func() error { return t.enter(unix.F_OFD_SETLKW) }, t.give)
}

// wait runs a wait that nothing can interrupt, and undoes it when it comes to its
// end after ctx.
func (t *turnstile) wait(ctx context.Context, enter func() error, undo func()) error {
	entered, gone := make(chan error), make(chan struct{})
	t.busy = make(chan struct{})
	go func(busy chan struct{}) {
		defer close(busy)
		err := enter()
		select {
		case entered <- err:
		case <-gone:
			undo()
		}
	}(t.busy)
	select {
	case err := <-entered:
		return err
	case <-ctx.Done():
		close(gone)
		return ctx.Err()
	}
}

// enter goes through the gate into the room.
func (t *turnstile) enter(cmd int) error {
	if err := t.lock(cmd, unix.F_WRLCK, gate); err != nil {
		return err
	}
	err := t.lock(cmd, unix.F_WRLCK, room)
	return errors.Join(err, t.lock(unix.F_OFD_SETLK, unix.F_UNLCK, gate))
}

// give lets the next one in.
func (t *turnstile) give() { _ = t.lock(unix.F_OFD_SETLK, unix.F_UNLCK, room) }

// migrate waits until this process is the only one that migrates; close ends it.
func (t *turnstile) migrate(ctx context.Context) error {
	leave := func() { _ = t.lock(unix.F_OFD_SETLK, unix.F_UNLCK, migrating) }
	return t.wait(ctx, func() error { return t.lock(unix.F_OFD_SETLKW, unix.F_WRLCK, migrating) }, leave)
}

// close gives all locks back. A wait that was given up still uses the file, and
// closes it when it ends; close does not wait for that.
func (t *turnstile) close() error {
	select {
	case <-t.busy:
		return t.file.Close()
	default:
	}
	go func() {
		<-t.busy
		t.file.Close()
	}()
	return nil
}
