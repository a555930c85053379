package supervisor

import (
	"bytes"
	"context"
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

// What happens to a pair, a process and its replacement, while it is one.

// pair is a backend whose replacement sets itself up.
func inPair(t *testing.T, test func(r *reloading, old, next *fakeProcess, done <-chan reloaded)) {
	inReloading(t, []Spec{backend("rbd0", "1", "a", "x"), backend("rbd1", "1", "a", "x")}, func(r *reloading) {
		old := r.proc("rbd0")
		r.plan.Workers = []Spec{backend("rbd0", "1", "b", "x"), backend("rbd1", "1", "a", "x")}
		done := r.reload()
		test(r, old, r.proc("rbd0"), done)
	})
}

func TestPairIsStopped(t *testing.T) {
	inPair(t, func(r *reloading, old, next *fakeProcess, done <-chan reloaded) {
		next.refuse() // it is in the middle of a call
		if err := r.sup.Stop(r.t.Context(), "rbd0"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if next.isTold() {
			t.Error("the replacement of a stopped backend was told to begin")
		}
		virtual.Pass(5 * time.Second) // until it is killed
		if s := r.status("rbd0"); s.State != Stopped || s.PID != 0 || r.starts("rbd0") != 2 {
			t.Errorf("stopped: %+v, %d starts", s, r.starts("rbd0"))
		}
		if o := ended(t, done).what(t, "rbd0"); o.Error != "was stopped meanwhile" {
			t.Errorf("outcome %+v", o)
		}
	})
}

func TestPairLeaves(t *testing.T) {
	inReloading(t, []Spec{backend("rbd0", "1", "a", "x"), backend("rbd1", "1", "a", "x")}, func(r *reloading) {
		r.plan.Workers = []Spec{backend("rbd0", "1", "b", "x"), backend("rbd1", "1", "a", "x")}
		r.interruptedReload()
		next := r.proc("rbd0")
		next.refuse() // it is in the middle of a call
		r.plan.Workers = r.plan.Workers[1:]
		done := r.reload()
		virtual.Pass(5 * time.Second) // until it is killed
		if got := ended(t, done); got.what(t, "rbd0").What != Removed || len(r.sup.Status()) != 1 || next.isTold() {
			t.Errorf("removal: %+v, left %+v", got, r.sup.Status())
		}
	})
}

// interruptedReload is one whose caller does not wait for its end.
func (r *reloading) interruptedReload() {
	r.t.Helper()
	ctx, leave := context.WithCancel(r.t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := r.sup.Reload(ctx)
		first <- err
	}()
	synctest.Wait()
	leave()
	if err := <-first; !errors.Is(err, fault.Unavailable) {
		r.t.Errorf("the interrupted reload: %v", err)
	}
}

func TestReplacementThatNeverServes(t *testing.T) {
	for name, end := range map[string]func(r *reloading){
		"dies":          func(r *reloading) { r.die("rbd0", Exit{Code: lifeline.ExitConfig}) },
		"does not come": func(r *reloading) { virtual.Pass(time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			inPair(t, func(r *reloading, old, next *fakeProcess, done <-chan reloaded) {
				r.say("rbd0", lifeline.Message{State: lifeline.Warm}) // the one before ends
				r.say("rbd0", lifeline.Message{State: lifeline.Degraded, Reason: "no pool b"})
				end(r)
				if p := r.proc("rbd0"); string(p.spec.Snapshot) != "1 a x" || p.replaces != 0 {
					t.Errorf("the way back leads to %s", p.spec.Snapshot)
				}
				r.ready("rbd0")
				if o := ended(t, done).what(t, "rbd0"); o.Error == "" {
					t.Errorf("outcome %+v", o)
				}
				if s := r.status("rbd0"); !cmp.Equal(s.Pending, []string{"rbd_pool"}) {
					t.Errorf("pending %v", s.Pending)
				}
			})
		})
	}
}

// How long the process before takes to end is not held against one that is warm.
func TestWarmReplacementIsNeverLate(t *testing.T) {
	inPair(t, func(r *reloading, old, next *fakeProcess, done <-chan reloaded) {
		old.refuse()
		virtual.Pass(59 * time.Second)
		r.say("rbd0", lifeline.Message{State: lifeline.Warm})
		virtual.Pass(9 * time.Second)
		old.exit(Exit{})
		synctest.Wait()
		if got := next.signals(); len(got) > 0 || !next.isTold() {
			t.Fatalf("signals %v, told %v", got, next.isTold())
		}
		r.ready("rbd0")
		if o := ended(t, done).what(t, "rbd0"); o.Error != "" || o.After != next.pid {
			t.Errorf("outcome %+v", o)
		}
	})
}

// A replacement that dies while the process before ends for it leaves a gap, and the
// log does not deny that.
func TestReplacementDiesWhileTheOldOneEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		cfg := Config{Workers: []Spec{backend("rbd0", "1", "a", "x")}, Reread: func() (Config, error) {
			return Config{StatePath: "/state", Workers: []Spec{backend("rbd0", "1", "b", "x")}, Policy: Policy{RenewChanged: true}}, nil
		}}
		w := newWorld(t, cfg, hclog.New(&hclog.LoggerOptions{Output: &out}))
		w.ready("rbd0")
		old := w.proc("rbd0")
		old.refuse()
		w.signal(syscall.SIGHUP)
		w.say("rbd0", lifeline.Message{State: lifeline.Warm})
		w.die("rbd0", Exit{Code: lifeline.ExitPanic})
		old.exit(Exit{})
		synctest.Wait()
		if p := w.proc("rbd0"); string(p.spec.Snapshot) != "1 a x" || w.starts("rbd0") != 3 {
			t.Errorf("runs with %s after %d starts", p.spec.Snapshot, w.starts("rbd0"))
		}
		w.ready("rbd0")
		w.signal(syscall.SIGTERM)
		_ = w.wait() // how it ends is another test's matter
		if log := out.String(); strings.Contains(log, "goes on") || !strings.Contains(log, "is ending and is started again") {
			t.Errorf("log:\n%s", log)
		}
	})
}

