package supervisor

import (
	"syscall"
	"time"

	"github.com/volumed/volumed/supervisor/lifeline"
)

// watch ends a child whose deadline has passed, and begins the end of one that
// has stopped beating.
func (s *Supervisor) watch(c *child, now time.Time) {
	if c.proc == nil {
		return
	}
	if !c.killAt.IsZero() && !now.Before(c.killAt) {
		s.kill(c)
	}
	if !c.warmBy.IsZero() && !now.Before(c.warmBy) {
		s.late(c)
		s.kill(c)
	}
	if at := s.hungAt(c); !at.IsZero() && !now.Before(at) {
		s.dump(c, now)
	}
}

// hungAt is when the child counts as hung, zero if never: it has not beaten yet,
// or it is ending anyway.
func (s *Supervisor) hungAt(c *child) time.Time {
	if c.LastBeat.IsZero() || c.asked || c.killed != "" || c.State == lifeline.Draining {
		return time.Time{}
	}
	return c.LastBeat.Add(c.watchdog)
}

// dump makes a hung child write all its stacks and die. CONT is for one that was
// stopped: it would neither write nor, without SIGKILL, die.
func (s *Supervisor) dump(c *child, now time.Time) {
	c.hung = true
	c.killed = "hung: no beat for " + c.watchdog.String()
	c.killAt = now.Add(s.cfg.Policy.FastTimeout)
	s.log.Error("child is hung, asking for its stacks and ending it", "backend", c.Name, "child", c.PID,
		"state", c.State, "last_beat", now.Sub(c.LastBeat).Round(time.Millisecond))
	for _, sig := range []syscall.Signal{syscall.SIGQUIT, syscall.SIGCONT} {
		if err := c.signal(sig); err != nil {
			s.log.Error("hung child cannot be signalled", "backend", c.Name, "child", c.PID, "error", err)
		}
	}
}
