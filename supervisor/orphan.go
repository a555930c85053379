package supervisor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
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
	for _, pid := range holders(held) {
		killed, err := killHolder(pid, held.Path)
		switch {
		case err != nil:
			s.told.Note(c.Name, hclog.Error, "orphan of an earlier supervisor cannot be killed", "backend", c.Name, "holder", pid, "error", err)
		case killed:
			s.told.Note(c.Name, hclog.Warn, "killed an orphan of an earlier supervisor", "backend", c.Name, "holder", pid)
		}
	}
}

// holders returns the processes that may have inherited the lock: the noted one, and,
// once that is gone, whoever else has the file open, such as the other one of a pair.
func holders(held *lifeline.HeldError) []int {
	if open, err := hasOpen(held.Holder.PID, held.Path); open || err != nil {
		return []int{held.Holder.PID}
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && pid != os.Getpid() {
			if open, err := hasOpen(pid, held.Path); open && err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// killHolder sends SIGKILL to a process if that really has the lock file open. The
// handle is taken before the look, so that the process that was looked at is the one
// that is killed.
func killHolder(pid int, path string) (killed bool, err error) {
	proc, err := os.FindProcess(pid)
	if err != nil {
		return false, err
	}
	defer proc.Release()
	open, err := hasOpen(pid, path)
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
