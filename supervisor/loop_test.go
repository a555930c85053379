package supervisor

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/virtual"
	"github.com/volumed/volumed/supervisor/lifeline"
)

func backends(names ...string) []Spec {
	var specs []Spec
	for _, name := range names {
		specs = append(specs, Spec{Name: name})
	}
	return specs
}

func (w *world) settled() bool {
	select {
	case <-w.sup.Settled():
		return true
	default:
		return false
	}
}

// inBubble runs the test with fake processes in virtual time.
func inBubble(t *testing.T, cfg Config, test func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(newWorld(t, cfg, nil)) })
}

func TestStartOrder(t *testing.T) {
	cfg := Config{Once: backends("db-sync", "second"), Bus: &Spec{Name: "bus"}, Workers: backends("rbd0", "rbd1")}
	inBubble(t, cfg, func(w *world) {
		if w.starts("db-sync") != 1 || w.starts("bus") != 1 || w.starts("second")+w.starts("rbd0") != 0 {
			t.Fatalf("first started: %+v", w.sup.Status())
		}
		w.die("db-sync", Exit{})
		w.die("second", Exit{})
		if got := w.status("rbd0"); got.State != Starting || got.Reason != "waits for bus" {
			t.Errorf("before the bus rbd0 is %s (%s)", got.State, got.Reason)
		}
		w.ready("bus")
		w.ready("rbd0")
		if w.settled() {
			t.Error("settled while rbd1 is not")
		}
		w.say("rbd1", lifeline.Message{State: lifeline.Degraded, Reason: "ceph is away", Ready: true})
		if !w.settled() {
			t.Error("not settled although all backends are up")
		}
		if got := w.status("rbd1"); got.State != lifeline.Degraded || got.Reason != "ceph is away" {
			t.Errorf("rbd1 is %s (%s)", got.State, got.Reason)
		}
		bus := w.proc("bus")
		w.proc("rbd1").refuse()
		w.signal(syscall.SIGTERM)
		if bus.hungUp {
			t.Error("the bus is stopped while a worker drains")
		}
		w.die("rbd1", Exit{})
		if err := w.wait(); err != nil {
			t.Errorf("Run = %v", err)
		}
		if !bus.hungUp || len(bus.signals()) > 0 {
			t.Errorf("the bus got signals %v instead of the end of its lifeline", bus.signals())
		}
	})
}

