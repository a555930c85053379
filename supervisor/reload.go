package supervisor

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/volumed/volumed/fault"
)

// A reload is a transaction: either the new configuration is good as a whole, or
// nothing changes. What it then means is decided backend by backend.

// What becomes of a backend in a reload.
const (
	Unchanged = "unchanged"
	Tuned     = "changed in place" // its process has taken the new values over
	Replaced  = "replaced"         // by another process, without a gap
	Added     = "added"
	Removed   = "removed" // when it has drained
	Waits     = "pending until a restart of the service"
	WaitsOwn  = "pending until volumed restart" // reload_restart = never
	Started   = "started"                       // it could not run before
	NextStart = "at its next start"
)

// Outcome is what has become of one backend in a reload.
type Outcome struct {
	Backend string
	What    string
	Options []string // that have changed
	Before  int      // pid of its process before, 0 if there was none
	After   int
	// Error is why it did not come to be; the process before goes on then.
	Error string
}

// Reloaded tells a reload.
type Reloaded struct {
	At       time.Time
	Outcomes []Outcome
	// Pending are the options of the supervisor itself that wait for a restart of
	// the service.
	Pending []string
}

// Failed lists the backends for which the new configuration could not be brought
// into effect.
func (r Reloaded) Failed() []string {
	var names []string
	for _, o := range r.Outcomes {
		if o.Error != "" {
			names = append(names, o.Backend)
		}
	}
	return names
}

// Reload reads the configuration and brings it into effect. It returns when that is
// done: changed backends are replaced, new ones are up or have failed, those that
// were taken out have drained. An error of Reread, or a plan that is none, changes
// nothing; its kind is theirs, or Invalid. When ctx ends the reload goes on. One
// reload waits for another, and for a restart; one that changes nothing is no error.
func (s *Supervisor) Reload(ctx context.Context) (Reloaded, error) {
	done, err := s.alone(ctx)
	if err != nil {
		return Reloaded{}, err
	}
	defer done()
	plan, err := s.reread()
	if err != nil {
		s.log.Error("configuration not reloaded, everything stays as it is", "error", oneLine(err))
		return Reloaded{}, err
	}
	var txn *transaction
	if err := s.do(ctx, func(now time.Time) {
		if s.phase == running {
			txn = s.apply(plan, now)
		}
	}); err != nil {
		return Reloaded{}, err
	}
	if txn == nil {
		return Reloaded{}, fault.New(fault.Unavailable, "the service is stopping")
	}
	select {
	case <-txn.done:
		s.tellReload(txn.result)
		return txn.result, nil
	case <-s.over:
		return Reloaded{}, fault.New(fault.Unavailable, "the service has stopped")
	case <-ctx.Done():
		return Reloaded{}, fault.New(fault.Unavailable, "the reload goes on: %w", context.Cause(ctx))
	}
}

func (s *Supervisor) reread() (Config, error) {
	if s.cfg.Reread == nil {
		return Config{}, fault.New(fault.Unsupported, "there is no configuration to be read again")
	}
	plan, err := s.cfg.Reread()
	if err != nil {
		return Config{}, err
	}
	return plan.withDefaults(), plan.Validate()
}

// reloadOnHup reloads for SIGHUP until the loop has ended.
func (s *Supervisor) reloadOnHup() {
	for {
		select {
		case <-s.hups:
			_, _ = s.Reload(context.Background()) // it has told the log
		case <-s.over:
			return
		}
	}
}

func (s *Supervisor) tellReload(r Reloaded) {
	for _, o := range r.Outcomes {
		switch {
		case o.Error != "": // told when it happened
		case o.What == Waits || o.What == WaitsOwn:
			s.log.Warn("options are not in effect", "backend", o.Backend, "options", o.Options, "outcome", o.What)
		case o.What != Unchanged:
			s.log.Info("backend reloaded", "backend", o.Backend, "outcome", o.What, "options", o.Options, "child", o.After)
		}
	}
	if len(r.Pending) > 0 {
		s.log.Warn("options wait for a restart of the service", "options", r.Pending)
	}
	s.log.Info("configuration reloaded", "failed", r.Failed())
}

// alone waits until no other reload or restart is under way; done lets the next one
// begin. One whose caller has left may still be going on.
func (s *Supervisor) alone(ctx context.Context) (done func(), err error) {
	select {
	case s.reloading <- struct{}{}:
		return func() { <-s.reloading }, nil
	case <-s.over:
		return nil, fault.New(fault.Unavailable, "the service has stopped")
	case <-ctx.Done():
		return nil, fault.New(fault.Unavailable, "another reload or restart is under way: %w", context.Cause(ctx)).
			WithHint("volumed status shows what it waits for")
	}
}

// apply begins to bring a plan into effect.
func (s *Supervisor) apply(plan Config, now time.Time) *transaction {
	txn := &transaction{done: make(chan struct{}), result: Reloaded{At: now}}
	s.txn = txn
	s.cfg.GracefulTimeout, s.cfg.Policy = plan.GracefulTimeout, plan.Policy
	txn.result.Pending = changed(s.cfg.Settings, plan.Settings, Service)
	s.pending = txn.result.Pending
	for _, spec := range plan.Workers {
		if waits := txn.result.Pending; len(waits) > 0 {
			txn.add(s.holdBack(spec, waits, now))
			continue
		}
		txn.add(s.applyTo(spec, now))
	}
	named := func(spec Spec) func(Spec) bool { return func(other Spec) bool { return other.Name == spec.Name } }
	for _, c := range slices.Clone(s.children) {
		if c.Role == Worker && !slices.ContainsFunc(plan.Workers, named(c.spec)) {
			txn.add(s.takeOut(c, now))
		}
	}
	s.sort(plan.Workers)
	if plan.Applied != nil {
		plan.Applied()
	}
	return txn
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
	c.wanted, c.leaving, c.refusal, c.changed = spec, false, "", true
	return o
}

// applyTo begins to bring the plan for one backend into effect.
func (s *Supervisor) applyTo(spec Spec, now time.Time) Outcome {
	c := s.find(spec.Name)
	if c == nil {
		s.children = append(s.children, newChild(Worker, spec, now))
		return Outcome{Backend: spec.Name, What: Added}
	}
	o := s.meet(c, spec)
	own := len(changed(c.coming().Settings, spec.Settings, Backend, Service)) > 0
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

// oneLine is an error of several lines, such as all that is wrong with a file.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
