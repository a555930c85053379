package supervisor

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/internal/spell"
	"github.com/volumed/volumed/supervisor/lifeline"
)

// Supervisor runs the children of one configuration once.
type Supervisor struct {
	cfg       Config
	log       hclog.Logger
	told      *spell.Log // of what is tried again and again
	published atomic.Pointer[published]
	settled   chan struct{}
	commands  chan func(now time.Time) // from other goroutines, carried out by the loop
	over      chan struct{}            // closed when the loop has ended
	hups      chan struct{}            // holds a token: SIGHUP asks for a reload

	reloading  chan struct{}   // holds a token while a reload or restart is under way
	background sync.WaitGroup  // what the loop has begun beside itself
	alive      context.Context // ends when the loop does

	// The rest belongs to the goroutine of Run.
	children []*child
	starter  starter
	events   chan event
	jitter   func() float64
	oom      *oomCounter
	up       upward
	phase    phase
	txns     []*transaction
	own      []Setting  // of the last configuration that was brought into effect
	pending  []string   // options that wait for a restart of the service
	failure  *ExitError // why no child can run, nil while some can
	cut      []string   // children that ended with work unfinished
}

// event is news of one child: a message, or its end, which comes once.
type event struct {
	child   *child
	message *lifeline.Message
	exit    *Exit
}

// starter makes processes.
type starter interface {
	Start(launch) (process, error)
}

// process is one that was started.
type process interface {
	PID() int
	// Signal returns errGone when the process has ended.
	Signal(syscall.Signal) error
	// HangUp ends the lifeline: to the child it is the death of its parent.
	HangUp()
	// Tell says a word on the lifeline.
	Tell(lifeline.Word) error
	// Tune has the process take over the live settings of a snapshot. It is called
	// by any goroutine, and returns at the latest when ctx ends.
	Tune(ctx context.Context, snapshot []byte) error
	// Run passes on what the child says until it is gone and reaped, then returns
	// how it ended. It is called once.
	Run(hear func(lifeline.Message)) Exit
}

// New returns a supervisor that has not started anything. The error is of kind
// Invalid and names everything that is wrong with cfg.
func New(cfg Config, log hclog.Logger) (*Supervisor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Supervisor{
		cfg:     cfg.withDefaults(),
		log:     log.Named("supervisor"),
		settled: make(chan struct{}), commands: make(chan func(time.Time)), over: make(chan struct{}), hups: make(chan struct{}, 1), reloading: make(chan struct{}, 1),
		events: make(chan event),
		jitter: rand.Float64,
		oom:    newOOMCounter(os.DirFS("/")),
		own:    cfg.Settings,
	}
	s.told = spell.New(s.log, orphanLull)
	now := time.Now()
	add := func(role Role, specs ...Spec) {
		for _, spec := range specs {
			s.children = append(s.children, newChild(role, spec, now))
		}
	}
	add(OneShot, cfg.Once...)
	if cfg.Bus != nil {
		add(Bus, *cfg.Bus)
	}
	add(Worker, cfg.Workers...)
	s.publish()
	return s, nil
}

// Run starts everything, keeps it running, and returns once every child is gone
// and reaped; it is called once. SIGTERM and the end of ctx stop gracefully, a
// second SIGTERM and SIGINT stop fast. The error is nil after a stop in which
// every child finished its work; [ExitCode] tells the exit code for it. A state
// path that is in use by another supervisor is an error of kind Conflict that
// names its pid, and nothing has been started.
func (s *Supervisor) Run(ctx context.Context) error {
	state, err := openState(s.cfg.StatePath)
	if err != nil {
		return err
	}
	defer state.Close()
	spawner := newSpawner(s.cfg.Executable, state, s.log)
	defer spawner.Close()
	s.starter = spawner

	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)
	return s.loop(ctx, signals)
}

// all yields every child and, after it, its replacement.
func (s *Supervisor) all() iter.Seq[*child] {
	return func(yield func(*child) bool) {
		for _, c := range s.children {
			if !yield(c) || c.next != nil && !yield(c.next) {
				return
			}
		}
	}
}

