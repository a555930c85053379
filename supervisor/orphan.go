package supervisor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/supervisor/lifeline"
)

// orphanLull is when an orphan that was tried to be killed is out of the way.
const orphanLull = 10 * lockRetry

// endOrphan kills the holder of a lock if it is a child of an earlier supervisor
// that has outlived its grace. A worker that a person runs in the foreground
// holds the same lock and is left alone.
func (s *Supervisor) endOrphan(c *child, held *lifeline.HeldError) {
	// This supervisor has the lock of the state path, so any other that noted
	// itself as a parent is gone.
	if held.Holder.Supervisor == 0 {
		return
	}
	killed, err := killHolder(held)
	switch {
	case err != nil:
		s.told.Note(c.Name, hclog.Error, "orphan of an earlier supervisor cannot be killed", "backend", c.Name, "holder", held.Holder.PID, "error", err)
	case killed:
		s.told.Note(c.Name, hclog.Warn, "killed an orphan of an earlier supervisor", "backend", c.Name, "holder", held.Holder.PID)
	}
}

// killHolder sends SIGKILL to the noted holder if that process really has the
// lock file open. The handle is taken before the look, so that the process that
// was looked at is the one that is killed.
func killHolder(held *lifeline.HeldError) (killed bool, err error) {
	proc, err := os.FindProcess(held.Holder.PID)
	if err != nil {
		return false, err
	}
	defer proc.Release()
	open, err := hasOpen(held.Holder.PID, held.Path)
	if err != nil || !open {
		return false, err
	}
	if err := proc.Signal(syscall.SIGKILL); !errors.Is(err, os.ErrProcessDone) {
		return err == nil, err
	}
	return false, nil
}

// hasOpen reports whether the process has the file open.
func hasOpen(pid int, path string) (bool, error) {
	want, err := os.Stat(path)
	if err != nil {
		return false, err
	}
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	fds, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil // it has just ended
	}
	if err != nil {
		return false, err
	}
	for _, fd := range fds {
		if got, err := os.Stat(filepath.Join(dir, fd.Name())); err == nil && os.SameFile(want, got) {
			return true, nil
		}
	}
	return false, nil
}
