package supervisor

import (
	"slices"
	"strings"
	"time"

	"github.com/volumed/volumed/fault"
)

// How a plan is brought into effect, backend by backend. All of it belongs to the loop.

// apply begins to bring a plan into effect. While options of the service wait for its
// restart, backends neither come nor go: those that came would wait, and in the end
// nothing would run.
func (s *Supervisor) apply(plan Config, now time.Time) *transaction {
	txn := s.open(Reloaded{At: now}, s.tellReload)
	s.cfg.GracefulTimeout, s.cfg.Policy = plan.GracefulTimeout, plan.Policy
	for _, o := range s.tuneItself(plan.Settings) {
		txn.note(o)
	}
	waits := changed(s.cfg.Settings, plan.Settings, Service)
	for _, spec := range plan.Workers {
		if len(waits) > 0 {
			txn.add(s.holdBack(spec, waits, now))
			continue
		}
		txn.add(s.applyTo(spec, now))
	}
	named := func(spec Spec) func(Spec) bool { return func(other Spec) bool { return other.Name == spec.Name } }
	for _, c := range slices.Clone(s.children) {
		if c.Role != Worker || slices.ContainsFunc(plan.Workers, named(c.spec)) {
			continue
		}
		if len(waits) > 0 && !c.leaving && c.spec.Err == nil {
			txn.add(Outcome{Backend: c.Name, What: Waits, Before: c.PID})
			continue
		}
		txn.add(s.takeOut(c, now))
	}
	s.sort(plan.Workers)
	s.pending = s.waiting(waits)
	txn.result.Pending = s.pending
	if plan.Applied != nil {
		plan.Applied()
	}
	return txn
}

// tuneItself tells what becomes of the supervisor's own options, which are in effect
// with the policy.
func (s *Supervisor) tuneItself(settings []Setting) []Outcome {
	var all []Outcome
	tell := func(scope Scope, what string) {
		if options := changed(s.own, settings, scope); len(options) > 0 {
			all = append(all, Outcome{Backend: Itself, What: what, Options: options})
		}
	}
	tell(Own, Tuned)
	tell(Births, Hereafter)
	tell(Start, NextStart)
	s.own = settings
	return all
}

// waiting adds to options of the supervisor those of single backends that wait for a
// restart of the service as well.
func (s *Supervisor) waiting(own []string) []string {
	all := slices.Clone(own)
	for _, c := range s.children {
		all = append(all, c.waits(c.wanted)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// waits returns the options that keep a child which has run from running with a spec
// before the service is restarted: its process must not differ from the others in what
// concerns all, nor leave the host whose lock and journal it has.
func (c *child) waits(spec Spec) []string {
	if c.spec.Err != nil {
		return nil
	}
	return changed(c.spec.Settings, spec.Settings, Service)
}

// holdBack notes the plan for one backend while options of the service have changed: a
// process must not run with another database or bus than the others. Live options
// are taken over all the same.
func (s *Supervisor) holdBack(spec Spec, waits []string, now time.Time) Outcome {
	c := s.find(spec.Name)
	if c == nil {
		spec.Err = fault.New(fault.Conflict, "waits for a restart of the service, for %s have changed", strings.Join(waits, ", "))
		s.children = append(s.children, newChild(Worker, spec, now))
		return Outcome{Backend: spec.Name, What: Waits}
	}
	o := s.meet(c, spec)
	o.What = Waits
	s.tune(c)
	return o
}

// meet notes what the configuration says of a backend that there is already.
func (s *Supervisor) meet(c *child, spec Spec) Outcome {
	o := Outcome{Backend: c.Name, Before: c.PID, Options: changed(c.wanted.Settings, spec.Settings, Live, Backend, Service)}
	c.wanted, c.leaving, c.refusal, c.untuned, c.changed = spec, false, "", "", true
	return o
}

// applyTo begins to bring the plan for one backend into effect.
func (s *Supervisor) applyTo(spec Spec, now time.Time) Outcome {
	c := s.find(spec.Name)
	if c == nil {
		s.children = append(s.children, newChild(Worker, spec, now))
		return Outcome{Backend: spec.Name, What: Added}
	}
	if waits := c.waits(spec); len(waits) > 0 {
		return s.holdBack(spec, waits, now)
	}
	left := c.leaving
	o := s.meet(c, spec)
	own := len(changed(c.coming().Settings, spec.Settings, Backend)) > 0
	switch {
	case c.State == Failed && (c.spec.Err != nil || len(o.Options) > 0):
		o.What = Started
		c.spec, c.NextStart = spec, now
		c.set(Starting, "", now)
	case c.proc == nil:
		o.What = Unchanged
		if len(o.Options) > 0 {
			o.What = NextStart
		}
		c.spec = spec
	case left && c.held:
		o.What = NextStart
	case left: // it comes back when it has drained
		o.What = Added
		c.renewal = &spec
	case own && s.cfg.Policy.RenewChanged:
		o.What = Replaced
		c.renewal = &spec
	case own:
		o.What = WaitsOwn
		s.tune(c)
	default:
		o.What = Unchanged
		if len(changed(c.tuned.Settings, spec.Settings, Live)) > 0 {
			o.What = Tuned
		}
		if c.next == nil && c.renewal == nil {
			c.spec = spec
		}
		s.tune(c)
	}
	return o
}

// coming is what the child will run with when all that is under way has come to its
// end.
func (c *child) coming() Spec {
	switch {
	case c.renewal != nil:
		return *c.renewal
	case c.next != nil:
		return c.next.spec
	default:
		return c.spec
	}
}

// takeOut begins the end of a backend that is not in the configuration any more.
func (s *Supervisor) takeOut(c *child, now time.Time) Outcome {
	o := Outcome{Backend: c.Name, What: Removed, Before: c.PID}
	c.leaving, c.renewal, c.changed = true, nil, true
	s.end(c, now)
	if c.proc == nil {
		s.leave(c)
	}
	return o
}

// end asks the processes of a child to end, for good.
func (s *Supervisor) end(c *child, now time.Time) {
	if c.next != nil && c.next.proc != nil {
		s.ask(c.next, s.cfg.Policy.FastTimeout, now)
	}
	if c.proc != nil {
		s.handBack(c)
		s.ask(c, s.stopTime(), now)
	}
}

// leave forgets a child that has no process.
func (s *Supervisor) leave(c *child) {
	c.unlock()
	s.children = slices.DeleteFunc(s.children, func(other *child) bool { return other == c })
	s.log.Info("backend has left", "backend", c.Name)
}

// sort brings the workers into the order of the plan; those that leave come last.
func (s *Supervisor) sort(plan []Spec) {
	place := func(c *child) int {
		if c.Role != Worker {
			return -1
		}
		i := slices.IndexFunc(plan, func(spec Spec) bool { return spec.Name == c.Name })
		if i < 0 {
			return len(plan)
		}
		return i
	}
	slices.SortStableFunc(s.children, func(a, b *child) int { return place(a) - place(b) })
}

func (s *Supervisor) find(name string) *child {
	for _, c := range s.children {
		if c.Name == name {
			return c
		}
	}
	return nil
}