func TestOneShotIsRepeatedUntilItSucceeds(t *testing.T) {
	inBubble(t, Config{Once: backends("db-sync"), Workers: backends("rbd0")}, func(w *world) {
		w.die("db-sync", Exit{Code: lifeline.ExitUnavailable})
		if w.starts("rbd0") != 0 {
			t.Error("a worker started without its database")
		}
		virtual.Pass(time.Second)
		w.die("db-sync", Exit{})
		if w.starts("db-sync") != 2 || w.starts("rbd0") != 1 || w.status("db-sync").State != Exited {
			t.Errorf("after the second run: %+v", w.sup.Status())
		}
		w.signal(syscall.SIGTERM)
		if err := w.wait(); err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

func TestNothingRunsAfterARefusedOneShot(t *testing.T) {
	cfg := Config{Once: backends("db-sync"), Bus: &Spec{Name: "bus"}, Workers: backends("rbd0")}
	inBubble(t, cfg, func(w *world) {
		w.say("db-sync", lifeline.Message{State: lifeline.Init, Reason: "schema 9 is from a newer version"})
		w.die("db-sync", Exit{Code: lifeline.ExitConfig})
		err := w.wait()
		if ExitCode(err) != lifeline.ExitConfig || !strings.Contains(err.Error(), "newer version") || w.starts("rbd0") != 0 {
			t.Errorf("Run = %v, code %d, %d workers", err, ExitCode(err), w.starts("rbd0"))
		}
	})
}

func TestOneBadBackendLeavesTheOthersAlone(t *testing.T) {
	workers := backends("good", "ends78", "flaky")
	workers = append(workers, Spec{Name: "typo", Err: fault.New(fault.Invalid, "volumed.conf:7: volume_dirver: did you mean volume_driver?")})
	inBubble(t, Config{Workers: workers}, func(w *world) {
		w.ready("good", "flaky")
		w.die("ends78", Exit{Code: lifeline.ExitConfig})
		if !w.settled() {
			t.Error("not settled although two are up and two have failed")
		}
		for range 20 {
			w.die("flaky", Exit{Code: lifeline.ExitError})
			virtual.Pass(2 * time.Minute)
		}
		if w.starts("good") != 1 || w.starts("ends78") != 1 || w.starts("flaky") != 21 || w.starts("typo") != 0 {
			t.Errorf("starts: good %d, ends78 %d, flaky %d, typo %d", w.starts("good"), w.starts("ends78"), w.starts("flaky"), w.starts("typo"))
		}
		for name, want := range map[string]string{"typo": "did you mean", "ends78": "bad configuration"} {
			if got := w.status(name); got.State != Failed || !strings.Contains(got.Reason, want) {
				t.Errorf("%s is %s (%s)", name, got.State, got.Reason)
			}
		}
		w.signal(syscall.SIGTERM)
		if err := w.wait(); err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

func TestExitCodeWhenNoBackendCanRun(t *testing.T) {
	bad := Spec{Name: "typo", Err: errors.New("no such option")}
	tests := map[string]struct {
		codes []int
		want  int
	}{
		"all bad configuration": {[]int{78, 78}, lifeline.ExitConfig},
		"one without rights":    {[]int{78, 77}, lifeline.ExitError},
		"none even started":     {nil, lifeline.ExitConfig},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Bus: &Spec{Name: "bus"}, Workers: []Spec{bad}}
			for i := range tc.codes {
				cfg.Workers = append(cfg.Workers, Spec{Name: fmt.Sprint("rbd", i)})
			}
			inBubble(t, cfg, func(w *world) {
				if len(tc.codes) > 0 {
					w.ready("bus")
				} else if w.starts("bus") != 0 {
					t.Error("the bus was started for nobody")
				}
				for i, code := range tc.codes {
					w.die(fmt.Sprint("rbd", i), Exit{Code: code})
				}
				if got := ExitCode(w.wait()); got != tc.want {
					t.Errorf("exit code %d, want %d", got, tc.want)
				}
			})
		})
	}
}

func TestReadyChildComesBackAtOnceAndBacksOffAfterTheBurst(t *testing.T) {
	inBubble(t, Config{Workers: backends("rbd0")}, func(w *world) {
		for i := range 5 {
			w.ready("rbd0")
			w.die("rbd0", Exit{Code: -1, Signal: syscall.SIGKILL})
			if got := w.starts("rbd0"); got != i+2 {
				t.Fatalf("%d starts after death %d without any delay, want %d", got, i+1, i+2)
			}
		}
		w.ready("rbd0")
		w.die("rbd0", Exit{Code: -1, Signal: syscall.SIGKILL})
		got := w.status("rbd0")
		if got.State != Backoff || !got.NextStart.Equal(time.Now().Add(time.Second)) || got.PID != 0 || got.Restarts != 6 {
			t.Errorf("after the burst: %+v", got)
		}
		if e := got.LastExit; e.Signal != syscall.SIGKILL || e.Generation != 6 || e.PID == 0 || !strings.Contains(e.Reason, "SIGKILL from outside") {
			t.Errorf("last exit: %+v", e)
		}
		virtual.Pass(time.Second)
		if w.starts("rbd0") != 7 {
			t.Error("not started after the delay")
		}
		w.signal(syscall.SIGTERM)
		_ = w.wait() // how it ends is another test's matter
	})
}

// A child that ends in favour of a fresh process gets one at once, however often
// that happens, and it counts as no death; but one that only ever asks for the next
// is not started more often than any other.
func TestReplacedChildComesBackAtOnce(t *testing.T) {
	inBubble(t, Config{Workers: backends("rbd0")}, func(w *world) {
		for i := range 20 {
			w.ready("rbd0")
			virtual.Pass(time.Second)
			w.die("rbd0", Exit{Code: lifeline.ExitReplace})
			if got := w.starts("rbd0"); got != i+2 {
				t.Fatalf("%d starts after %d replacements, want %d", got, i+1, i+2)
			}
		}
		if got := w.status("rbd0"); got.Restarts != 0 || got.CrashLoop || got.LastExit.Code != lifeline.ExitReplace {
			t.Errorf("after twenty replacements: %+v", got)
		}
		w.die("rbd0", Exit{Code: lifeline.ExitReplace}) // it has lived no time at all
		if got := w.status("rbd0"); got.State != Backoff || !got.NextStart.Equal(time.Now().Add(time.Second)) {
			t.Errorf("after one that did nothing else: %+v", got)
		}
		virtual.Pass(time.Second)
		w.ready("rbd0")
		w.die("rbd0", Exit{Code: -1, Signal: syscall.SIGKILL})
		if got := w.status("rbd0"); got.Restarts != 1 || w.starts("rbd0") != 23 {
			t.Errorf("after the first death: %+v", got)
		}
		w.signal(syscall.SIGTERM)
		_ = w.wait() // how it ends is another test's matter
	})
}

func TestCrashLoopIsReportedOnceAndRecoversOnReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		w := newWorld(t, Config{Workers: backends("rbd0", "rbd1")}, hclog.New(&hclog.LoggerOptions{Output: &out, Level: hclog.Info}))
		w.ready("rbd1")
		for range 9 { // after 1, 2, 4 … 60 s
			w.die("rbd0", Exit{Code: lifeline.ExitPanic, Crash: "panic: again"})
			virtual.Pass(time.Until(w.status("rbd0").NextStart))
		}
		if !w.status("rbd0").CrashLoop || w.status("rbd1").CrashLoop {
			t.Errorf("crash loops: %+v", w.sup.Status())
		}
		w.ready("rbd0")
		if w.status("rbd0").CrashLoop {
			t.Error("still in the crash loop after ready")
		}
		if w.starts("rbd1") != 1 {
			t.Error("the neighbour was started again")
		}
		w.signal(syscall.SIGTERM)
		_ = w.wait() // how it ends is another test's matter
		for line, want := range map[string]int{
			"[ERROR] supervisor: child dies again and again": 1,
			"has recovered from its crash loop":              1,
			"[WARN]  supervisor: child died":                 9,
		} {
			if got := strings.Count(out.String(), line); got != want {
				t.Errorf("%d lines %q, want %d:\n%s", got, line, want, out.String())
			}
		}
	})
}

