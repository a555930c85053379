package supervisor

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/supervisor/lifeline"
)

// launch is one start of one child.
type launch struct {
	spec        Spec
	generation  int
	replaces    int            // pid of the process that serves the backend, 0 if none does
	lock        *lifeline.Lock // nil if there is none
	watchdog    time.Duration
	orphanGrace time.Duration
}

// spawner starts real processes, all from one thread that lives until Close:
// the kernel sends PDEATHSIG to a child when the thread that started it ends.
type spawner struct {
	executable string
	state      *stateDir
	log        hclog.Logger
	work       chan func()
}

func newSpawner(executable string, state *stateDir, log hclog.Logger) *spawner {
	s := &spawner{executable: executable, state: state, log: log, work: make(chan func())}
	go func() {
		runtime.LockOSThread()
		for f := range s.work {
			f()
		}
	}()
	return s
}

// Close ends the thread, and with SIGTERM every child that is still there.
func (s *spawner) Close() { close(s.work) }

// Start starts one process. It takes about a millisecond, and the loop waits for
// it: starts come one by one anyway.
func (s *spawner) Start(l launch) (process, error) {
	p, inherit, err := s.prepare(l)
	defer inherit.Pipe.Close() // closing nil does nothing
	defer inherit.Snapshot.Close()
	if err != nil {
		p.discard()
		return nil, err
	}
	started := make(chan struct{})
	s.work <- func() {
		p.proc, err = s.exec(l.spec, inherit)
		close(started)
	}
	<-started
	if err != nil {
		p.discard()
		return nil, err
	}
	p.sock.Accept(p.proc.Pid)
	return p, nil
}

// prepare makes all that parent and child talk through.
func (s *spawner) prepare(l launch) (*childProcess, lifeline.Inheritance, error) {
	inherit := lifeline.Inheritance{
		Socket:      s.state.socketPath(),
		Title:       "volumed:" + l.spec.Name,
		Generation:  l.generation,
		Replaces:    l.replaces,
		Watchdog:    l.watchdog,
		OrphanGrace: l.orphanGrace,
	}
	p := &childProcess{state: s.state}
	var err error
	if l.lock != nil {
		inherit.Lock = l.lock.File()
	}
	if p.crash, err = s.state.newCrashFile(l.spec.Name, l.generation); err != nil {
		// Not worth keeping a backend down: the text also goes to stderr.
		s.log.Warn("child runs without a crash file", "backend", l.spec.Name, "error", err)
	}
	inherit.CrashFile = p.crash.path
	if p.sock, err = lifeline.Listen(inherit.Socket); err != nil {
		return p, inherit, err
	}
	if l.spec.Snapshot != nil {
		if inherit.Snapshot, err = lifeline.Snapshot(l.spec.Snapshot); err != nil {
			return p, inherit, err
		}
	}
	if inherit.Pipe, p.pipe, err = os.Pipe(); err != nil {
		return p, inherit, fmt.Errorf("make lifeline: %w", err)
	}
	if l.replaces == 0 { // the backend is its own from the start
		if err := p.Tell(lifeline.Begin); err != nil {
			return p, inherit, err
		}
	}
	return p, inherit, nil
}

// exec runs on the thread of the spawner.
func (s *spawner) exec(spec Spec, inherit lifeline.Inheritance) (*os.Process, error) {
	files := append([]*os.File{os.Stdin, os.Stdout, os.Stderr}, inherit.Files()...)
	return os.StartProcess(s.executable, append([]string{"volumed"}, spec.Args...), &os.ProcAttr{
		Env:   inherit.Env(append(os.Environ(), spec.Env...)),
		Files: files,
		Sys:   &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM},
	})
}
