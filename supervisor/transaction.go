package supervisor

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/volumed/volumed/supervisor/lifeline"
)

// transaction is a reload or restart whose outcomes are not all known.
type transaction struct {
	result Reloaded
	open   []bool         // by outcome
	tell   func(Reloaded) // of the result
	// replaced is closed when no process is being replaced or changed: the next
	// transaction may begin, while backends still come and go.
	replaced chan struct{}
	swapped  bool // replaced is closed
	done     chan struct{}
}

// open adds a transaction to those under way.
func (s *Supervisor) open(result Reloaded, tell func(Reloaded)) *transaction {
	t := &transaction{result: result, tell: tell, replaced: make(chan struct{}), done: make(chan struct{})}
	s.txns = append(s.txns, t)
	return t
}

func (t *transaction) add(o Outcome) {
	t.result.Outcomes = append(t.result.Outcomes, o)
	t.open = append(t.open, true)
}

// note adds an outcome that is known.
func (t *transaction) note(o Outcome) {
	t.result.Outcomes = append(t.result.Outcomes, o)
	t.open = append(t.open, false)
}

// settleAll looks which outcomes are known by now, and ends the transactions of
// which all are.
func (s *Supervisor) settleAll() {
	s.txns = slices.DeleteFunc(s.txns, s.settle)
}

// settle reports whether the transaction has ended.
func (s *Supervisor) settle(t *transaction) bool {
	all, replaced := true, true
	for i, o := range t.result.Outcomes {
		if t.open[i] && !s.known(&t.result.Outcomes[i]) {
			all, replaced = false, replaced && (o.What == Added || o.What == Removed || o.What == Started)
		} else {
			t.open[i] = false
		}
	}
	if s.phase != running {
		all, replaced = true, true
	}
	if replaced && !t.swapped {
		t.swapped = true
		close(t.replaced)
	}
	if !all {
		return false
	}
	for i, open := range t.open {
		if open {
			t.result.Outcomes[i].Error = "the service is stopping"
		}
	}
	t.tell(t.result)
	close(t.done)
	return true
}

// tuneTimeout bounds how long a process may take to take over live settings.
const tuneTimeout = 5 * time.Second

// tune has the process take over live settings that have changed since it got its
// own.
func (s *Supervisor) tune(c *child) {
	wanted := c.wanted
	if c.proc == nil || c.asked || c.tuning || len(changed(c.tuned.Settings, wanted.Settings, Live)) == 0 {
		return
	}
	c.tuning, c.untuned = true, ""
	proc := c.proc
	s.background.Go(func() {
		ctx, cancel := context.WithTimeout(s.alive, tuneTimeout)
		defer cancel()
		err := proc.Tune(ctx, wanted.Snapshot)
		_ = s.do(s.alive, func(time.Time) { s.tunedTo(c, proc, wanted, err) }) // it fails only at the end
	})
}

// tunedTo notes what has come of a tune.
func (s *Supervisor) tunedTo(c *child, proc process, spec Spec, err error) {
	c.tuning, c.changed = false, true
	switch {
	case c.proc != proc: // the next one has its own settings
	case err != nil:
		c.untuned = "live options are not taken over: " + err.Error()
		s.log.Error("live options are not taken over", "backend", c.Name, "child", c.PID, "error", err)
		return
	default:
		c.tuned = spec
	}
	s.tune(c) // there may have been a further reload meanwhile
}

// arrived reports whether the child has come to where a reload need not wait any more,
// and why it is not where it should be.
func (c *child) arrived() (arrived bool, why string) {
	switch c.State {
	case lifeline.Ready, lifeline.Degraded:
		return !c.asked && c.next == nil && c.renewal == nil && c.fallback == nil && !c.tuning, cmp.Or(c.refusal, c.untuned)
	case Starting: // for its turn, or for the bus or the database, as long as they are away
		return c.Reason != waitsForSlot && strings.HasPrefix(c.Reason, waitsForOther), c.Reason
	case Failed, Backoff, Blocked:
		return true, c.Reason
	case Stopped:
		return true, "was stopped meanwhile"
	default:
		return false, ""
	}
}

// known completes an outcome if it is known by now, and reports whether it is.
func (s *Supervisor) known(o *Outcome) bool {
	c := s.find(o.Backend)
	if o.What == Removed && (c == nil || c.leaving) {
		return c == nil
	}
	if o.What == Removed {
		o.After, o.Error = c.PID, "was added again meanwhile"
		return true
	}
	if c == nil || c.leaving {
		o.Error = "was taken out meanwhile"
		return true
	}
	if o.What == Unchanged || o.What == NextStart || o.What == Waits || o.What == WaitsOwn {
		o.After = c.PID
		return true
	}
	if c.held && c.asked { // how long it drains concerns nobody here
		o.Error = "was stopped meanwhile"
		return true
	}
	arrived, why := c.arrived()
	if !arrived {
		return false
	}
	o.After, o.Error = c.PID, why
	return true
}
