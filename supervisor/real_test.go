package supervisor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/supervisor/lifeline"
)

// real is a supervisor of real processes in this one.
type real struct {
	t       *testing.T
	sup     *Supervisor
	changes chan ChildStatus
	stop    context.CancelFunc
	ended   chan error
}

// role is a child that runs this test binary.
func role(name string, args ...string) Spec { return Spec{Name: name, Args: args} }

// stateDirPath is short: sockets are bound below it.
func stateDirPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sup")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func run(t *testing.T, cfg Config) *real {
	t.Helper()
	if cfg.StatePath == "" {
		cfg.StatePath = stateDirPath(t)
	}
	if cfg.GracefulTimeout == 0 {
		cfg.GracefulTimeout = time.Minute
	}
	r := &real{t: t, changes: make(chan ChildStatus, 10_000), ended: make(chan error, 1)}
	cfg.OnChange = func(c ChildStatus) { r.changes <- c }
	sup, err := New(cfg, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	r.sup = sup
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	go func() { r.ended <- sup.Run(ctx) }()
	return r
}

// until waits for a change that satisfies the condition.
func (r *real) until(name string, state State, more ...func(ChildStatus) bool) ChildStatus {
	r.t.Helper()
	deadline := time.After(time.Minute)
	for {
		select {
		case c := <-r.changes:
			if c.Name == name && c.State == state && (len(more) == 0 || more[0](c)) {
				return c
			}
		case err := <-r.ended:
			r.t.Fatalf("ended (%v) before %s was %s; last: %+v", err, name, state, r.sup.Status())
		case <-deadline:
			r.t.Fatalf("%s was never %s; last: %+v", name, state, r.sup.Status())
		}
	}
}

// finish stops gracefully and returns what Run returns.
func (r *real) finish() error {
	r.stop()
	return <-r.ended
}

func kill(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatalf("signal %v to %d: %v", sig, pid, err)
	}
}

func TestRealStartAndStop(t *testing.T) {
	bus := role("bus", "serve")
	r := run(t, Config{
		Once:    []Spec{role("db-sync", "succeed")},
		Bus:     &bus,
		Workers: []Spec{role("rbd0", "serve"), role("rbd1", "serve")},
	})
	<-r.sup.Settled()
	for _, c := range r.sup.Status() {
		if c.Role == OneShot {
			if c.State != Exited || c.LastExit == nil || c.LastExit.Code != 0 {
				t.Errorf("one-shot: %+v", c)
			}
			continue
		}
		if c.State != lifeline.Ready {
			t.Errorf("%s is %s", c.Name, c.State)
		}
		cmdline, err := os.ReadFile("/proc/" + itoa(c.PID) + "/cmdline")
		if err != nil || string(cmdline) != "volumed\x00serve\x00" {
			t.Errorf("command line %q, %v", cmdline, err)
		}
		comm, err := os.ReadFile("/proc/" + itoa(c.PID) + "/comm")
		if err != nil || string(comm) != "volumed:"+c.Name+"\n" {
			t.Errorf("title %q, %v", comm, err)
		}
	}
	if err := r.finish(); err != nil {
		t.Errorf("Run = %v", err)
	}
	for _, c := range r.sup.Status() {
		if c.PID != 0 {
			t.Errorf("left behind: %+v", c)
		}
	}
}

func TestRealChildIsConfiguredAndMaySubscribe(t *testing.T) {
	spec := role("rbd0", "configured")
	spec.Snapshot, spec.Env = []byte("[rbd0]"), []string{"EXTRA=more"}
	r := run(t, Config{Workers: []Spec{spec}})
	if got, want := r.until("rbd0", lifeline.Degraded).Reason, "[rbd0] <nil> more <nil>"; got != want {
		t.Errorf("child says %q, want %q", got, want)
	}
	if err := r.finish(); err != nil {
		t.Errorf("Run = %v", err)
	}
}

