package supervisor

import (
	"slices"
	"syscall"
	"time"

	"github.com/volumed/volumed/supervisor/lifeline"
)

// State is where a child stands. To the states a child reports of itself (init,
// ready, degraded, draining) the supervisor adds its own.
type State = lifeline.State

// The states that only the supervisor knows.
const (
	Starting State = "starting" // waits for its turn
	Blocked  State = "blocked"  // another process holds the lock of the backend
	Backoff  State = "backoff"  // died, starts again at NextStart
	Failed   State = "failed"   // cannot start until a person changes something
	Exited   State = "exited"   // a one-shot that has done its work
	Stopped  State = "stopped"  // ended, or never started, because of the stop
)

// Role is what a child is for.
type Role string

// The roles.
const (
	OneShot Role = "once"   // runs to success before the workers start
	Bus     Role = "bus"    // ready before the workers start, stops after them
	Worker  Role = "worker" // one backend
)

// Exit is how a child ended.
type Exit struct {
	PID        int
	Generation int
	Code       int            // -1 when a signal ended it, or when it did not even start
	Signal     syscall.Signal // 0 when it ended by itself
	Reason     string         // one line for people
	At         time.Time
	Uptime     time.Duration
	Hung       bool // the supervisor has ended it, because it had stopped beating
	CutOff     bool // the supervisor has ended it, at the deadline of a stop
	// Crash is the end of the text of a panic or of the stacks of a hung child,
	// 64 KiB at most.
	Crash string
}

// ChildStatus is one child at one moment.
type ChildStatus struct {
	Name       string
	Role       Role
	State      State
	Since      time.Time // of the state
	Reason     string    // why it is in this state, "" if there is nothing to say
	Text       string    // what the child itself says it does
	PID        int       // 0 when there is no process
	Started    time.Time // the process; zero when there is none
	Generation int       // how often it was started
	Restarts   int       // starts that followed a death nobody asked for
	CrashLoop  bool      // dies again and again before it is ready
	LastBeat   time.Time // zero before the first one of this process
	LastExit   *Exit     // nil before the first one; not to be modified
	NextStart  time.Time // in backoff and blocked
	// Config stands for the options that its process was started with: equal
	// options have equal ones.
	Config string
	// Pending are the options of the configuration that its process does not run
	// with: they wait for a restart, or could not be brought into effect.
	Pending []string
	// Replacement is the process that is about to take the place of this one.
	Replacement *Replacement
}

// Replacement is a process that sets itself up beside the one that serves.
type Replacement struct {
	PID        int
	Generation int
	State      State // init, warm, or degraded: something it needs is away
	Since      time.Time
	Reason     string
}

// up reports whether the child does its work or waits to be able to.
func (c ChildStatus) up() bool { return c.State == lifeline.Ready || c.State == lifeline.Degraded }

// Status returns all children in the order of the configuration: one-shots, bus,
// workers. It may be called by any goroutine, before, during and after Run.
func (s *Supervisor) Status() []ChildStatus { return slices.Clone(s.published.Load().children) }

// Pending returns the options, of the supervisor itself and of single backends, that
// wait for a restart of the service, as Status may be called.
func (s *Supervisor) Pending() []string { return slices.Clone(s.published.Load().pending) }

// published is what others see of the loop.
type published struct {
	children []ChildStatus
	pending  []string
}

// Settled is closed when the service is up: every backend is ready, degraded or
// failed, or ReadyTimeout has passed, and at least one is ready or degraded. It
// is never closed if Run ends before that.
func (s *Supervisor) Settled() <-chan struct{} { return s.settled }

// publish makes what the loop knows visible to Status and OnChange.
func (s *Supervisor) publish() {
	all := make([]ChildStatus, len(s.children))
	for i, c := range s.children {
		all[i] = c.status()
		if s.cfg.OnChange != nil && (c.changed || c.next != nil && c.next.changed) {
			s.cfg.OnChange(all[i])
		}
		c.changed = false
		if c.next != nil {
			c.next.changed = false
		}
	}
	s.published.Store(&published{all, s.pending})
}

// status is the child as others see it.
func (c *child) status() ChildStatus {
	status := c.ChildStatus
	status.Config, status.Pending = c.compared()
	if n := c.next; n != nil {
		status.Replacement = &Replacement{PID: n.PID, Generation: n.Generation, State: n.State, Since: n.Since, Reason: n.Reason}
	}
	return status
}