func TestOldOneOfAPairDies(t *testing.T) {
	inPair(t, func(r *reloading, old, next *fakeProcess, done <-chan reloaded) {
		old.exit(Exit{Code: lifeline.ExitPanic})
		synctest.Wait()
		r.ready("rbd0")
		if s := r.status("rbd0"); s.Restarts != 1 || s.PID != next.pid {
			t.Errorf("after the death: %+v", s)
		}
		if o := ended(t, done).what(t, "rbd0"); o.Error != "" {
			t.Errorf("outcome %+v", o)
		}
	})
}

// That live options have reached the process which came back does not make up for the
// replacement that failed.
func TestFallBackIsToldBesideLiveOptions(t *testing.T) {
	inReloading(t, []Spec{backend("rbd0", "1", "a", "x")}, func(r *reloading) {
		r.plan.Workers = []Spec{backend("rbd0", "2", "b", "x")}
		done := r.reload()
		r.say("rbd0", lifeline.Message{State: lifeline.Warm}) // the one before ends
		r.die("rbd0", Exit{Code: lifeline.ExitConfig})
		r.ready("rbd0")
		if got := r.proc("rbd0").snapshots(); len(got) != 1 {
			t.Errorf("tuned with %v", got)
		}
		if o := ended(t, done).what(t, "rbd0"); !strings.Contains(o.Error, "bad configuration") {
			t.Errorf("outcome %+v", o)
		}
	})
}

