package supervisor

import (
	"errors"
	"syscall"
	"time"

	"github.com/volumed/volumed/supervisor/lifeline"
)

// child is what the loop knows of one child. Only the loop touches it.
type child struct {
	ChildStatus
	intent
	spec    Spec   // what its processes are started with
	tuned   Spec   // whose live settings are in effect in the process
	tuning  bool   // live settings are on their way to the process
	untuned string // why the process has not taken them over
	changed bool   // since it was published
	options comparison

	// A child that is replaced has its replacement beside it, until that takes its
	// place; the replacement is a child of its own with the same lock.
	replaces *child
	next     *child
	warmBy   time.Time // when a replacement has to be set up
	fallback *Spec     // to go back to if a replacement never serves

	lock    *lifeline.Lock
	blocked time.Time // since when a stranger has held the lock, zero if none does

	proc    process       // nil when there is none
	readyAt time.Time     // zero while not ready
	ready   time.Duration // time in ready of this process, up to readyAt
	served  bool          // this process has been ready
	loyal   bool          // some process of this child has been ready
	slotEnd time.Time     // when a child in init stops holding its slot

	asked  bool      // TERM was sent
	killed string    // why we end it, "" if we do not
	killAt time.Time // when SIGKILL is due, zero if it is not
	hung   bool      // stopped beating
	cut    bool      // met the deadline of a stop
	handed bool      // TERM was sent because its replacement is warm

	watchdog time.Duration // what this process was told to beat by

	history    history
	complained time.Time // last report of the crash loop
}

// intent is what is meant to become of a backend, whichever process serves it.
type intent struct {
	wanted  Spec   // what the configuration says; another one than spec while that is pending
	renewal *Spec  // to be replaced with, as soon as there is a slot
	refusal string // why the last replacement has not come to be
	leaving bool   // taken out of the configuration
	held    bool   // stopped by an operator, until started by one
}

func newChild(role Role, spec Spec, now time.Time) *child {
	c := &child{ChildStatus: ChildStatus{Name: spec.Name, Role: role}, spec: spec, intent: intent{wanted: spec}}
	if spec.Err != nil {
		c.set(Failed, spec.Err.Error(), now)
	} else {
		c.set(Starting, "", now)
	}
	return c
}

// set changes state and reason.
func (c *child) set(state State, reason string, now time.Time) {
	if state == c.State && reason == c.Reason {
		return
	}
	if state != c.State {
		c.Since = now
		c.countReady(state, now)
	}
	c.State, c.Reason, c.changed = state, reason, true
}

// countReady keeps the time in ready, which the policy rewards.
func (c *child) countReady(state State, now time.Time) {
	if !c.readyAt.IsZero() {
		c.ready += now.Sub(c.readyAt)
		c.readyAt = time.Time{}
	}
	if state == lifeline.Ready {
		c.readyAt, c.served, c.loyal = now, true, true
	}
}

// begin notes that a process was started.
func (c *child) begin(proc process, now time.Time, slot time.Duration) {
	c.proc, c.Started, c.slotEnd = proc, now, now.Add(slot)
	c.PID, c.LastBeat, c.NextStart, c.Text = proc.PID(), time.Time{}, time.Time{}, ""
	c.ready, c.served = 0, false
	c.asked, c.killed, c.killAt, c.hung, c.cut, c.handed = false, "", time.Time{}, false, false, false
	c.tuned, c.untuned = c.spec, ""
	c.set(lifeline.Init, "", now)
	c.changed = true
}

// end notes that the process is gone and completes the report of how.
func (c *child) end(e Exit, now time.Time, oom *oomCounter) {
	e.PID, e.Generation, e.At, e.Uptime = c.PID, c.Generation, now, now.Sub(c.Started)
	e.Hung, e.CutOff = c.hung, c.cut
	if e.Reason == "" {
		e.Reason = e.describe(c.asked, c.killed, c.Reason, oom)
	}
	c.countReady("", now)
	c.LastExit = &e
	c.proc, c.PID, c.Started, c.killAt = nil, 0, time.Time{}, time.Time{}
	c.changed = true
}

// hear takes in what the child says.
func (c *child) hear(m lifeline.Message, now time.Time) {
	if m.Beat {
		c.LastBeat = now
	}
	if m.Status != "" && m.Status != c.Text {
		c.Text, c.changed = m.Status, true
	}
	if m.Extend > 0 {
		c.slotEnd = now.Add(m.Extend)
	}
	switch {
	case m.State != "":
		// Ready and draining may have been merged into one message.
		if m.Ready && m.State == lifeline.Draining {
			c.set(lifeline.Ready, "", now)
		}
		c.set(m.State, m.Reason, now)
	case m.Stopping:
		c.set(lifeline.Draining, "", now)
	case m.Ready:
		c.set(lifeline.Ready, "", now)
	}
}

// signal sends to the process. One that has just ended is no error: its end is
// on its way to the loop.
func (c *child) signal(sig syscall.Signal) error {
	err := c.proc.Signal(sig)
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

// initialising reports whether the child holds one of the slots for init.
func (c *child) initialising(now time.Time) bool {
	return c.proc != nil && c.State == lifeline.Init && !c.loyal && now.Before(c.slotEnd)
}

// unlock gives up the lock of a child that has no process.
func (c *child) unlock() {
	if c.lock != nil {
		c.lock.Close()
		c.lock = nil
	}
}