func (s *Supervisor) loop(ctx context.Context, signals <-chan os.Signal) error {
	defer s.unlockAll()
	alive, end := context.WithCancel(context.Background())
	s.alive = alive
	s.background.Go(s.reloadOnHup)
	defer s.background.Wait()
	defer close(s.over)
	defer end()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	s.begin(time.Now())
	stopped := ctx.Done()
	for {
		s.act(time.Now())
		if s.finished() {
			return s.result()
		}
		if next := s.next(time.Now()); next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(next))
		}
		select {
		case <-stopped:
			stopped = nil
			s.stop(graceful, context.Cause(ctx).Error(), time.Now())
		case sig := <-signals:
			s.signalled(sig, time.Now())
		case ev := <-s.events:
			s.handle(ev, time.Now())
		case command := <-s.commands:
			command(time.Now())
		case <-timer.C:
		}
		// A signal to the whole group ends children too: that they were asked has
		// to be known before their end leads to a new start.
		select {
		case sig := <-signals:
			s.signalled(sig, time.Now())
		default:
		}
	}
}

// begin reports what cannot run before anything is started.
func (s *Supervisor) begin(now time.Time) {
	s.up.begin(s.cfg, now)
	for _, c := range s.children {
		if c.State == Failed {
			s.log.Error("child cannot run, the others are started", "backend", c.Name, "reason", c.Reason)
		}
	}
}

// act does what is due at this time, whatever event has led here.
func (s *Supervisor) act(now time.Time) {
	for c := range s.all() {
		s.watch(c, now)
	}
	s.giveUp(now)
	s.stopBus(now)
	if s.phase == running {
		s.startDue(now)
	}
	s.settleAll()
	s.publish()
	s.tellParent(now) // of what Status already shows
}

// next is when something is due again if nothing happens until then, zero for
// never.
func (s *Supervisor) next(now time.Time) time.Time {
	var a alarm
	for c := range s.all() {
		switch {
		case c.proc != nil:
			a.set(c.killAt)
			a.set(c.warmBy)
			a.set(s.hungAt(c))
			if c.State == lifeline.Init && now.Before(c.slotEnd) {
				a.set(c.slotEnd)
			}
		case c.State == Backoff || c.State == Blocked:
			a.set(c.NextStart)
		}
	}
	s.up.alarms(&a, now)
	return a.at
}

// alarm keeps the earliest of the times it is set to.
type alarm struct{ at time.Time }

func (a *alarm) set(t time.Time) {
	if !t.IsZero() && (a.at.IsZero() || t.Before(a.at)) {
		a.at = t
	}
}

func (s *Supervisor) handle(ev event, now time.Time) {
	c := ev.child
	if ev.exit != nil {
		c.end(*ev.exit, now, s.oom)
		s.bury(c, now)
		return
	}
	before := c.State
	c.hear(*ev.message, now)
	if c.State == before {
		return
	}
	switch {
	case c.up() && c.replaces == nil:
		if c.State == lifeline.Ready {
			s.recovered(c)
			c.established()
		}
		s.tune(c) // it may have been started with older settings
	case c.State == lifeline.Warm && c.replaces != nil:
		s.handOver(c, now)
	}
	s.log.Info("child changed its state", "backend", c.Name, "state", c.State, "child", c.PID,
		"generation", c.Generation, "reason", c.Reason, "after", now.Sub(c.Started).Round(time.Millisecond))
}

func (s *Supervisor) signalled(sig os.Signal, now time.Time) {
	switch {
	case sig == syscall.SIGHUP:
		select {
		case s.hups <- struct{}{}:
		default: // the next reload will be late enough for this one, too
		}
	case sig == syscall.SIGINT || s.phase != running:
		s.stop(fast, fmt.Sprint(sig), now)
	default:
		s.stop(graceful, fmt.Sprint(sig), now)
	}
}

func (s *Supervisor) finished() bool {
	if s.phase == running {
		return false
	}
	for c := range s.all() {
		if c.proc != nil {
			return false
		}
	}
	return true
}

func (s *Supervisor) unlockAll() {
	for _, c := range s.children {
		c.unlock()
	}
}