// A deadline is one process's: that of a replacement which was stopped before it served
// does not end the one that is started later.
func TestStopOfAReplacementThatHasNotServed(t *testing.T) {
	inPair(t, func(r *reloading, old, next *fakeProcess, done <-chan reloaded) {
		r.say("rbd0", lifeline.Message{State: lifeline.Warm}) // the one before ends
		if err := r.sup.Stop(r.t.Context(), "rbd0"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		virtual.Pass(50 * time.Second)
		if err := r.sup.Start(r.t.Context(), "rbd0"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		virtual.Pass(time.Hour) // it sets itself up
		if p := r.proc("rbd0"); r.starts("rbd0") != 3 || string(p.spec.Snapshot) != "1 b x" || len(p.signals()) > 0 {
			t.Errorf("%d starts, the last with %s, signals %v", r.starts("rbd0"), p.spec.Snapshot, p.signals())
		}
	})
}

// One that is corrected before it has served leaves the next its whole time, and the
// way back leads to what has worked.
func TestCorrectionOfAReplacementThatHasNotServed(t *testing.T) {
	for name, state := range map[string]State{"dies": lifeline.Init, "is replaced": lifeline.Degraded} {
		t.Run(name, func(t *testing.T) {
			inReloading(t, []Spec{backend("rbd0", "1", "a", "x")}, func(r *reloading) {
				r.plan.Workers = []Spec{backend("rbd0", "1", "b", "x")}
				r.interruptedReload()
				r.say("rbd0", lifeline.Message{State: lifeline.Warm}) // the one before ends
				r.say("rbd0", lifeline.Message{State: state})
				virtual.Pass(50 * time.Second)
				r.plan.Workers = []Spec{backend("rbd0", "1", "c", "x")}
				done := r.reload()
				if state == lifeline.Init {
					r.die("rbd0", Exit{Code: lifeline.ExitError})
				} else {
					r.say("rbd0", lifeline.Message{State: lifeline.Warm})
				}
				p := r.proc("rbd0")
				virtual.Pass(59 * time.Second)
				if string(p.spec.Snapshot) != "1 c x" || len(p.signals()) > 0 || r.starts("rbd0") != 3 {
					t.Fatalf("%d starts, the last with %s, signals %v", r.starts("rbd0"), p.spec.Snapshot, p.signals())
				}
				virtual.Pass(time.Second)
				if p := r.proc("rbd0"); string(p.spec.Snapshot) != "1 a x" {
					t.Errorf("the way back leads to %s", p.spec.Snapshot)
				}
				r.ready("rbd0")
				if o := ended(t, done).what(t, "rbd0"); o.Error == "" {
					t.Errorf("outcome %+v", o)
				}
			})
		})
	}
}

// A stop gives the work its whole time, also that of a process which has just been asked
// to end for its replacement.
func TestStopDuringAHandOver(t *testing.T) {
	for name, stop := range map[string]func(r *reloading){
		"of the service": func(r *reloading) { r.signal(syscall.SIGTERM) },
		"of the backend": func(r *reloading) {
			if err := r.sup.Stop(r.t.Context(), "rbd0"); err != nil {
				r.t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inPair(t, func(r *reloading, old, next *fakeProcess, done <-chan reloaded) {
				old.refuse()
				r.say("rbd0", lifeline.Message{State: lifeline.Warm})
				virtual.Pass(5 * time.Second)
				stop(r)
				virtual.Pass(time.Minute)
				if diff := cmp.Diff([]syscall.Signal{syscall.SIGTERM}, old.signals()); diff != "" {
					t.Errorf("signals (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff([]lifeline.Word{lifeline.HandOver, lifeline.HandBack}, old.heard()); diff != "" {
					t.Errorf("words (-want +got):\n%s", diff)
				}
				virtual.Pass(2 * time.Second)
				if e := r.status("rbd0").LastExit; e == nil || !e.CutOff || next.isTold() {
					t.Errorf("at the deadline of the stop: %+v; told %v", e, next.isTold())
				}
			})
		})
	}
}

// That the one before was asked to end is no reason to try the next start again and
// again without a delay.
func TestOldOneOfAPairCannotBeStartedAgain(t *testing.T) {
	inPair(t, func(r *reloading, old, next *fakeProcess, done <-chan reloaded) {
		old.refuse()
		r.say("rbd0", lifeline.Message{State: lifeline.Warm})
		next.exit(Exit{Code: lifeline.ExitError})
		synctest.Wait()
		r.failStarts(syscall.EAGAIN)
		old.exit(Exit{})
		synctest.Wait()
		if s := r.status("rbd0"); s.State != Backoff || !s.NextStart.After(time.Now()) {
			t.Errorf("status %+v", s)
		}
		r.failStarts(nil)
	})
}

// What is taken back before it has come to be does not come to be after all.
func TestReloadTakenBack(t *testing.T) {
	inReloading(t, []Spec{backend("rbd0", "1", "a", "x")}, func(r *reloading) {
		r.plan.Workers = []Spec{backend("rbd0", "1", "b", "x")}
		r.interruptedReload()
		r.plan.Workers = []Spec{backend("rbd0", "1", "a", "x")}
		done := r.reload()
		r.say("rbd0", lifeline.Message{State: lifeline.Warm})
		r.ready("rbd0")
		r.say("rbd0", lifeline.Message{State: lifeline.Warm})
		r.ready("rbd0")
		if o := ended(t, done).what(t, "rbd0"); o.Error != "" {
			t.Errorf("outcome %+v", o)
		}
		if p := r.proc("rbd0"); string(p.spec.Snapshot) != "1 a x" || r.starts("rbd0") != 3 {
			t.Errorf("serves with %s after %d starts", p.spec.Snapshot, r.starts("rbd0"))
		}
	})
}

func TestCorrectedWhileItSetsItselfUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Workers: []Spec{backend("rbd0", "1", "bad", "x")}, Reread: func() (Config, error) {
			return Config{StatePath: "/state", Workers: []Spec{backend("rbd0", "1", "good", "x")}, Policy: Policy{RenewChanged: true}}, nil
		}}, nil)
		w.signal(syscall.SIGHUP)
		w.die("rbd0", Exit{Code: lifeline.ExitConfig})
		if p := w.proc("rbd0"); string(p.spec.Snapshot) != "1 good x" || w.starts("rbd0") != 2 || !w.running() {
			t.Errorf("runs with %s after %d starts; running %v", p.spec.Snapshot, w.starts("rbd0"), w.running())
		}
		w.signal(syscall.SIGTERM)
		_ = w.wait() // how it ends is another test's matter
	})
}

