package lifeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ErrParentDied is returned when the parent is gone before it said anything.
var ErrParentDied = errors.New("the parent process died")

// Parent is a child's view of whoever started it: our supervisor, systemd or
// nobody. The zero value is nobody. Its methods may be called by any goroutine;
// those that tell the parent something never block, and of values told in quick
// succession the parent may see only the last. After Close they do nothing.
type Parent struct {
	sender      *sender
	pipe        *pipe
	snapshot    *os.File
	locked      bool
	watchdog    time.Duration
	orphanGrace time.Duration
	generation  int
	replaces    int
	closing     sync.Once
}

// FromEnv takes over what the parent left in the environment and as open
// descriptors, and unsets those names. It is called once, first thing in main;
// with nothing set it returns nobody and no error. It also opens the crash
// output and sets the process title if the parent asked for it. When the parent
// dies, the process ends with [ExitError] after the orphan grace the parent gave.
func FromEnv() (*Parent, error) {
	return fromEnvironment(takeEnvironment(), os.Exit)
}

func fromEnvironment(env environment, exit func(int)) (_ *Parent, err error) {
	p := &Parent{}
	defer func() {
		if err != nil {
			p.Close()
		}
	}()
	if err := p.readNumbers(env); err != nil {
		return nil, err
	}
	if err := p.takeFiles(env, exit); err != nil {
		return nil, err
	}
	if path := env[envCrashFile]; path != "" {
		if err := CrashOutput(path); err != nil {
			return nil, err
		}
	}
	if title := env[envProcessTitle]; title != "" {
		// The name of the main thread, whichever thread this is.
		if err := os.WriteFile("/proc/self/comm", []byte(title), 0); err != nil {
			return nil, fmt.Errorf("set process title: %w", err)
		}
	}
	if socket := env[envSocket]; socket != "" {
		p.sender = startSender(socket)
	}
	return p, nil
}

func (p *Parent) readNumbers(env environment) error {
	watchdog, err := env.duration(envWatchdog)
	if pid := env[envWatchdogPID]; pid == "" || pid == fmt.Sprint(os.Getpid()) {
		p.watchdog = watchdog
	}
	grace, err2 := env.duration(envOrphanGrace)
	generation, err3 := env.number(envGeneration)
	replaces, err4 := env.number(envReplaces)
	p.orphanGrace, p.generation, p.replaces = grace, int(generation), int(replaces)
	return errors.Join(err, err2, err3, err4)
}

func (p *Parent) takeFiles(env environment, exit func(int)) error {
	pipeFD, err := env.number(envPipe)
	snapshotFD, err2 := env.number(envSnapshot)
	lockFD, err3 := env.number(envLock)
	if err := errors.Join(err, err2, err3); err != nil {
		return err
	}
	if snapshotFD > 0 {
		unix.CloseOnExec(int(snapshotFD))
		p.snapshot = os.NewFile(uintptr(snapshotFD), "config snapshot")
	}
	if lockFD > 0 {
		// Not an os.File, which the garbage collector would close. Programs this
		// process starts must not hold the lock longer than it does.
		unix.CloseOnExec(int(lockFD))
		p.locked = true
	}
	if pipeFD > 0 {
		p.pipe, err = openPipe(int(pipeFD), p.orphanGrace, exit)
	}
	return err
}

// Supervised reports whether our supervisor started this process.
func (p *Parent) Supervised() bool { return p.pipe != nil }

// Locked reports whether this process has inherited the lock of its backend. If
// not, it is the one to take it.
func (p *Parent) Locked() bool { return p.locked }

// Generation is how often the parent has started this child, 0 without one.
func (p *Parent) Generation() int { return p.generation }

// Replaces is the pid of the process that serves the backend now, 0 if there is
// none. Until [Parent.Go] returns, this process does nothing that the other one
// could notice.
func (p *Parent) Replaces() int { return p.replaces }

// Watchdog is the time after which a parent takes this process for hung when it
// sees no [Parent.Beat]; 0 means that nobody watches. Beat several times as often.
func (p *Parent) Watchdog() time.Duration { return p.watchdog }

// Ready tells that the process serves.
func (p *Parent) Ready() { p.State(Ready, "") }

// State tells the state and why. Degraded counts as started, as Ready does: the
// process is up, and a restart would not bring back what is away.
func (p *Parent) State(s State, reason string) {
	p.sender.put(Message{State: s, Reason: reason, Ready: s == Ready || s == Degraded})
}

// Status tells one line for people: what it does, what is in flight.
func (p *Parent) Status(text string) { p.sender.put(Message{Status: text}) }

// Beat tells that the inner loops make progress. The first beat arms the
// parent's watchdog.
func (p *Parent) Beat() { p.sender.put(Message{Beat: true}) }

// Stopping tells that the process drains. The watchdog no longer counts.
func (p *Parent) Stopping() { p.sender.put(Message{Stopping: true, State: Draining}) }

// ExtendTimeout tells that start-up or stopping takes up to d from now on.
func (p *Parent) ExtendTimeout(d time.Duration) { p.sender.put(Message{Extend: d}) }

// Go waits until the backend is this process's to serve: whoever served it before
// is gone. It returns at once without a supervisor, ErrParentDied if that is gone,
// and the cause of a ctx that ends first. It may be called again.
func (p *Parent) Go(ctx context.Context) error {
	if p.pipe == nil {
		return nil
	}
	select {
	case <-p.pipe.told:
		return nil
	default:
	}
	select {
	case <-p.pipe.told:
		return nil
	case <-p.pipe.died:
		return ErrParentDied
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// HandedOver reports whether a replacement takes the backend over at once when this
// process has ended. It is known soon after TERM, and may be taken back.
func (p *Parent) HandedOver() bool { return p.pipe != nil && p.pipe.handed.Load() }

// Died is closed when the supervisor is gone. From then on the process should
// drain as after SIGTERM. It is never closed without a supervisor.
func (p *Parent) Died() <-chan struct{} {
	if p.pipe == nil {
		return nil
	}
	return p.pipe.died
}

// Snapshot returns the configuration the parent validated, or false if it passed
// none. It may be called again, until Close.
func (p *Parent) Snapshot() ([]byte, bool, error) {
	if p.snapshot == nil {
		return nil, false, nil
	}
	data, err := readSnapshot(p.snapshot)
	return data, err == nil, err
}

// Close sends what is pending, which takes up to a second if the parent does not
// read, and stops watching the parent. The inherited lock stays with the process
// until it ends. Close is the last thing in main; closing again does nothing.
func (p *Parent) Close() {
	p.closing.Do(func() {
		p.sender.stop()
		p.snapshot.Close() // closing nil does nothing
		if p.pipe != nil {
			p.pipe.close()
		}
	})
}
