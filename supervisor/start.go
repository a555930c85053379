package supervisor

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/volumed/volumed/supervisor/lifeline"
)

// lockRetry is how often a lock held by a stranger is tried again.
const lockRetry = time.Second

// startDue starts what may start now, in the order of the configuration.
func (s *Supervisor) startDue(now time.Time) {
	slots := s.cfg.Policy.MaxParallelInit
	for c := range s.all() {
		if c.Role == Worker && c.initialising(now) {
			slots--
		}
	}
	for _, c := range s.children {
		if !c.due(now) {
			continue
		}
		if reason := s.waitsFor(c); reason != "" {
			c.set(Starting, reason, now)
			continue
		}
		// The cap spreads the load of a cold start. A backend that has served
		// comes back without queueing behind those that never did.
		if c.Role == Worker && !c.loyal {
			if slots <= 0 {
				c.set(Starting, waitsForSlot, now)
				continue
			}
			slots--
		}
		if s.takeLock(c, now) {
			s.start(c, now)
		}
	}
	s.startRenewals(slots, now)
}

// due reports whether the child has no process, wants one, and its delay is over.
func (c *child) due(now time.Time) bool {
	wants := c.State == Starting || c.State == Backoff || c.State == Blocked
	return c.proc == nil && wants && !c.held && !now.Before(c.NextStart)
}

// Reasons of children that are starting: the first begins with this.
const (
	waitsForOther = "waits for "
	waitsForSlot  = "waits for a slot to set itself up"
)

// waitsFor returns what has to happen before the child starts, "" if nothing has.
func (s *Supervisor) waitsFor(c *child) string {
	if c.Role == Bus {
		return ""
	}
	for _, other := range s.children {
		if other == c {
			return "" // a one-shot waits only for those before it
		}
		if other.Role == OneShot && other.State != Exited || other.Role == Bus && !other.loyal {
			return waitsForOther + other.Name
		}
	}
	return ""
}

// takeLock takes the lock of the child unless the supervisor has it already.
func (s *Supervisor) takeLock(c *child, now time.Time) bool {
	if c.lock != nil || c.spec.LockPath == "" {
		return true
	}
	lock, err := lifeline.TakeLock(c.spec.LockPath)
	var held *lifeline.HeldError
	switch {
	case err == nil:
		c.lock, c.blocked = lock, time.Time{}
		return true
	case errors.As(err, &held):
		s.block(c, held, now)
	default:
		s.buryUnborn(c, err, now)
	}
	return false
}

// block waits for a stranger that holds the lock of the child.
func (s *Supervisor) block(c *child, held *lifeline.HeldError, now time.Time) {
	if c.blocked.IsZero() {
		c.blocked = now
		s.log.Warn("backend is blocked by another process, waiting for it to end", "backend", c.Name,
			"holder", held.Holder.PID, "lock", held.Path)
	}
	if now.Sub(c.blocked) > s.cfg.Policy.OrphanGrace {
		s.endOrphan(c, held)
	}
	c.NextStart = now.Add(lockRetry)
	c.set(Blocked, blockedBy(held), now)
}

func blockedBy(held *lifeline.HeldError) string {
	if held.Holder.PID == 0 {
		return "blocked by an unknown process that holds " + held.Path
	}
	return fmt.Sprintf("blocked by pid %d", held.Holder.PID)
}

// start starts the next generation of the child.
func (s *Supervisor) start(c *child, now time.Time) {
	c.Generation++
	replaces := 0
	if c.replaces != nil {
		replaces = c.replaces.PID
	}
	proc, err := s.starter.Start(launch{
		spec:        c.spec,
		generation:  c.Generation,
		replaces:    replaces,
		lock:        c.lock,
		watchdog:    s.cfg.Policy.WatchdogTimeout,
		orphanGrace: s.cfg.Policy.OrphanGrace,
	})
	if err != nil {
		s.buryUnborn(c, err, now)
		return
	}
	c.begin(proc, now, s.cfg.Policy.ReadyTimeout)
	c.watchdog = s.cfg.Policy.WatchdogTimeout
	s.log.Debug("child started", "backend", c.Name, "child", c.PID, "generation", c.Generation)
	go func() {
		exit := proc.Run(func(m lifeline.Message) { s.events <- event{child: c, message: &m} })
		s.events <- event{child: c, exit: &exit}
	}()
	if c.replaces == nil {
		s.note(c)
	}
}

// note writes into the lock who does the work.
func (s *Supervisor) note(c *child) {
	if c.lock == nil {
		return
	}
	holder := lifeline.Holder{PID: c.PID, Generation: c.Generation, Supervisor: os.Getpid()}
	if err := c.lock.Note(holder); err != nil {
		s.log.Warn("holder of the lock is not noted", "backend", c.Name, "error", err)
	}
}

// buryUnborn treats a child that could not even be started like one that died
// before it was ready: what is missing now (memory, descriptors, disk) may be
// there later.
func (s *Supervisor) buryUnborn(c *child, err error, now time.Time) {
	c.Started, c.ready, c.served, c.asked = now, 0, false, false
	c.end(Exit{Code: -1, Reason: "cannot start: " + err.Error()}, now, s.oom)
	s.bury(c, now)
}