// Who is told to beat every 5 s is not held to 1 s because the next one will be.
func TestWatchdogOfARunningProcess(t *testing.T) {
	inReloading(t, []Spec{backend("rbd0", "1", "a", "x")}, func(r *reloading) {
		r.say("rbd0", lifeline.Message{Beat: true})
		r.plan.Policy.WatchdogTimeout = time.Second
		_ = ended(t, r.reload())
		virtual.Pass(20 * time.Second)
		if got := r.proc("rbd0").signals(); len(got) > 0 {
			t.Errorf("signals %v", got)
		}
		virtual.Pass(15 * time.Second)
		if got := r.proc("rbd0"); r.starts("rbd0") != 2 {
			t.Errorf("a process that has hung by its own measure: %d starts, signals %v", r.starts("rbd0"), got.signals())
		}
	})
}

func TestNewBackendBesideAChangeOfTheService(t *testing.T) {
	inReloading(t, []Spec{backend("rbd0", "1", "a", "x")}, func(r *reloading) {
		r.plan.Settings = []Setting{{"[database] connection", "y", Service}}
		r.plan.Workers = []Spec{backend("rbd0", "1", "a", "y"), backend("rbd1", "1", "a", "y")}
		got := ended(t, r.reload())
		if got.what(t, "rbd1").What != Waits || got.what(t, "rbd0").What != Waits {
			t.Errorf("outcomes %+v", got.Outcomes)
		}
		if s := r.status("rbd1"); r.starts("rbd1") != 0 || s.State != Failed || !strings.Contains(s.Reason, "[database] connection") {
			t.Errorf("the new one: %+v", s)
		}
		r.plan.Settings = nil
		r.plan.Workers = []Spec{backend("rbd0", "1", "a", "x"), backend("rbd1", "1", "a", "x")}
		done := r.reload()
		r.ready("rbd1")
		if o := ended(t, done).what(t, "rbd1"); o.What != Started || o.Error != "" {
			t.Errorf("once that is taken back: %+v", o)
		}
	})
}

