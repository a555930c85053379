package lifeline

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Holder is what a lock file says of its holder. It is written after the lock
// is taken, so it may be that of the one before for a moment.
type Holder struct {
	PID        int // the process that does the work
	Generation int // of the child; 0 if it is nobody's child
	Supervisor int // pid of the parent that started it; 0 if it is nobody's child
}

// HeldError says that a lock is held by somebody else.
type HeldError struct {
	Path   string
	Holder Holder // PID is 0 when the file does not tell
}

// Error names the file and the pid.
func (e *HeldError) Error() string {
	if e.Holder.PID == 0 {
		return fmt.Sprintf("%s is locked by another process", e.Path)
	}
	return fmt.Sprintf("%s is locked by pid %d", e.Path, e.Holder.PID)
}

// Lock is an flock on a file. It belongs to the open file and so to everyone
// who inherits it: it ends when the last of them is gone, however they ended.
type Lock struct{ file *os.File }

// TakeLock takes the lock, creating the file if there is none. It does not wait:
// a lock held elsewhere is a [HeldError]. The file is never removed, since that
// would let two processes lock two files of one name.
func TakeLock(path string) (*Lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return &Lock{file: f}, nil
	}
	defer f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, &HeldError{Path: path, Holder: readHolder(f)}
	}
	return nil, fmt.Errorf("lock %s: %w", path, err)
}

// File returns the open file, to be inherited. It stays the lock's.
func (l *Lock) File() *os.File { return l.file }

// Path returns the path of the lock file.
func (l *Lock) Path() string { return l.file.Name() }

const holderFormat = "pid %d\ngeneration %d\nsupervisor %d\n"

// Note writes the holder into the file, for people and for the next parent.
func (l *Lock) Note(h Holder) error {
	text := fmt.Sprintf(holderFormat, h.PID, h.Generation, h.Supervisor)
	if _, err := l.file.WriteAt([]byte(text), 0); err != nil {
		return fmt.Errorf("note holder of lock: %w", err)
	}
	if err := l.file.Truncate(int64(len(text))); err != nil {
		return fmt.Errorf("note holder of lock: %w", err)
	}
	return nil
}

// Close gives up this process's share of the lock.
func (l *Lock) Close() error { return l.file.Close() }

func readHolder(f *os.File) Holder {
	var h Holder
	if _, err := fmt.Fscanf(io.NewSectionReader(f, 0, 256), holderFormat, &h.PID, &h.Generation, &h.Supervisor); err != nil {
		return Holder{}
	}
	return h
}
