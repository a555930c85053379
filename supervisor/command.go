package supervisor

import (
	"context"
	"errors"
	"time"

	"github.com/volumed/volumed/fault"
)

// do has the loop carry a command out, and returns when it has. Kinds: Unavailable
// when the loop has ended, or ctx ends before its turn.
func (s *Supervisor) do(ctx context.Context, command func(now time.Time)) error {
	done := make(chan struct{})
	select {
	case s.commands <- func(now time.Time) { defer close(done); command(now) }:
		<-done
		return nil
	case <-s.over:
		return fault.New(fault.Unavailable, "the supervisor has stopped")
	case <-ctx.Done():
		return fault.New(fault.Unavailable, "the supervisor does not answer: %w", context.Cause(ctx))
	}
}

// Alive returns nil if the loop makes progress. Kind: Unavailable.
func (s *Supervisor) Alive(ctx context.Context) error { return s.do(ctx, func(time.Time) {}) }

// Shutdown begins the stop of the whole service, as SIGTERM does; a fast one as
// SIGINT.
func (s *Supervisor) Shutdown(ctx context.Context, hurry bool, why string) error {
	p := graceful
	if hurry {
		p = fast
	}
	return s.do(ctx, func(now time.Time) { s.stop(p, why, now) })
}

// Stop drains a backend and keeps it from being started until Start. It returns
// at once. Kinds: NotFound, Unavailable, Conflict for one that cannot run anyway.
func (s *Supervisor) Stop(ctx context.Context, backend string) error {
	return s.command(ctx, backend, func(c *child, now time.Time) error {
		if c.spec.Err != nil {
			return fault.New(fault.Conflict, "%s does not run: %w", backend, c.spec.Err)
		}
		c.held, c.renewal = true, nil
		s.end(c, now)
		if c.proc == nil {
			s.putAside(c, now)
		}
		return nil
	})
}

// Start starts a backend that was stopped or has failed, or does not wait any
// longer with one that is in its backoff. One that runs is left alone. Kinds: NotFound,
// Unavailable, Invalid for one whose section is wrong.
func (s *Supervisor) Start(ctx context.Context, backend string) error {
	return s.command(ctx, backend, func(c *child, now time.Time) error {
		if c.spec.Err != nil {
			return fault.New(fault.Invalid, "%s cannot be started: %w", backend, c.spec.Err).WithHint("correct it, then volumed reload")
		}
		c.held = false
		if c.proc == nil {
			s.startAgain(c, now)
		}
		return nil
	})
}

// Restart replaces the process of a backend without a gap, with all that waits for it
// (not with what waits for a restart of the service: then the outcome is AsItWas); one
// that does not run is started. It returns when the new one serves, or cannot: the
// process before goes on then, and the error, of kind Unavailable, says why. Kinds as
// Start otherwise.
func (s *Supervisor) Restart(ctx context.Context, backend string) (Outcome, error) {
	txn, err := s.restart(ctx, backend)
	if err != nil {
		return Outcome{}, err
	}
	if err := s.await(ctx, "restart", txn.done); err != nil {
		return Outcome{}, err
	}
	o := txn.result.Outcomes[0]
	if o.Error != "" {
		return o, fault.New(fault.Unavailable, "%s is not restarted: %s", backend, o.Error)
	}
	return o, nil
}

// restart is Restart as far as no other may go on at the same time.
func (s *Supervisor) restart(ctx context.Context, backend string) (*transaction, error) {
	done, err := s.alone(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	var txn *transaction
	err = s.command(ctx, backend, func(c *child, now time.Time) error {
		if c.spec.Err != nil {
			return fault.New(fault.Invalid, "%s cannot be started: %w", backend, c.spec.Err).WithHint("correct it, then volumed reload")
		}
		txn = s.open(Reloaded{At: now}, func(Reloaded) {}) // what fails is told when it does
		txn.add(s.renewNow(c, now))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return txn, s.await(ctx, "restart", txn.replaced)
}

// renewNow begins the next process of a child, with all that it may take.
func (s *Supervisor) renewNow(c *child, now time.Time) Outcome {
	o := Outcome{Backend: c.Name, What: Replaced, Options: changed(c.spec.Settings, c.wanted.Settings, Live, Backend, Service), Before: c.PID}
	switch {
	case len(c.waits(c.wanted)) > 0:
		o.What = AsItWas
	case c.proc == nil:
		o.What = Started
	}
	c.held, c.refusal, c.untuned = false, "", ""
	if c.proc == nil {
		s.startAgain(c, now)
	} else {
		spec := c.renewable()
		c.renewal = &spec
	}
	return o
}

// command carries out what concerns one backend.
func (s *Supervisor) command(ctx context.Context, backend string, command func(c *child, now time.Time) error) (err error) {
	lost := s.do(ctx, func(now time.Time) {
		c := s.find(backend)
		switch {
		case s.phase != running:
			err = fault.New(fault.Unavailable, "the service is stopping")
		case c == nil || c.Role != Worker:
			err = fault.New(fault.NotFound, "there is no backend %q here", backend).WithHint("volumed status lists them")
		default:
			err = command(c, now)
		}
	})
	return errors.Join(lost, err)
}

// startAgain starts a child without a process at once, with all that it may take.
func (s *Supervisor) startAgain(c *child, now time.Time) {
	if waits := c.waits(c.wanted); len(waits) > 0 {
		s.log.Warn("backend is started with the options it had, others wait for a restart of the service", "backend", c.Name, "options", waits)
	}
	c.spec, c.NextStart = c.renewable(), now
	c.set(Starting, "", now)
}

// renewable is what the next process of the child may run with: what the
// configuration says, unless that waits for a restart of the service.
func (c *child) renewable() Spec {
	if len(c.waits(c.wanted)) > 0 {
		return c.spec
	}
	return c.wanted
}

// putAside notes that a child which an operator stopped has ended.
func (s *Supervisor) putAside(c *child, now time.Time) {
	c.established() // its next process replaces none
	c.set(Stopped, "by an operator; volumed start "+c.Name+" starts it", now)
	c.unlock() // for whoever runs it in the foreground
	s.log.Info("backend is stopped until it is started again", "backend", c.Name)
}