func TestCrashLoopNeedsQuickDeaths(t *testing.T) {
	inBubble(t, Config{Workers: backends("rbd0")}, func(w *world) {
		for range 12 {
			virtual.Pass(30 * time.Second)
			if w.status("rbd0").State == lifeline.Init {
				w.die("rbd0", Exit{Code: lifeline.ExitTempFail})
			}
		}
		if w.status("rbd0").CrashLoop {
			t.Error("a death in half a minute is taken for a crash loop")
		}
		w.signal(syscall.SIGTERM)
		_ = w.wait() // how it ends is another test's matter
	})
}

func TestMaxParallelInit(t *testing.T) {
	cfg := Config{Workers: backends("a", "b", "c", "d"), Policy: Policy{MaxParallelInit: 2}}
	inBubble(t, cfg, func(w *world) {
		if w.starts("a") != 1 || w.starts("b") != 1 || w.starts("c") != 0 {
			t.Fatalf("started: %+v", w.sup.Status())
		}
		w.ready("a")
		if w.starts("c") != 1 || w.starts("d") != 0 {
			t.Errorf("after the first is ready: %+v", w.sup.Status())
		}
		w.die("a", Exit{Code: lifeline.ExitInternal})
		if w.starts("a") != 2 {
			t.Error("a backend that has served waits for those that have not")
		}
		virtual.Pass(90 * time.Second) // b and c hang in init
		if w.starts("d") != 1 {
			t.Error("backends that hang in init keep the others out for ever")
		}
		w.signal(syscall.SIGTERM)
		_ = w.wait() // how it ends is another test's matter
	})
}

func TestSettledAfterReadyTimeout(t *testing.T) {
	inBubble(t, Config{Workers: backends("up", "slow")}, func(w *world) {
		w.ready("up")
		virtual.Pass(90*time.Second - 1)
		if w.settled() {
			t.Error("settled before the timeout")
		}
		virtual.Pass(1)
		if !w.settled() {
			t.Error("not settled at the timeout")
		}
		w.signal(syscall.SIGTERM)
		_ = w.wait() // how it ends is another test's matter
	})
}

func TestAllAwayKeepsTrying(t *testing.T) {
	inBubble(t, Config{Workers: backends("rbd0")}, func(w *world) {
		for range 10 {
			w.die("rbd0", Exit{Code: lifeline.ExitUnavailable})
			virtual.Pass(time.Hour)
		}
		if w.settled() || !w.running() || w.starts("rbd0") != 11 {
			t.Errorf("settled %v, running %v, %d starts", w.settled(), w.running(), w.starts("rbd0"))
		}
		w.ready("rbd0")
		if !w.settled() {
			t.Error("not settled once it is ready")
		}
		w.signal(syscall.SIGTERM)
		_ = w.wait() // how it ends is another test's matter
	})
}

