package supervisor

import (
	"time"

	"github.com/volumed/volumed/supervisor/lifeline"
)

// complainEvery is how often a crash loop is reported as an error.
const complainEvery = 10 * time.Minute

// bury decides what follows the end of a child. LastExit tells how it ended.
func (s *Supervisor) bury(c *child, now time.Time) {
	e := c.LastExit
	switch {
	case s.phase != running:
		s.countOut(c, now)
	case s.buryReplaced(c, now):
	case c.leaving:
		s.leave(c)
	case c.held:
		s.putAside(c, now)
	case c.renewal != nil: // with what it was to be replaced with
		c.spec, c.renewal = *c.renewal, nil
		s.succeed(c, now)
	case c.fallback != nil && !c.asked:
		s.fallBack(c, now)
	case c.asked:
		s.succeed(c, now)
	case c.Role == OneShot && e.Code == lifeline.ExitStopped:
		c.set(Exited, "", now)
	case e.Code == lifeline.ExitReplace:
		s.renew(c, now)
	case e.permanent():
		c.set(Failed, e.Reason, now)
		c.unlock() // for whoever looks into it with a worker in the foreground
		s.log.Error("child cannot run, it is not started again until it is corrected", s.obituary(c)...)
	default:
		s.again(c, now)
	}
}

// again schedules the next start of a child that died without being asked.
func (s *Supervisor) again(c *child, now time.Time) {
	d := death{at: now, served: c.served, ready: c.ready, jitter: s.jitter()}
	history, delay, loop := s.cfg.Policy.next(c.history, d)
	c.history = history
	c.Restarts++
	c.NextStart = now.Add(delay)
	c.set(Backoff, c.LastExit.Reason, now)
	s.log.Warn("child died", append(s.obituary(c), "restarts", c.Restarts, "next_start", delay)...)
	if !loop && !c.CrashLoop {
		return
	}
	c.CrashLoop = true
	if c.complained.IsZero() || now.Sub(c.complained) >= complainEvery {
		c.complained = now
		s.log.Error("child dies again and again before it is ready", "backend", c.Name,
			"restarts", c.Restarts, "reason", c.LastExit.Reason)
	}
}

// renew starts a child again that ended in favour of a fresh process: at once, but
// never more often than the shortest delay allows, whatever makes it ask again and
// again. It is no death, and nothing is held against it.
func (s *Supervisor) renew(c *child, now time.Time) {
	c.NextStart = now
	if soonest := c.LastExit.At.Add(s.cfg.Policy.RestartMin - c.LastExit.Uptime); soonest.After(now) {
		c.NextStart = soonest
	}
	c.set(Backoff, c.LastExit.Reason, now)
	s.log.Warn("child is replaced", append(s.obituary(c), "next_start", c.NextStart.Sub(now))...)
}

// obituary is what every line about a death says.
func (s *Supervisor) obituary(c *child) []any {
	e := c.LastExit
	pairs := []any{"backend", c.Name, "child", e.PID, "generation", e.Generation, "uptime", e.Uptime.Round(time.Millisecond)}
	if e.Signal != 0 {
		pairs = append(pairs, "signal", e.Signal.String())
	} else {
		pairs = append(pairs, "code", e.Code)
	}
	return append(pairs, "reason", e.Reason)
}

// recovered ends a crash loop.
func (s *Supervisor) recovered(c *child) {
	if c.CrashLoop {
		c.CrashLoop, c.complained, c.changed = false, time.Time{}, true
		s.log.Info("child has recovered from its crash loop", "backend", c.Name)
	}
}

// giveUp ends the supervisor when it has nothing left to do: a one-shot or the
// bus cannot run, or no backend can.
func (s *Supervisor) giveUp(now time.Time) {
	if s.phase != running {
		return
	}
	var failed []*child
	workers := 0
	for _, c := range s.children {
		if c.Role == Worker {
			workers++
		}
		if c.State != Failed {
			continue
		}
		if c.Role != Worker {
			s.fail("%s cannot run: %s", []*child{c}, now)
			return
		}
		failed = append(failed, c)
	}
	if len(failed) == workers {
		s.fail("no backend can run, the last reason was of %s: %s", failed, now)
	}
}
