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
//
// Until the next one serves there is a way back to what worked before.

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

// handOver asks the process before to end: its replacement is warm, and how long that
// takes is not held against it.
func (s *Supervisor) handOver(next *child, now time.Time) {
	next.warmBy = time.Time{}
	if c := next.replaces; c.proc != nil && !c.asked {
		c.handed = true
		s.tell(c, lifeline.HandOver)
		s.ask(c, handOverTimeout, now)
	}
}

// tell says to a child whether another is to take its backend over. One that does not
// hear it only tells others wrongly for how long they have to wait.
func (s *Supervisor) tell(c *child, w lifeline.Word) {
	if err := c.proc.Tell(w); err != nil {
		s.log.Warn("child is not told what comes after it", "backend", c.Name, "child", c.PID, "error", err)
	}
}

// promote gives the place of a child without a process to its replacement.
func (s *Supervisor) promote(c *child, now time.Time) {
	next, before := c.next, c.spec
	if c.fallback != nil { // it has not served itself
		before = *c.fallback
	}
	c.next, next.replaces = nil, nil
	next.intent, next.fallback, next.warmBy = c.intent, &before, now.Add(s.cfg.Policy.WarmTimeout)
	next.Restarts, next.LastExit, next.history, next.loyal = c.Restarts, c.LastExit, c.history, c.loyal
	next.CrashLoop, next.complained, next.changed = c.CrashLoop, c.complained, true
	for i := range s.children {
		if s.children[i] == c {
			s.children[i] = next
		}
	}
	s.note(next)
	if next.asked { // to end, together with the one before
		return
	}
	if err := next.proc.Tell(lifeline.Begin); err != nil {
		s.log.Error("replacement cannot be told to begin, it is ended", "backend", next.Name, "child", next.PID, "error", err)
		next.killed, next.killAt = "could not be told to begin", now
	}
}

// established notes that a process serves: there is no way back any more.
func (c *child) established() { c.fallback, c.warmBy = nil, time.Time{} }

// abandon gives a replacement up; the child goes on as it is, or is started again as it
// was if it was already asked to end.
func (s *Supervisor) abandon(c *child, why string) {
	about := []any{"backend", c.Name, "child", c.PID, "reason", why}
	switch {
	case c.next.asked:
		s.log.Info("replacement is ended together with the process before", about...)
		why = "" // it is the operator who does not want it
	case c.asked:
		s.log.Error("replacement failed, the process before is ending and is started again", about...)
	default:
		s.log.Error("replacement failed, the process before goes on", about...)
	}
	c.next.lock = nil // it is the child's
	c.next, c.refusal, c.changed = nil, why, true
}

// fallBack starts a child again with what worked before: its replacement took its
// place and never served.
func (s *Supervisor) fallBack(c *child, now time.Time) {
	c.refusal = c.LastExit.Reason
	s.log.Error("replacement never served, going back to the options before", append(s.obituary(c), "options",
		changed(c.fallback.Settings, c.spec.Settings, Live, Backend, Service))...)
	c.spec = *c.fallback
	c.established()
	s.succeed(c, now)
}

// late ends a replacement that does not come to serve in time.
func (s *Supervisor) late(c *child) {
	c.warmBy = time.Time{}
	c.killed = "not set up after " + s.cfg.Policy.WarmTimeout.String()
	if c.Reason != "" {
		c.killed += ": " + c.Reason
	}
}

// succeed starts a child again at once, which has ended as it was asked to, or in
// favour of other options. If none of its processes has served since it was replaced,
// the way back stays open, for as long as a replacement has.
func (s *Supervisor) succeed(c *child, now time.Time) {
	if c.fallback != nil {
		c.warmBy = now.Add(s.cfg.Policy.WarmTimeout)
	}
	c.NextStart = now
	c.set(Backoff, "is started again", now)
}

// buryReplaced decides about the end of a child of a pair, and reports whether it
// was one.
func (s *Supervisor) buryReplaced(c *child, now time.Time) bool {
	switch {
	case c.replaces != nil:
		s.abandon(c.replaces, c.LastExit.Reason)
	case c.next != nil && c.asked:
		s.log.Info("child has ended in favour of its replacement", append(s.obituary(c), "replacement", c.next.PID)...)
		s.promote(c, now)
	case c.next != nil:
		c.Restarts++
		s.log.Warn("child died, its replacement takes over", append(s.obituary(c), "restarts", c.Restarts, "replacement", c.next.PID)...)
		s.promote(c, now)
	default:
		return false
	}
	return true
}

// startRenewals begins the replacements that are due, as far as there are slots.
func (s *Supervisor) startRenewals(slots int, now time.Time) {
	for _, c := range s.children {
		due := c.renewal != nil && c.proc != nil && c.next == nil && !c.asked && c.State != lifeline.Init
		if due && slots > 0 {
			slots--
			s.replace(c, *c.renewal, now)
		}
	}
}