// A backend that is renamed beside a change of the service goes on: its new name could
// not be started, and nothing would serve.
func TestRemovalBesideAChangeOfTheService(t *testing.T) {
	inReloading(t, []Spec{backend("rbd0", "1", "a", "x")}, func(r *reloading) {
		r.plan.Settings = []Setting{{"[database] connection", "y", Service}}
		r.plan.Workers = []Spec{backend("rbd1", "1", "a", "y")}
		got := ended(t, r.reload())
		if got.what(t, "rbd0").What != Waits || got.what(t, "rbd1").What != Waits {
			t.Errorf("outcomes %+v", got.Outcomes)
		}
		if s := r.status("rbd0"); s.State != lifeline.Ready || len(r.proc("rbd0").signals()) > 0 || !r.running() {
			t.Errorf("the one that has to go on: %+v", s)
		}
		r.plan.Workers = []Spec{backend("rbd2", "1", "a", "y")}
		if o := ended(t, r.reload()).what(t, "rbd1"); o.What != Removed {
			t.Errorf("one that has never run: %+v", o)
		}
		r.plan.Settings = nil
		r.plan.Workers = []Spec{backend("rbd1", "1", "a", "x")}
		done := r.reload()
		r.ready("rbd1")
		if o := ended(t, done).what(t, "rbd0"); o.What != Removed || len(r.sup.Status()) != 1 {
			t.Errorf("once that is taken back: %+v, left %+v", o, r.sup.Status())
		}
	})
}

// What is still on its way when the service stops has not come to be.
func TestServiceStopsBeforeABackendHasCome(t *testing.T) {
	inReloading(t, []Spec{backend("rbd0", "1", "a", "x")}, func(r *reloading) {
		for i := range 5 {
			r.plan.Workers = append(r.plan.Workers, backend(fmt.Sprint("new", i), "1", "a", "x"))
		}
		done := r.reload()
		r.proc("rbd0").refuse()
		r.signal(syscall.SIGTERM)
		if o := ended(t, done).what(t, "new4"); o.What != Added || o.Error == "" || r.starts("new4") != 0 {
			t.Errorf("the one that waited for its turn: %+v", o)
		}
		r.proc("rbd0").exit(Exit{})
	})
}

func TestStopCutsARestartShort(t *testing.T) {
	inReloading(t, []Spec{backend("rbd0", "1", "a", "x")}, func(r *reloading) {
		done := make(chan error, 1)
		go func() {
			_, err := r.sup.Restart(r.t.Context(), "rbd0")
			done <- err
		}()
		synctest.Wait()
		r.signal(syscall.SIGTERM)
		if err := <-done; !errors.Is(err, fault.Unavailable) {
			t.Errorf("the restart: %v", err)
		}
	})
}

func TestStopOfABackendCutsItsRestartShort(t *testing.T) {
	inReloading(t, []Spec{backend("rbd0", "1", "a", "x")}, func(r *reloading) {
		done := make(chan error, 1)
		go func() {
			_, err := r.sup.Restart(r.t.Context(), "rbd0")
			done <- err
		}()
		synctest.Wait()
		r.proc("rbd0").refuse() // it drains for long
		if err := r.sup.Stop(r.t.Context(), "rbd0"); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if got := ended(t, r.reload()); got.err != nil || len(got.Failed()) > 0 {
			t.Errorf("a reload while it drains: %+v", got)
		}
		if err := <-done; !errors.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "was stopped") {
			t.Errorf("the restart: %v", err)
		}
	})
}

func TestReloadWhileTheDatabaseIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plan := Config{StatePath: "/state", Once: backends("db-sync"), Workers: backends("rbd0")}
		cfg := plan
		plan.Workers = backends("rbd0", "rbd1")
		cfg.Reread = func() (Config, error) { return plan, nil }
		w := newWorld(t, cfg, nil)
		got, err := w.sup.Reload(t.Context())
		if err != nil || len(got.Failed()) != 1 {
			t.Errorf("reload: %+v, %v", got, err)
		}
		w.signal(syscall.SIGTERM)
		_ = w.wait() // how it ends is another test's matter
	})
}
