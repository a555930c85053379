package supervisor

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
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
		killed, err := killHolder(pid, held)
		switch {
		case err != nil:
			s.told.Note(c.Name, hclog.Error, "orphan of an earlier supervisor cannot be killed", "backend", c.Name, "holder", pid, "error", err)
		case killed:
			s.told.Note(c.Name, hclog.Warn, "killed an orphan of an earlier supervisor", "backend", c.Name, "holder", pid)
		}
	}
}

// holders returns the processes that have inherited the lock: the noted one, and, once
// that is gone, whoever else has, such as the other one of a pair.
func holders(held *lifeline.HeldError) []int {
	if has, err := inherits(held.Holder.PID, held); has || err != nil {
		return []int{held.Holder.PID}
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && pid != os.Getpid() {
			if has, err := inherits(pid, held); has && err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// killHolder sends SIGKILL to a process if that really has inherited the lock. The
// handle is taken before the look, so that the process that was looked at is the one
// that is killed.
func killHolder(pid int, held *lifeline.HeldError) (killed bool, err error) {
	proc, err := os.FindProcess(pid)
	if err != nil {
		return false, err
	}
	defer proc.Release()
	has, err := inherits(pid, held)
	if err != nil || !has {
		return false, err
	}
	if err := proc.Signal(syscall.SIGKILL); !errors.Is(err, os.ErrProcessDone) {
		return err == nil, err
	}
	return false, nil
}

// inherits reports whether the process holds the lock, and has it from the supervisor
// that the lock file names. Others may have the file open, to read it, or have taken the
// lock themselves and not noted it yet: a person works with them.
func inherits(pid int, held *lifeline.HeldError) (bool, error) {
	want, err := os.Stat(held.Path)
	if err != nil {
		return false, err
	}
	dir := fmt.Sprintf("/proc/%d/", pid)
	fds, err := os.ReadDir(dir + "fd")
	if errors.Is(err, os.ErrNotExist) {
		return false, nil // it has just ended
	}
	if err != nil {
		return false, err
	}
	for _, fd := range fds {
		if got, err := os.Stat(dir + "fd/" + fd.Name()); err != nil || !os.SameFile(want, got) {
			continue
		}
		info, err := os.ReadFile(dir + "fdinfo/" + fd.Name())
		if err == nil && lockedBy(string(info), held.Holder.Supervisor) {
			return true, nil
		}
	}
	return false, nil
}

// lockedBy reports whether the kernel says of a descriptor that it is locked by flock
// and that the process took the lock. Of one that is gone a pid namespace says 0.
func lockedBy(fdinfo string, taker int) bool {
	for line := range strings.Lines(fdinfo) {
		// lock: 1: FLOCK  ADVISORY  WRITE 713 fe:00:9980153 0 EOF
		f := strings.Fields(line)
		if len(f) < 6 || f[0] != "lock:" || f[2] != "FLOCK" {
			continue
		}
		if pid, err := strconv.Atoi(f[5]); err == nil && (pid == taker || pid == 0) {
			return true
		}
	}
	return false
}
