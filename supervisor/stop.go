package supervisor

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/volumed/volumed/supervisor/lifeline"
)

// ExitError is an error of Run together with the exit code it asks for.
type ExitError struct {
	Code int // lifeline.ExitError or lifeline.ExitConfig
	Text string
}

// Error returns the text.
func (e *ExitError) Error() string { return e.Text }

// ExitCode returns the exit code of a process whose Run returned err: 0 for nil,
// 78 when it was the configuration that let nothing run, else 1.
func ExitCode(err error) int {
	var exit *ExitError
	switch {
	case err == nil:
		return lifeline.ExitStopped
	case errors.As(err, &exit):
		return exit.Code
	default:
		return lifeline.ExitError
	}
}

// phase is how far the supervisor is with its end.
type phase int

const (
	running phase = iota
	graceful
	fast
)

// stop asks every child to end: all but the bus now, the bus when they are gone.
// A fast stop after a graceful one only brings the deadlines forward.
func (s *Supervisor) stop(p phase, why string, now time.Time) {
	if p <= s.phase {
		return
	}
	first := s.phase == running
	s.phase = p
	s.log.Info("stopping", "why", why, "fast", p == fast)
	if first {
		s.cfg.Parent.Stopping()
	}
	for c := range s.all() {
		switch {
		case c.proc == nil:
			if c.State != Failed && c.State != Exited {
				c.set(Stopped, "", now)
			}
		case c.Role != Bus:
			s.handBack(c)
			s.ask(c, s.stopTime(), now)
		}
	}
}

// handBack takes back that a child ends for its replacement: that will not begin, so its
// work has the time of a stop.
func (s *Supervisor) handBack(c *child) {
	if c.handed && c.killed == "" {
		c.handed, c.killAt = false, time.Time{}
		s.tell(c, lifeline.HandBack)
	}
}

// stopTime is how long workers get; 0 means for ever.
func (s *Supervisor) stopTime() time.Duration {
	switch {
	case s.phase == fast:
		return s.cfg.Policy.FastTimeout
	case s.cfg.GracefulTimeout == 0:
		return 0
	default:
		return s.cfg.GracefulTimeout + s.cfg.Policy.KillAfter
	}
}

// ask sends TERM, once, and sets the deadline, which only ever gets nearer. The
// bus is asked by the end of its lifeline: TERM reaches it also from Ctrl-C or
// from an init system that signals the whole group, while workers still need it.
func (s *Supervisor) ask(c *child, limit time.Duration, now time.Time) {
	if !c.asked {
		c.asked = true
		if c.Role == Bus {
			c.proc.HangUp()
		} else if err := c.signal(syscall.SIGTERM); err != nil {
			s.log.Error("child cannot be asked to stop", "backend", c.Name, "child", c.PID, "error", err)
		}
	}
	if at := now.Add(limit); limit > 0 && (c.killAt.IsZero() || at.Before(c.killAt)) {
		c.killAt = at
	}
}

// stopBus asks the bus once nobody needs it to answer any more.
func (s *Supervisor) stopBus(now time.Time) {
	if s.phase == running {
		return
	}
	var bus *child
	for c := range s.all() {
		switch {
		case c.Role == Bus:
			bus = c
		case c.proc != nil:
			return
		}
	}
	if bus != nil && bus.proc != nil && !bus.asked {
		s.ask(bus, s.cfg.Policy.FastTimeout, now)
	}
}

// kill ends a child whose deadline has passed.
func (s *Supervisor) kill(c *child) {
	c.killAt = time.Time{}
	switch {
	case c.killed != "":
	case c.handed:
		c.killed = "did not end for its replacement within " + handOverTimeout.String()
		s.log.Warn("child is cut off, its replacement repeats its work", "backend", c.Name, "child", c.PID, "in_flight", c.Text)
	default:
		c.cut = true
		c.killed = "killed at the deadline of the stop"
		s.log.Error("child is cut off at the deadline", "backend", c.Name, "child", c.PID,
			"state", c.State, "in_flight", c.Text)
	}
	if err := c.signal(syscall.SIGKILL); err != nil {
		s.log.Error("child cannot be killed", "backend", c.Name, "child", c.PID, "error", err)
	}
}

// countOut notes whether a child that ended during the stop has finished its work.
func (s *Supervisor) countOut(c *child, now time.Time) {
	e := c.LastExit
	// Before it handles signals, ours or those of a terminal to the whole group,
	// it has no work that could be cut off.
	early := !c.served && (e.Signal == syscall.SIGTERM || e.Signal == syscall.SIGINT || c.replaces != nil)
	if e.Code == lifeline.ExitStopped || early {
		c.set(Stopped, "", now)
		s.log.Info("child stopped", "backend", c.Name, "child", e.PID, "uptime", e.Uptime.Round(time.Millisecond))
		return
	}
	c.set(Stopped, e.Reason, now)
	s.cut = append(s.cut, c.Name)
	s.log.Warn("child ended with work unfinished", append(s.obituary(c), "in_flight", c.Text)...)
}

// fail begins a stop that ends with an error; format takes name and reason of the
// last child. The code is that of bad configuration if that is all that is wrong.
func (s *Supervisor) fail(format string, failed []*child, now time.Time) {
	code := lifeline.ExitConfig
	for _, c := range failed {
		if c.spec.Err == nil && c.LastExit.Code != lifeline.ExitConfig {
			code = lifeline.ExitError
		}
	}
	last := failed[len(failed)-1]
	s.failure = &ExitError{Code: code, Text: fmt.Sprintf(format, last.Name, last.Reason)}
	s.stop(graceful, s.failure.Text, now)
}

// result is what Run returns once all children are gone.
func (s *Supervisor) result() error {
	switch {
	case s.failure != nil:
		return s.failure
	case len(s.cut) > 0:
		return &ExitError{Code: lifeline.ExitError, Text: "ended with work unfinished: " + strings.Join(s.cut, ", ")}
	default:
		return nil
	}
}