func TestHungChild(t *testing.T) {
	inBubble(t, Config{Workers: backends("hung", "quiet")}, func(w *world) {
		w.ready("hung", "quiet") // quiet never beats: nobody watches it
		w.say("hung", lifeline.Message{Beat: true})
		virtual.Pass(20 * time.Second)
		w.say("hung", lifeline.Message{Beat: true})
		virtual.Pass(30*time.Second - 1)
		hung := w.proc("hung")
		if len(hung.signals()) != 0 {
			t.Fatalf("signals before the timeout: %v", hung.signals())
		}
		virtual.Pass(5*time.Second + 1)
		want := []syscall.Signal{syscall.SIGQUIT, syscall.SIGCONT, syscall.SIGKILL}
		if diff := cmp.Diff(want, hung.signals()); diff != "" {
			t.Errorf("signals (-want +got):\n%s", diff)
		}
		if e := w.status("hung").LastExit; e == nil || e.Reason != "hung: no beat for 30s" || !e.Hung || e.CutOff {
			t.Errorf("last exit: %+v", e)
		}
		if w.starts("hung") != 2 || w.starts("quiet") != 1 {
			t.Errorf("starts: hung %d, quiet %d", w.starts("hung"), w.starts("quiet"))
		}
		w.signal(syscall.SIGTERM)
		_ = w.wait() // how it ends is another test's matter
	})
}

func TestGracefulStopEndsAtTheDeadline(t *testing.T) {
	inBubble(t, Config{Workers: backends("busy", "idle", "dying"), GracefulTimeout: time.Minute}, func(w *world) {
		w.ready("busy", "idle")
		w.die("dying", Exit{Code: lifeline.ExitTempFail})
		busy := w.proc("busy")
		busy.refuse()
		w.say("busy", lifeline.Message{Status: "flatten of vol-1, 41 s", Beat: true})
		began := time.Now()
		w.signal(syscall.SIGTERM)
		virtual.Pass(61 * time.Second)
		if diff := cmp.Diff([]syscall.Signal{syscall.SIGTERM}, busy.signals()); diff != "" {
			t.Errorf("signals within the grace (-want +got):\n%s", diff)
		}
		err := w.wait()
		if took := time.Since(began); took != 62*time.Second {
			t.Errorf("ended after %v, want 62s", took)
		}
		if ExitCode(err) != 1 || !strings.Contains(err.Error(), "busy") || strings.Contains(err.Error(), "idle") {
			t.Errorf("Run = %v", err)
		}
		if e := w.status("busy").LastExit; e == nil || !e.CutOff || e.Hung {
			t.Errorf("last exit: %+v", e)
		}
		if w.starts("dying") != 1 {
			t.Error("a child was started during the stop")
		}
	})
}

