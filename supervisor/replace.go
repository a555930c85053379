package supervisor

import (
	"time"

	"github.com/volumed/volumed/supervisor/lifeline"
)

// A process is replaced without a gap in four steps, each begun by an event:
//
//	replace   the next process starts beside the one that serves
//	handOver  it is warm: connected, and subscribed to requests, which it holds;
//	          the one before is asked to end
//	promote   that is gone: the next takes its place and begins to work
//	abandon   or it was not warm in time, or died: the one before goes on

// handOverTimeout is what a process gets to bring its work to safe points when
// its replacement waits. Cutting it off loses nothing: what it has accepted is in
// the journal. It only has to be repeated.
const handOverTimeout = 10 * time.Second

// replace starts the replacement of a child that has a process.
func (s *Supervisor) replace(c *child, spec Spec, now time.Time) {
	next := newChild(c.Role, spec, now)
	next.Generation, next.lock = c.Generation, c.lock
	next.replaces, next.warmBy = c, now.Add(s.cfg.Policy.WarmTimeout)
	c.next, c.renewal, c.refusal, c.changed = next, nil, "", true
	s.log.Info("child is being replaced", "backend", c.Name, "child", c.PID, "options", changed(c.spec.Settings, spec.Settings, Live, Backend, Service))
	s.start(next, now)
}

// handOver asks the process before to end: its replacement is warm.
func (s *Supervisor) handOver(next *child, now time.Time) {
	next.warmBy = time.Time{}
	if c := next.replaces; c.proc != nil && !c.asked {
		s.ask(c, handOverTimeout, now)
	}
}

// promote gives the place of a child without a process to its replacement.
func (s *Supervisor) promote(c *child, now time.Time) {
	next := c.next
	next.replaces, c.next = nil, nil
	next.warmBy = time.Time{}
	next.wanted, next.Restarts, next.LastExit, next.history = c.wanted, c.Restarts, c.LastExit, c.history
	next.CrashLoop, next.complained, next.changed = c.CrashLoop, c.complained, true
	for i := range s.children {
		if s.children[i] == c {
			s.children[i] = next
		}
	}
	s.note(next)
	if err := next.proc.Go(); err != nil {
		s.log.Error("replacement cannot be told to begin, it is ended", "backend", next.Name, "child", next.PID, "error", err)
		next.killed, next.killAt = "could not be told to begin", now
	}
}

// abandon gives a replacement up; the child goes on as it is.
func (s *Supervisor) abandon(c *child, why string, now time.Time) {
	c.next.lock = nil // it is the child's
	c.next, c.refusal, c.changed = nil, why, true
	s.log.Error("replacement failed, the process before goes on", "backend", c.Name, "child", c.PID, "reason", why)
	if c.proc == nil { // it was on its way out
		s.succeed(c, now)
	}
}

// late ends a replacement that is not warm in time.
func (s *Supervisor) late(c *child, now time.Time) {
	c.warmBy = time.Time{}
	c.killed = "not set up after " + s.cfg.Policy.WarmTimeout.String()
	if c.Reason != "" {
		c.killed += ": " + c.Reason
	}
}

// succeed starts a process again that ended as it was asked to, at once.
func (s *Supervisor) succeed(c *child, now time.Time) {
	c.NextStart = now
	c.set(Backoff, "is started again", now)
}

// buryReplaced decides about the end of a child of a pair, and reports whether it
// was one.
func (s *Supervisor) buryReplaced(c *child, now time.Time) bool {
	switch {
	case c.replaces != nil:
		s.abandon(c.replaces, c.LastExit.Reason, now)
	case c.next != nil:
		s.log.Info("child has ended in favour of its replacement", append(s.obituary(c), "replacement", c.next.PID)...)
		s.promote(c, now)
	default:
		return false
	}
	return true
}

// startRenewals begins the replacements that are due, as far as there are slots.
func (s *Supervisor) startRenewals(slots int, now time.Time) {
	for _, c := range s.children {
		switch {
		case c.renewal == nil || c.next != nil || c.asked:
		case c.proc == nil: // it ended meanwhile
			c.spec, c.renewal = *c.renewal, nil
		case slots > 0 && c.State != lifeline.Init:
			slots--
			s.replace(c, *c.renewal, now)
		}
	}
}