func TestRealKilledChildIsBackBeforeItsNeighbourNotices(t *testing.T) {
	r := run(t, Config{Workers: []Spec{role("rbd0", "serve"), role("rbd1", "serve")}})
	<-r.sup.Settled()
	before := r.sup.Status()
	kill(t, before[0].PID, syscall.SIGKILL)
	// Reported dead and started again in one step, with no delay between.
	init := r.until("rbd0", lifeline.Init, func(c ChildStatus) bool { return c.Generation == 2 })
	if gap := init.Since.Sub(init.LastExit.At); gap > 50*time.Millisecond {
		t.Errorf("started again after %v", gap)
	}
	if e := init.LastExit; e.Signal != syscall.SIGKILL || e.PID != before[0].PID || !strings.Contains(e.Reason, "from outside") {
		t.Errorf("last exit: %+v", e)
	}
	ready := r.until("rbd0", lifeline.Ready)
	if ready.PID == before[0].PID || ready.Restarts != 1 {
		t.Errorf("after the restart: %+v", ready)
	}
	if after := r.sup.Status(); after[1].PID != before[1].PID {
		t.Error("the neighbour was restarted")
	}
	if err := r.finish(); err != nil {
		t.Errorf("Run = %v", err)
	}
}

func TestRealBadBackendsAndTheirReasons(t *testing.T) {
	state := stateDirPath(t)
	r := run(t, Config{StatePath: state, Workers: []Spec{role("good", "serve"), role("bad", "refuse"), role("broken", "panic")}})
	bad := r.until("bad", Failed)
	if bad.Reason != "bad configuration: rbd_pool is not set" || bad.LastExit.Code != 78 {
		t.Errorf("refused: %+v", bad)
	}
	again := func(c ChildStatus) bool { return c.Generation == 2 }
	status := r.sup.Status()[2]
	if status.State != Backoff || status.Generation != 1 {
		status = r.until("broken", Backoff)
	}
	if e := status.LastExit; e.Code != 2 || e.Reason != "panic: broken at start" || !strings.Contains(e.Crash, "goroutine ") {
		t.Errorf("panicked: %+v", e)
	}
	if delay := status.NextStart.Sub(status.LastExit.At); delay < 800*time.Millisecond || delay > 1200*time.Millisecond {
		t.Errorf("first delay %v", delay)
	}
	r.until("broken", Backoff, again)
	kept, err := os.ReadFile(filepath.Join(state, "crash", "broken.last.txt"))
	if err != nil || !strings.Contains(string(kept), "panic: broken at start") {
		t.Errorf("crash file %q, %v", kept, err)
	}
	if good := r.sup.Status()[0]; good.State != lifeline.Ready || good.Generation != 1 {
		t.Errorf("the good one: %+v", good)
	}
	if err := r.finish(); err != nil {
		t.Errorf("Run = %v", err)
	}
}

func TestRealAllRefused(t *testing.T) {
	bus := role("bus", "serve")
	r := run(t, Config{Bus: &bus, Workers: []Spec{role("a", "refuse"), role("b", "refuse")}})
	err := <-r.ended
	if ExitCode(err) != lifeline.ExitConfig || !strings.Contains(err.Error(), "rbd_pool is not set") {
		t.Errorf("Run = %v, code %d", err, ExitCode(err))
	}
	r.stop()
}

func TestRealStubbornChildIsKilledAtTheDeadline(t *testing.T) {
	r := run(t, Config{
		Workers:         []Spec{role("stubborn", "ignore"), role("good", "serve")},
		GracefulTimeout: 500 * time.Millisecond,
		Policy:          Policy{KillAfter: 500 * time.Millisecond},
	})
	<-r.sup.Settled()
	err := r.finish()
	if ExitCode(err) != 1 || !strings.Contains(err.Error(), "stubborn") || strings.Contains(err.Error(), "good") {
		t.Errorf("Run = %v", err)
	}
	got := r.sup.Status()[0]
	if e := got.LastExit; e.Signal != syscall.SIGKILL || !strings.Contains(e.Reason, "deadline") || got.Text != "flatten of vol-1" {
		t.Errorf("last exit %+v of %+v", e, got)
	}
}

func TestRealHungChildLeavesItsStacks(t *testing.T) {
	for name, stopped := range map[string]bool{"deadlocked": false, "stopped": true} {
		t.Run(name, func(t *testing.T) {
			r := run(t, Config{
				Workers: []Spec{role("rbd0", "deadlock")},
				Policy:  Policy{WatchdogTimeout: 300 * time.Millisecond},
			})
			ready := r.until("rbd0", lifeline.Ready)
			if stopped {
				kill(t, ready.PID, syscall.SIGSTOP)
			}
			next := r.until("rbd0", lifeline.Init, func(c ChildStatus) bool { return c.Generation == 2 })
			e := next.LastExit
			if e.Code != 2 || !strings.HasPrefix(e.Reason, "hung: ") || !strings.Contains(e.Crash, "supervisor.play(") {
				t.Errorf("last exit: code %d, %s, crash %.300s", e.Code, e.Reason, e.Crash)
			}
			_ = r.finish() // the next generation hangs as well, or is asked before it does
		})
	}
}

