package supervisor

import (
	"context"
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
	Started   = "started"                       // it did not run, or could not, before
	NextStart = "at its next start"
	Hereafter = "for processes that start from now on"
	// AsItWas is the outcome of a restart while the options wait for the service's.
	AsItWas = "replaced with the options it had, others are pending until a restart of the service"
)

// Itself stands for the supervisor among the backends of a reload.
const Itself = "supervisor"

// Outcome is what has become of one backend, or of the supervisor itself, in a reload.
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
	// Pending are the options, of the supervisor itself and of single backends, that
	// wait for a restart of the service.
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
// nothing; its kind is theirs, or Invalid. When ctx ends the reload goes on, and its end
// is in the log. One reload waits until another, or a restart, replaces nothing any
// more, but not for what comes and goes; one that changes nothing is no error.
func (s *Supervisor) Reload(ctx context.Context) (Reloaded, error) {
	txn, err := s.reload(ctx)
	if err != nil {
		return Reloaded{}, err
	}
	if err := s.await(ctx, "reload", txn.done); err != nil {
		return Reloaded{}, err
	}
	return txn.result, nil
}

// reload is Reload as far as no other may go on at the same time: it returns when no
// process is being replaced any more.
func (s *Supervisor) reload(ctx context.Context) (*transaction, error) {
	done, err := s.alone(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	plan, err := s.reread()
	if err != nil {
		s.log.Error("configuration not reloaded, everything stays as it is", "error", oneLine(err))
		return nil, err
	}
	var txn *transaction
	if err := s.do(ctx, func(now time.Time) {
		if s.phase == running {
			txn = s.apply(plan, now)
		}
	}); err != nil {
		return nil, err
	}
	if txn == nil {
		return nil, fault.New(fault.Unavailable, "the service is stopping")
	}
	return txn, s.await(ctx, "reload", txn.replaced)
}

// await waits for what a reload or restart has begun. What ends the waiting does not end
// that.
func (s *Supervisor) await(ctx context.Context, what string, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	default:
	}
	select {
	case <-done:
		return nil
	case <-s.over:
		return fault.New(fault.Unavailable, "the service has stopped")
	case <-ctx.Done():
		return fault.New(fault.Unavailable, "the %s goes on, the log tells its end: %w", what, context.Cause(ctx))
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
			_, _ = s.reload(context.Background()) // the log is told
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

// alone waits until no other reload or restart replaces a process; done lets the next one
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

// oneLine is an error of several lines, such as all that is wrong with a file.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
