package supervisor

import (
	"context"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/supervisor/lifeline"
)

// world starts fake processes, which do what the test makes of them. It is used
// inside a synctest bubble, where time is virtual.
type world struct {
	t       *testing.T
	sup     *Supervisor
	signals chan os.Signal
	cancel  context.CancelFunc
	err     error
	ended   chan struct{}

	mu       sync.Mutex
	started  map[string][]*fakeProcess
	startErr error
}

// fakeProcess ends when told, and TERM and KILL end it unless it is stubborn.
type fakeProcess struct {
	pid      int
	at       time.Time
	spec     Spec
	words    chan lifeline.Message
	end      chan Exit
	mu       sync.Mutex
	got      []syscall.Signal
	hungUp   bool
	replaces int // pid
	told     []lifeline.Word
	tuned    []string // with these snapshots
	deaf     error    // what Tune returns
	stubborn bool     // does not end on TERM
	dead     bool
}

func newWorld(t *testing.T, cfg Config, logs hclog.Logger) *world {
	t.Helper()
	cfg.StatePath = "/state"
	if logs == nil {
		logs = hclog.NewNullLogger()
	}
	sup, err := New(cfg, logs)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, sup: sup, signals: make(chan os.Signal, 8), ended: make(chan struct{}),
		started: map[string][]*fakeProcess{},
	}
	sup.starter, sup.jitter = w, func() float64 { return 0.5 }
	ctx, cancel := context.WithCancel(t.Context())
	w.cancel = cancel
	go func() {
		defer close(w.ended)
		w.err = sup.loop(ctx, w.signals)
	}()
	synctest.Wait()
	return w
}

func (w *world) Start(l launch) (process, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.startErr != nil {
		return nil, w.startErr
	}
	name := l.spec.Name
	p := &fakeProcess{
		pid: 1000*(len(w.started)+1) + l.generation, at: time.Now(), replaces: l.replaces, spec: l.spec,
		words: make(chan lifeline.Message), end: make(chan Exit, 1),
	}
	w.started[name] = append(w.started[name], p)
	return p, nil
}

// failStarts makes every start fail from now on, or none if err is nil.
func (w *world) failStarts(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.startErr = err
}

// proc returns the current process of the child.
func (w *world) proc(name string) *fakeProcess {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.started[name]
	if len(all) == 0 {
		w.t.Fatalf("%s was not started", name)
	}
	return all[len(all)-1]
}

// starts tells how often the child was started.
func (w *world) starts(name string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.started[name])
}

func (w *world) status(name string) ChildStatus {
	w.t.Helper()
	for _, c := range w.sup.Status() {
		if c.Name == name {
			return c
		}
	}
	w.t.Fatalf("no child %s", name)
	return ChildStatus{}
}

// say lets the current process of the child speak.
func (w *world) say(name string, m lifeline.Message) {
	w.t.Helper()
	w.proc(name).words <- m
	synctest.Wait()
}

func (w *world) ready(names ...string) {
	w.t.Helper()
	for _, name := range names {
		w.say(name, lifeline.Message{Ready: true, State: lifeline.Ready})
	}
}

// die ends the current process of the child.
func (w *world) die(name string, e Exit) {
	w.t.Helper()
	w.proc(name).exit(e)
	synctest.Wait()
}

// signal sends the supervisor a signal.
func (w *world) signal(sig os.Signal) {
	w.signals <- sig
	synctest.Wait()
}

// wait returns what Run returns.
func (w *world) wait() error {
	<-w.ended
	w.cancel()
	return w.err
}

// running reports whether the supervisor has not ended.
func (w *world) running() bool {
	select {
	case <-w.ended:
		return false
	default:
		return true
	}
}

func (p *fakeProcess) PID() int { return p.pid }

func (p *fakeProcess) Signal(sig syscall.Signal) error {
	p.mu.Lock()
	p.got = append(p.got, sig)
	dead, stubborn := p.dead, p.stubborn
	p.mu.Unlock()
	switch {
	case dead:
		return errGone
	case sig == syscall.SIGKILL:
		p.exit(Exit{Code: -1, Signal: sig})
	case sig == syscall.SIGTERM && !stubborn:
		p.exit(Exit{})
	}
	return nil
}

// HangUp ends it as well, as a process that lost its parent.
func (p *fakeProcess) HangUp() {
	p.mu.Lock()
	p.hungUp = true
	p.mu.Unlock()
	p.exit(Exit{})
}

func (p *fakeProcess) Tell(w lifeline.Word) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told = append(p.told, w)
	return nil
}

func (p *fakeProcess) Tune(_ context.Context, snapshot []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tuned = append(p.tuned, string(snapshot))
	return p.deaf
}

func (p *fakeProcess) exit(e Exit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.dead {
		p.dead = true
		p.end <- e
	}
}

func (p *fakeProcess) signals() []syscall.Signal {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]syscall.Signal{}, p.got...)
}

func (p *fakeProcess) refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stubborn = true
}

func (p *fakeProcess) Run(hear func(lifeline.Message)) Exit {
	for {
		select {
		case m := <-p.words:
			hear(m)
		case e := <-p.end:
			return e
		}
	}
}

func (p *fakeProcess) isTold() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Contains(p.told, lifeline.Begin)
}

func (p *fakeProcess) heard() []lifeline.Word {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.told)
}

func (p *fakeProcess) snapshots() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string{}, p.tuned...)
}

func (p *fakeProcess) beDeaf(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaf = err
}