func TestRealSecondSupervisorIsRefused(t *testing.T) {
	state := stateDirPath(t)
	r := run(t, Config{StatePath: state, Workers: []Spec{role("rbd0", "serve")}})
	<-r.sup.Settled()
	second, err := New(Config{StatePath: state, Workers: []Spec{role("rbd0", "serve")}}, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	err = second.Run(t.Context())
	if !errors.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "pid "+itoa(os.Getpid())) || ExitCode(err) != 1 {
		t.Errorf("second Run = %v", err)
	}
	if second.Status()[0].Generation != 0 {
		t.Error("the second supervisor has started something")
	}
	if r.sup.Status()[0].State != lifeline.Ready {
		t.Error("the first supervisor was disturbed")
	}
	if err := r.finish(); err != nil {
		t.Errorf("Run = %v", err)
	}
}

func TestRealBackendLockedByAStranger(t *testing.T) {
	lockPath := filepath.Join(stateDirPath(t), "rbd0.lock")
	lock, err := lifeline.TakeLock(lockPath)
	if err != nil {
		t.Fatal(err)
	}
	if err := lock.Note(lifeline.Holder{PID: 4242}); err != nil {
		t.Fatal(err)
	}
	r := run(t, Config{Workers: []Spec{{Name: "rbd0", Args: []string{"serve"}, LockPath: lockPath}, role("rbd1", "serve")}})
	blocked := r.until("rbd0", Blocked)
	if blocked.Reason != "blocked by pid 4242" || blocked.Generation != 0 {
		t.Errorf("blocked: %+v", blocked)
	}
	lock.Close()
	r.until("rbd0", lifeline.Ready)
	if _, err := lifeline.TakeLock(lockPath); err == nil {
		t.Error("the lock of a running backend can be taken")
	}
	if err := r.finish(); err != nil {
		t.Errorf("Run = %v", err)
	}
	again, err := lifeline.TakeLock(lockPath)
	if err != nil {
		t.Fatalf("the lock is held after the end: %v", err)
	}
	again.Close()
}

func TestRealManyDeathsLeaveNothingBehind(t *testing.T) {
	const deaths = 200
	r := run(t, Config{
		Workers: []Spec{role("mortal", "die"), role("good", "serve")},
		Policy:  Policy{RestartBurst: 10 * deaths},
	})
	after := func(n int) func(ChildStatus) bool {
		return func(c ChildStatus) bool { return c.Generation >= n }
	}
	r.until("mortal", lifeline.Init, after(10))
	before := descriptors(t)
	r.until("mortal", lifeline.Init, after(10+deaths))
	// One child more or less may be on its way, with a handful of descriptors.
	if grown := descriptors(t) - before; grown > 8 {
		t.Errorf("%d descriptors more after %d deaths", grown, deaths)
	}
	if zombies := zombiesOf(t, os.Getpid()); zombies > 1 {
		t.Errorf("%d zombies", zombies)
	}
	if err := r.finish(); err != nil && !strings.Contains(err.Error(), "mortal") {
		t.Errorf("Run = %v", err)
	}
	if zombies := zombiesOf(t, os.Getpid()); zombies != 0 {
		t.Errorf("%d zombies after the end", zombies)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

func zombiesOf(t *testing.T, pid int) int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		if f := strings.Fields(rest); len(f) > 1 && f[0] == "Z" && f[1] == itoa(pid) {
			n++
		}
	}
	return n
}

func TestRealCrashFileSurvivesTheSupervisor(t *testing.T) {
	state, err := openState(stateDirPath(t))
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	first, err := state.newCrashFile("a/b", 1)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", maxCrash) + "tail"
	if err := os.WriteFile(first.path, []byte(long), 0o600); err != nil {
		t.Fatal(err)
	}
	second, err := state.newCrashFile("a/b", 1) // by a supervisor that never saw the end
	if err != nil {
		t.Fatal(err)
	}
	if kept, err := os.ReadFile(second.last); err != nil || string(kept) != long {
		t.Errorf("kept %d bytes, %v", len(kept), err)
	}
	if second.keep() != "" {
		t.Error("a child without a crash has a crash text")
	}
	if err := os.WriteFile(second.path, []byte(long), 0o600); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(long[len(long)-maxCrash:], second.keep()); diff != "" {
		t.Errorf("tail (-want +got):\n%s", diff)
	}
}