func TestGraceWithoutEnd(t *testing.T) {
	inBubble(t, Config{Workers: backends("busy")}, func(w *world) {
		w.ready("busy")
		w.proc("busy").refuse()
		w.cancel() // as SIGTERM
		virtual.Pass(24 * time.Hour)
		if !w.running() {
			t.Fatal("cut off although the grace is endless")
		}
		w.die("busy", Exit{})
		if err := w.wait(); err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

func TestFastStop(t *testing.T) {
	tests := map[string][]syscall.Signal{
		"INT":            {syscall.SIGINT},
		"TERM then INT":  {syscall.SIGTERM, syscall.SIGINT},
		"TERM then TERM": {syscall.SIGTERM, syscall.SIGTERM},
		"INT and more":   {syscall.SIGINT, syscall.SIGTERM, syscall.SIGINT},
	}
	for name, signals := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Config{Workers: backends("busy"), GracefulTimeout: time.Minute}, func(w *world) {
				w.ready("busy")
				busy := w.proc("busy")
				busy.refuse()
				began := time.Now()
				for _, sig := range signals {
					w.signal(sig)
				}
				err := w.wait()
				if took := time.Since(began); took != 5*time.Second || ExitCode(err) != 1 {
					t.Errorf("ended after %v with %v, want 5s and code 1", took, err)
				}
				if diff := cmp.Diff([]syscall.Signal{syscall.SIGTERM, syscall.SIGKILL}, busy.signals()); diff != "" {
					t.Errorf("TERM once, then KILL (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestChildThatEndsWithTheGroupIsNotStartedAgain(t *testing.T) {
	inBubble(t, Config{Workers: backends("rbd0")}, func(w *world) {
		w.ready("rbd0")
		p := w.proc("rbd0")
		w.signals <- syscall.SIGTERM // both at once, in either order
		p.exit(Exit{})
		if err := w.wait(); err != nil || w.starts("rbd0") != 1 {
			t.Errorf("Run = %v after %d starts", err, w.starts("rbd0"))
		}
	})
}

func TestChildThatEndsBySignalBeforeItServesHasLostNothing(t *testing.T) {
	tests := map[string]struct {
		served bool
		signal syscall.Signal
		want   int
	}{
		"TERM in init":  {false, syscall.SIGTERM, 0},
		"INT in init":   {false, syscall.SIGINT, 0},
		"TERM at work":  {true, syscall.SIGTERM, 1},
		"crash in init": {false, syscall.SIGSEGV, 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Config{Workers: backends("rbd0")}, func(w *world) {
				if tc.served {
					w.ready("rbd0")
				}
				w.proc("rbd0").refuse()
				w.signal(syscall.SIGINT)
				w.die("rbd0", Exit{Code: -1, Signal: tc.signal})
				if got := ExitCode(w.wait()); got != tc.want {
					t.Errorf("exit code %d, want %d", got, tc.want)
				}
			})
		})
	}
}

func TestChildThatCannotBeStartedIsTriedAgain(t *testing.T) {
	inBubble(t, Config{Workers: backends("rbd0")}, func(w *world) {
		w.ready("rbd0")
		w.failStarts(syscall.EAGAIN)
		w.die("rbd0", Exit{Code: 1})
		if got := w.status("rbd0"); got.State != Backoff || !strings.Contains(got.Reason, "cannot start") {
			t.Errorf("status: %+v", got)
		}
		w.failStarts(nil)
		virtual.Pass(time.Second)
		if w.starts("rbd0") != 2 || w.status("rbd0").State != lifeline.Init {
			t.Errorf("not started again: %+v", w.status("rbd0"))
		}
		w.signal(syscall.SIGTERM)
		_ = w.wait() // how it ends is another test's matter
	})
}

func TestOnChangeTellsEveryState(t *testing.T) {
	var states []State
	cfg := Config{Workers: backends("rbd0"), OnChange: func(c ChildStatus) { states = append(states, c.State) }}
	inBubble(t, cfg, func(w *world) {
		w.ready("rbd0")
		w.say("rbd0", lifeline.Message{State: lifeline.Degraded, Reason: "pool is gone"})
		w.proc("rbd0").refuse()
		w.signal(syscall.SIGTERM)
		w.say("rbd0", lifeline.Message{Stopping: true, State: lifeline.Draining})
		w.die("rbd0", Exit{})
		_ = w.wait() // how it ends is another test's matter
	})
	want := []State{Starting, lifeline.Init, lifeline.Ready, lifeline.Degraded, lifeline.Draining, Stopped}
	if diff := cmp.Diff(want, dedupe(states)); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
}

func dedupe(states []State) []State {
	var out []State
	for _, s := range states {
		if len(out) == 0 || out[len(out)-1] != s {
			out = append(out, s)
		}
	}
	return out
}

func TestIdleSupervisorSetsNoTimer(t *testing.T) {
	inBubble(t, Config{Workers: backends("rbd0")}, func(w *world) {
		w.ready("rbd0")
		if at := w.sup.next(time.Now()); !at.IsZero() {
			t.Errorf("wakes up at %v although nothing is due", at)
		}
		w.signal(syscall.SIGTERM)
		_ = w.wait() // how it ends is another test's matter
	})
}

func TestValidateReportsEverything(t *testing.T) {
	_, err := New(Config{
		StatePath:       "relative",
		Workers:         backends("a", "a", "", "x/y"),
		GracefulTimeout: -1,
	}, hclog.NewNullLogger())
	for _, want := range []string{"state path", "used twice", `child ""`, `"x/y"`, "graceful timeout"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %q", err, want)
		}
	}
	if fault.KindOf(err) != fault.Invalid {
		t.Errorf("kind %q", fault.KindOf(err))
	}
	if _, err := New(Config{StatePath: "/state"}, hclog.NewNullLogger()); err == nil || !strings.Contains(err.Error(), "no backend") {
		t.Errorf("no workers: %v", err)
	}
}
