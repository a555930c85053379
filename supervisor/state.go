package supervisor

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/supervisor/lifeline"
)

// maxStatePath leaves room in the 107 bytes of a socket path for /run/<number>.
const maxStatePath = 80

// stateDir is the directory of one supervisor, locked while it runs:
//
//	volumed.lock   who runs
//	run/           sockets of the children, emptied at each start
//	crash/         per child: the output of the running processes, <name>.0.txt and
//	               <name>.1.txt, for generations that are even and odd, and
//	               of the last one that crashed, <name>.last.txt
type stateDir struct {
	path string
	lock *lifeline.Lock
	next int // number of the next socket
}

// openState creates and locks the directory.
func openState(path string) (_ *stateDir, err error) {
	defer fault.Wrap(&err, "state path %s", path)
	if err := os.MkdirAll(path, 0o750); err != nil {
		return nil, err
	}
	lock, err := lifeline.TakeLock(filepath.Join(path, "volumed.lock"))
	var held *lifeline.HeldError
	if errors.As(err, &held) {
		return nil, fault.New(fault.Conflict, "volumed already runs there as pid %d: %w", held.Holder.PID, err).
			WithHint("stop it, or give this one another state_path")
	}
	if err != nil {
		return nil, err
	}
	s := &stateDir{path: path, lock: lock}
	if err := s.prepare(); err != nil {
		lock.Close()
		return nil, err
	}
	return s, nil
}

func (s *stateDir) prepare() error {
	// The sockets are those of a supervisor that was killed: this one has the lock.
	if err := os.RemoveAll(s.runDir()); err != nil {
		return err
	}
	if err := os.Mkdir(s.runDir(), 0o700); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(s.path, "crash"), 0o700); err != nil {
		return err
	}
	return s.lock.Note(lifeline.Holder{PID: os.Getpid()})
}

func (s *stateDir) runDir() string { return lifeline.RunDir(s.path) }

// Close gives up the directory.
func (s *stateDir) Close() error {
	return errors.Join(os.RemoveAll(s.runDir()), s.lock.Close())
}

// socketPath returns a path that was never used before by this supervisor.
func (s *stateDir) socketPath() string {
	s.next++
	return filepath.Join(s.runDir(), fmt.Sprint(s.next))
}

// crashFile is what one child writes its crash to.
type crashFile struct{ path, last string }

// newCrashFile makes an empty file for the child, keeping what a process before it has
// left there. A process and its replacement, one generation on, have one each.
func (s *stateDir) newCrashFile(name string, generation int) (crashFile, error) {
	base := filepath.Join(s.path, "crash", url.PathEscape(name))
	c := crashFile{path: fmt.Sprintf("%s.%d.txt", base, generation%2), last: base + ".last.txt"}
	c.keep()
	f, err := os.OpenFile(c.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return crashFile{}, fmt.Errorf("create crash file: %w", err)
	}
	return c, f.Close()
}

// maxCrash is how much of the end of a crash text goes into the report.
const maxCrash = 64 << 10

// keep returns the end of what was written, and moves the whole to where the
// next process of the child does not overwrite it.
func (c crashFile) keep() string {
	f, err := os.Open(c.path)
	if err != nil {
		return ""
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return ""
	}
	tail := io.NewSectionReader(f, max(0, info.Size()-maxCrash), maxCrash)
	text, err := io.ReadAll(tail)
	if err != nil {
		return fmt.Sprintf("crash text in %s cannot be read: %v", c.path, err)
	}
	if err := os.Rename(c.path, c.last); err != nil {
		return fmt.Sprintf("%s\n(not kept: %v)", text, err)
	}
	return string(text)
}
