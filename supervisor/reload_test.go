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
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/virtual"
	"github.com/volumed/volumed/supervisor/lifeline"
)

// backend is a backend with the values of one option of each scope.
func backend(name, live, own, service string) Spec {
	return Spec{
		Name: name, Snapshot: []byte(fmt.Sprintf("%s %s %s", live, own, service)),
		Settings: []Setting{{"report_interval", live, Live}, {"rbd_pool", own, Backend}, {"connection", service, Service}},
	}
}

// reloading is a world whose configuration can be changed.
type reloading struct {
	*world
	plan Config
	bad  error
}

// inReloading runs the test over backends that are ready, with reloads that replace.
func inReloading(t *testing.T, specs []Spec, test func(*reloading)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &reloading{plan: Config{StatePath: "/state", Workers: specs, GracefulTimeout: time.Minute, Policy: Policy{RenewChanged: true}}}
		cfg := r.plan
		cfg.Reread = func() (Config, error) { return r.plan, r.bad }
		r.world = newWorld(t, cfg, nil)
		for _, s := range specs {
			r.ready(s.Name)
		}
		test(r)
		r.signal(syscall.SIGTERM)
		_ = r.wait() // how it ends is another test's matter
	})
}

// reload begins a reload; the channel gets its outcome.
func (r *reloading) reload() <-chan reloaded {
	done := make(chan reloaded, 1)
	go func() {
		var end reloaded
		end.Reloaded, end.err = r.sup.Reload(r.t.Context())
		done <- end
	}()
	synctest.Wait()
	return done
}

type reloaded struct {
	Reloaded
	err error
}

// ended returns the outcome of a reload that must have come to its end.
func ended(t *testing.T, done <-chan reloaded) reloaded {
	t.Helper()
	select {
	case r := <-done:
		return r
	default:
		t.Fatal("the reload has not ended")
		return reloaded{}
	}
}

func (r reloaded) what(t *testing.T, backend string) Outcome {
	t.Helper()
	for _, o := range r.Outcomes {
		if o.Backend == backend {
			return o
		}
	}
	t.Fatalf("no outcome of %s in %+v, %v", backend, r.Outcomes, r.err)
	return Outcome{}
}

func TestReloadOfABadFileChangesNothing(t *testing.T) {
	inReloading(t, []Spec{backend("rbd0", "1", "a", "x")}, func(r *reloading) {
		r.bad = fault.New(fault.Invalid, "volumed.conf:7: no such option")
		r.plan.Workers = []Spec{backend("rbd0", "2", "b", "y")}
		if got := ended(t, r.reload()); !errors.Is(got.err, fault.Invalid) || !strings.Contains(got.err.Error(), "volumed.conf:7") {
			t.Errorf("reload = %v", got.err)
		}
		for range 100 {
			r.signal(syscall.SIGHUP)
		}
		r.bad, r.plan.Workers = nil, nil // parses, but enables nothing
		if got := ended(t, r.reload()); !errors.Is(got.err, fault.Invalid) {
			t.Errorf("reload of nothing = %v", got.err)
		}
		if got := r.status("rbd0"); r.starts("rbd0") != 1 || len(r.proc("rbd0").signals()) > 0 || len(got.Pending) > 0 || got.State != lifeline.Ready {
			t.Errorf("after bad reloads: %+v, %d starts", got, r.starts("rbd0"))
		}
	})
}

func TestReloadReplacesOnlyWhatChanged(t *testing.T) {
	inReloading(t, []Spec{backend("rbd0", "1", "a", "x"), backend("rbd1", "1", "a", "x")}, func(r *reloading) {
		old := r.proc("rbd0")
		r.plan.Workers = []Spec{backend("rbd0", "1", "b", "x"), backend("rbd1", "1", "a", "x")}
		done := r.reload()
		next := r.proc("rbd0")
		if next == old || next.replaces != old.pid || next.isTold() || len(old.signals()) > 0 {
			t.Fatalf("replacement of %d: %+v", old.pid, next)
		}
		if got := r.status("rbd0"); got.PID != old.pid || got.State != lifeline.Ready || got.Replacement == nil || got.Replacement.PID != next.pid {
			t.Errorf("while it sets itself up: %+v", got)
		}
		old.refuse()
		r.say("rbd0", lifeline.Message{State: lifeline.Warm})
		if diff := cmp.Diff([]syscall.Signal{syscall.SIGTERM}, old.signals()); diff != "" || next.isTold() {
			t.Errorf("the one before, once the next is warm (-want +got):\n%s; told %v", diff, next.isTold())
		}
		if diff := cmp.Diff([]lifeline.Word{lifeline.HandOver}, old.heard()); diff != "" {
			t.Errorf("the one before is told (-want +got):\n%s", diff)
		}
		old.exit(Exit{})
		synctest.Wait()
		if !next.isTold() {
			t.Error("the next one was not told that the backend is its own")
		}
		select {
		case got := <-done:
			t.Fatalf("ended before the next one serves: %+v", got)
		default:
		}
		r.ready("rbd0")
		got := ended(t, done)
		want := []Outcome{
			{Backend: "rbd0", What: Replaced, Options: []string{"rbd_pool"}, Before: old.pid, After: next.pid},
			{Backend: "rbd1", What: Unchanged, Before: r.proc("rbd1").pid, After: r.proc("rbd1").pid},
		}
		if diff := cmp.Diff(want, got.Outcomes, cmpopts.EquateEmpty()); diff != "" || got.err != nil {
			t.Errorf("outcomes (-want +got):\n%s, %v", diff, got.err)
		}
		after := r.status("rbd0")
		if after.PID != next.pid || after.Restarts != 0 || after.Generation != 2 || after.Replacement != nil || len(after.Pending) > 0 {
			t.Errorf("afterwards: %+v", after)
		}
		if r.starts("rbd1") != 1 || r.starts("rbd0") != 2 {
			t.Errorf("starts: rbd0 %d, rbd1 %d", r.starts("rbd0"), r.starts("rbd1"))
		}
		r.die("rbd0", Exit{Code: 1})
		if p := r.proc("rbd0"); string(p.spec.Snapshot) != "1 b x" || p.replaces != 0 {
			t.Errorf("the one after a death has %s", p.spec.Snapshot)
		}
	})
}

func TestReplacementThatDoesNotComeToBe(t *testing.T) {
	for name, fail := range map[string]func(r *reloading){
		"dies":        func(r *reloading) { r.die("rbd0", Exit{Code: lifeline.ExitConfig}) },
		"is too late": func(r *reloading) { virtual.Pass(time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			inReloading(t, []Spec{backend("rbd0", "1", "a", "x")}, func(r *reloading) {
				old := r.proc("rbd0")
				r.plan.Workers = []Spec{backend("rbd0", "1", "b", "x")}
				done := r.reload()
				r.say("rbd0", lifeline.Message{State: lifeline.Degraded, Reason: "no pool b"})
				fail(r)
				got := ended(t, done)
				if o := got.what(t, "rbd0"); o.Error == "" || o.After != old.pid || got.Failed()[0] != "rbd0" {
					t.Errorf("outcome %+v", o)
				}
				if s := r.status("rbd0"); s.PID != old.pid || s.State != lifeline.Ready || !cmp.Equal(s.Pending, []string{"rbd_pool"}) || len(old.signals()) > 0 {
					t.Errorf("the one before: %+v, signals %v", s, old.signals())
				}
				old.exit(Exit{Code: 1})
				synctest.Wait()
				if p := r.proc("rbd0"); string(p.spec.Snapshot) != "1 a x" {
					t.Errorf("started again with %s instead of what worked", p.spec.Snapshot)
				}
			})
		})
	}
}

func TestReplacedProcessThatDiesMeanwhile(t *testing.T) {
	inReloading(t, []Spec{backend("rbd0", "1", "a", "x")}, func(r *reloading) {
		old := r.proc("rbd0")
		r.plan.Workers = []Spec{backend("rbd0", "1", "b", "x")}
		done := r.reload()
		next := r.proc("rbd0")
		old.exit(Exit{Code: -1, Signal: syscall.SIGKILL})
		synctest.Wait()
		if !next.isTold() || r.starts("rbd0") != 2 {
			t.Fatalf("told %v, %d starts", next.isTold(), r.starts("rbd0"))
		}
		r.ready("rbd0")
		if o := ended(t, done).what(t, "rbd0"); o.Error != "" || o.After != next.pid {
			t.Errorf("outcome %+v", o)
		}
	})
}

func TestOldProcessThatDoesNotEnd(t *testing.T) {
	inReloading(t, []Spec{backend("rbd0", "1", "a", "x")}, func(r *reloading) {
		old := r.proc("rbd0")
		old.refuse()
		r.plan.Workers = []Spec{backend("rbd0", "1", "b", "x")}
		done := r.reload()
		r.say("rbd0", lifeline.Message{State: lifeline.Warm})
		virtual.Pass(handOverTimeout)
		r.ready("rbd0")
		if o := ended(t, done).what(t, "rbd0"); o.Error != "" || o.After == old.pid {
			t.Errorf("outcome %+v", o)
		}
		if diff := cmp.Diff([]syscall.Signal{syscall.SIGTERM, syscall.SIGKILL}, old.signals()); diff != "" {
			t.Errorf("signals (-want +got):\n%s", diff)
		}
	})
}

func TestReloadTunesInPlace(t *testing.T) {
	inReloading(t, []Spec{backend("rbd0", "1", "a", "x")}, func(r *reloading) {
		r.plan.Workers = []Spec{backend("rbd0", "2", "a", "x")}
		got := ended(t, r.reload())
		if o := got.what(t, "rbd0"); o.What != Tuned || !cmp.Equal(o.Options, []string{"report_interval"}) {
			t.Errorf("outcome %+v", o)
		}
		p := r.proc("rbd0")
		if diff := cmp.Diff([]string{"2 a x"}, p.snapshots()); diff != "" || r.starts("rbd0") != 1 {
			t.Errorf("tuned (-want +got):\n%s", diff)
		}
		p.beDeaf(errors.New("no answer"))
		r.plan.Workers = []Spec{backend("rbd0", "3", "a", "x")}
		if o := ended(t, r.reload()).what(t, "rbd0"); !strings.Contains(o.Error, "no answer") {
			t.Errorf("a process that is deaf: %+v", o)
		}
		if s := r.status("rbd0"); !cmp.Equal(s.Pending, []string{"report_interval"}) {
			t.Errorf("pending %v", s.Pending)
		}
		r.die("rbd0", Exit{Code: 1})
		if p := r.proc("rbd0"); string(p.spec.Snapshot) != "3 a x" {
			t.Errorf("started again with %s", p.spec.Snapshot)
		}
	})
}

func TestWhatConcernsTheServiceWaits(t *testing.T) {
	inReloading(t, []Spec{backend("rbd0", "1", "a", "x")}, func(r *reloading) {
		r.plan.Workers = []Spec{backend("rbd0", "2", "b", "y")}
		r.plan.Settings = []Setting{{"state_path", "/elsewhere", Service}}
		got := ended(t, r.reload())
		if o := got.what(t, "rbd0"); o.What != Waits || !cmp.Equal(got.Pending, []string{"connection", "state_path"}) {
			t.Errorf("outcome %+v, pending %v", o, got.Pending)
		}
		if s := r.status("rbd0"); !cmp.Equal(s.Pending, []string{"connection", "rbd_pool"}) {
			t.Errorf("pending %v", s.Pending)
		}
		if diff := cmp.Diff([]string{"2 b y"}, r.proc("rbd0").snapshots()); diff != "" {
			t.Errorf("live options (-want +got):\n%s", diff)
		}
		r.die("rbd0", Exit{Code: 1})
		p := r.proc("rbd0")
		if string(p.spec.Snapshot) != "1 a x" {
			t.Errorf("a death brings %s into effect", p.spec.Snapshot)
		}
		r.ready("rbd0")
		if diff := cmp.Diff([]string{"2 b y"}, p.snapshots()); diff != "" {
			t.Errorf("live options of the next process (-want +got):\n%s", diff)
		}
	})
}

// What the supervisor takes over itself is told as well, with when it takes effect; no
// backend waits for it.
func TestReloadTellsOfTheSupervisorItself(t *testing.T) {
	own := func(burst, watchdog, sync string) []Setting {
		return []Setting{{"restart_burst", burst, Own}, {"watchdog_timeout", watchdog, Births}, {"db_sync_timeout", sync, Start}}
	}
	r := &reloading{plan: Config{StatePath: "/state", Workers: []Spec{backend("rbd0", "1", "a", "x")}, Settings: own("1", "1", "1")}}
	cfg := r.plan
	cfg.Reread = func() (Config, error) { return r.plan, nil }
	inBubble(t, cfg, func(w *world) {
		r.world = w
		r.ready("rbd0")
		pid := r.proc("rbd0").pid
		none := Outcome{Backend: "rbd0", What: Unchanged, Before: pid, After: pid}
		for _, tc := range []struct {
			settings []Setting
			want     []Outcome
		}{
			{own("2", "2", "2"), []Outcome{
				{Backend: Itself, What: Tuned, Options: []string{"restart_burst"}},
				{Backend: Itself, What: Hereafter, Options: []string{"watchdog_timeout"}},
				{Backend: Itself, What: NextStart, Options: []string{"db_sync_timeout"}},
				none,
			}},
			{own("2", "2", "2"), []Outcome{none}},
			{own("1", "2", "2"), []Outcome{{Backend: Itself, What: Tuned, Options: []string{"restart_burst"}}, none}},
		} {
			r.plan.Settings = tc.settings
			got := ended(t, r.reload())
			if diff := cmp.Diff(tc.want, got.Outcomes, cmpopts.EquateEmpty()); diff != "" || len(got.Pending) > 0 {
				t.Errorf("outcomes (-want +got):\n%s, pending %v", diff, got.Pending)
			}
		}
		r.signal(syscall.SIGTERM)
		_ = r.wait() // how it ends is another test's matter
	})
}

// A backend is not taken to another host by a reload or a restart: the next process
// would serve that under the lock of this one, and nobody would serve this one.
func TestHostOfABackendWaits(t *testing.T) {
	on := func(name, own, host string) Spec {
		spec := backend(name, "1", own, "x")
		spec.Settings = append(spec.Settings, Setting{"[" + name + "] backend_host", host, Service})
		return spec
	}
	inReloading(t, []Spec{on("rbd0", "a", "here"), on("rbd1", "a", "here")}, func(r *reloading) {
		r.plan.Workers = []Spec{on("rbd0", "b", "there"), on("rbd1", "b", "here"), on("rbd2", "a", "here")}
		done := r.reload()
		r.say("rbd1", lifeline.Message{State: lifeline.Warm})
		r.ready("rbd1", "rbd2")
		got := ended(t, done)
		want := []string{"[rbd0] backend_host"}
		if !cmp.Equal(got.Pending, want) || !cmp.Equal(r.sup.Pending(), want) {
			t.Errorf("pending %v, %v", got.Pending, r.sup.Pending())
		}
		if a, b, c := got.what(t, "rbd0").What, got.what(t, "rbd1").What, got.what(t, "rbd2").What; a != Waits || b != Replaced || c != Added || r.starts("rbd0") != 1 {
			t.Errorf("outcomes %+v", got.Outcomes)
		}
		var o Outcome
		restarted := make(chan error, 1)
		go func() {
			var err error
			o, err = r.sup.Restart(r.t.Context(), "rbd0")
			restarted <- err
		}()
		synctest.Wait()
		r.say("rbd0", lifeline.Message{State: lifeline.Warm})
		r.ready("rbd0")
		if err := <-restarted; err != nil || o.What != AsItWas || !cmp.Equal(o.Options, []string{"[rbd0] backend_host", "rbd_pool"}) {
			t.Errorf("restart: %+v, %v", o, err)
		}
		if p := r.proc("rbd0"); string(p.spec.Snapshot) != "1 a x" {
			t.Errorf("restarted with %s", p.spec.Snapshot)
		}
		r.plan.Workers[0] = on("rbd0", "a", "here")
		if got := ended(t, r.reload()); len(got.Pending) > 0 || got.what(t, "rbd0").What != Unchanged {
			t.Errorf("once that is taken back: %+v", got)
		}
	})
}

func TestBackendsComeAndGo(t *testing.T) {
	inReloading(t, []Spec{backend("rbd0", "1", "a", "x"), backend("rbd1", "1", "a", "x")}, func(r *reloading) {
		leaving := r.proc("rbd0")
		leaving.refuse()
		r.plan.Workers = []Spec{backend("rbd2", "1", "c", "x"), backend("rbd1", "1", "a", "x")}
		done := r.reload()
		r.ready("rbd2")
		if diff := cmp.Diff([]syscall.Signal{syscall.SIGTERM}, leaving.signals()); diff != "" {
			t.Errorf("signals (-want +got):\n%s", diff)
		}
		leaving.exit(Exit{})
		synctest.Wait()
		got := ended(t, done)
		var names []string
		for _, c := range r.sup.Status() {
			names = append(names, c.Name)
		}
		if diff := cmp.Diff([]string{"rbd2", "rbd1"}, names); diff != "" {
			t.Errorf("backends (-want +got):\n%s", diff)
		}
		if got.what(t, "rbd0").What != Removed || got.what(t, "rbd2").What != Added || got.what(t, "rbd2").After == 0 {
			t.Errorf("outcomes %+v", got.Outcomes)
		}
	})
}

// A backend that leaves takes as long as it needs to drain: nobody but who asked for
// that waits for it.
func TestReloadBesideABackendThatLeaves(t *testing.T) {
	specs := []Spec{backend("rbd0", "1", "a", "x"), backend("rbd1", "1", "a", "x")}
	inReloading(t, specs, func(r *reloading) {
		r.plan.GracefulTimeout = 0 // for ever
		leaving := r.proc("rbd0")
		leaving.refuse()
		r.plan.Workers = specs[1:]
		r.signal(syscall.SIGHUP)
		done := r.reload() // of the same
		r.plan.Workers = []Spec{specs[1], backend("rbd2", "1", "a", "x")}
		r.signal(syscall.SIGHUP)
		r.ready("rbd2")
		restarted := make(chan error, 1)
		go func() {
			_, err := r.sup.Restart(r.t.Context(), "rbd1")
			restarted <- err
		}()
		synctest.Wait()
		r.say("rbd1", lifeline.Message{State: lifeline.Warm})
		r.ready("rbd1")
		if err := <-restarted; err != nil {
			t.Errorf("restart: %v", err)
		}
		leaving.exit(Exit{})
		synctest.Wait()
		if o := ended(t, done).what(t, "rbd0"); o.What != Removed || o.Error != "" || len(r.sup.Status()) != 2 {
			t.Errorf("removal: %+v, left %+v", o, r.sup.Status())
		}
	})
}

// A backend that is enabled again while it drains comes back, with its new options.
func TestBackendThatLeavesComesBack(t *testing.T) {
	specs := []Spec{backend("rbd0", "1", "a", "x"), backend("rbd1", "1", "a", "x")}
	for name, tc := range map[string]struct {
		pair bool
		back Spec
	}{
		"as it was":          {false, specs[0]},
		"with other options": {false, backend("rbd0", "1", "b", "x")},
		"out of a pair":      {true, backend("rbd0", "1", "b", "x")},
	} {
		t.Run(name, func(t *testing.T) {
			inReloading(t, specs, func(r *reloading) {
				leaving := r.proc("rbd0")
				leaving.refuse()
				if tc.pair {
					r.plan.Workers = []Spec{backend("rbd0", "1", "c", "x"), specs[1]}
					r.interruptedReload()
				}
				r.plan.Workers = specs[1:]
				removed := r.reload()
				r.plan.Workers = []Spec{tc.back, specs[1]}
				added := r.reload()
				if o := ended(t, removed).what(t, "rbd0"); o.What != Removed || !strings.Contains(o.Error, "added again") {
					t.Errorf("removal: %+v", o)
				}
				leaving.exit(Exit{})
				synctest.Wait()
				if p := r.proc("rbd0"); p == leaving || !cmp.Equal(p.spec.Snapshot, tc.back.Snapshot) {
					t.Fatalf("serves with %s", p.spec.Snapshot)
				}
				r.ready("rbd0")
				if o := ended(t, added).what(t, "rbd0"); o.What != Added || o.Error != "" || o.After == 0 {
					t.Errorf("return: %+v", o)
				}
			})
		})
	}
}

// How a reload ends is in the log, also when nobody waits for it any more.
func TestInterruptedReloadIsToldInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		r := &reloading{plan: Config{StatePath: "/state", Workers: []Spec{backend("rbd0", "1", "a", "x")}, Policy: Policy{RenewChanged: true}}}
		cfg := r.plan
		cfg.Reread = func() (Config, error) { return r.plan, nil }
		r.world = newWorld(t, cfg, hclog.New(&hclog.LoggerOptions{Output: &out}))
		r.ready("rbd0")
		r.plan.Workers = []Spec{backend("rbd0", "1", "b", "x")}
		r.interruptedReload()
		r.say("rbd0", lifeline.Message{State: lifeline.Warm})
		r.ready("rbd0")
		r.signal(syscall.SIGTERM)
		_ = r.wait() // how it ends is another test's matter
		for _, want := range []string{"backend reloaded: backend=rbd0 outcome=replaced", "configuration reloaded: failed=[]"} {
			if n := strings.Count(out.String(), want); n != 1 {
				t.Errorf("%d times %q in\n%s", n, want, &out)
			}
		}
	})
}

func TestReloadMendsWhatHasFailed(t *testing.T) {
	bad := Spec{Name: "typo", Err: errors.New("volumed.conf:9: no such option")}
	inBubble(t, Config{Workers: []Spec{backend("rbd0", "1", "a", "x"), bad}}, func(w *world) {
		w.sup.cfg.Reread = func() (Config, error) {
			return Config{StatePath: "/state", Workers: []Spec{backend("rbd0", "1", "b", "x"), backend("typo", "1", "a", "x")}}, nil
		}
		w.die("rbd0", Exit{Code: lifeline.ExitUnavailable})
		w.signal(syscall.SIGHUP)
		if got := w.status("typo"); got.State != lifeline.Init {
			t.Errorf("corrected: %+v", got)
		}
		virtual.Pass(time.Minute)
		if p := w.proc("rbd0"); string(p.spec.Snapshot) != "1 b x" {
			t.Errorf("the one in its backoff starts with %s", p.spec.Snapshot)
		}
		w.signal(syscall.SIGTERM)
		_ = w.wait() // how it ends is another test's matter
	})
}

func TestReplacementsAreBounded(t *testing.T) {
	var before, after []Spec
	for i := range 10 {
		before = append(before, backend(fmt.Sprint("rbd", i), "1", "a", "x"))
		after = append(after, backend(fmt.Sprint("rbd", i), "1", "b", "x"))
	}
	inReloading(t, before, func(r *reloading) {
		r.plan.Workers = after
		_ = r.reload()
		atWork := func() (n int) {
			for _, c := range r.sup.Status() {
				if c.Replacement != nil {
					n++
				}
			}
			return n
		}
		if got := atWork(); got != 4 {
			t.Errorf("%d replacements at once, want 4", got)
		}
		r.say("rbd0", lifeline.Message{State: lifeline.Warm})
		r.ready("rbd0")
		if got := atWork(); got != 4 || r.starts("rbd4") != 2 {
			t.Errorf("%d replacements after the first, %d starts of the fifth", got, r.starts("rbd4"))
		}
	})
}

func TestOperatorStopsStartsAndRestarts(t *testing.T) {
	inReloading(t, []Spec{backend("rbd0", "1", "a", "x"), backend("rbd1", "1", "a", "x")}, func(r *reloading) {
		ctx := r.t.Context()
		if err := r.sup.Stop(ctx, "rbd7"); !errors.Is(err, fault.NotFound) {
			t.Errorf("stop of a stranger: %v", err)
		}
		if err := r.sup.Stop(ctx, "rbd0"); err != nil {
			t.Errorf("stop: %v", err)
		}
		synctest.Wait()
		virtual.Pass(time.Hour)
		if s := r.status("rbd0"); s.State != Stopped || s.PID != 0 || r.starts("rbd0") != 1 {
			t.Errorf("stopped: %+v", s)
		}
		_ = ended(t, r.reload())
		if s := r.status("rbd0"); s.State != Stopped {
			t.Errorf("a reload has started it: %+v", s)
		}
		if err := r.sup.Start(ctx, "rbd0"); err != nil {
			t.Errorf("start: %v", err)
		}
		synctest.Wait()
		r.ready("rbd0")

		old := r.proc("rbd1")
		done := make(chan error, 1)
		go func() {
			_, err := r.sup.Restart(ctx, "rbd1")
			done <- err
		}()
		synctest.Wait()
		r.say("rbd1", lifeline.Message{State: lifeline.Warm})
		r.ready("rbd1")
		if err := <-done; err != nil || r.proc("rbd1") == old || r.status("rbd1").Restarts != 0 {
			t.Errorf("restart: %v, %+v", err, r.status("rbd1"))
		}
	})
}

func TestStopDuringAReplacement(t *testing.T) {
	inReloading(t, []Spec{backend("rbd0", "1", "a", "x")}, func(r *reloading) {
		r.plan.Workers = []Spec{backend("rbd0", "1", "b", "x")}
		done := r.reload()
		r.signal(syscall.SIGTERM)
		if err := r.wait(); err != nil {
			t.Errorf("Run = %v", err)
		}
		if got := <-done; r.starts("rbd0") != 2 {
			t.Errorf("reload %+v", got)
		}
	})
}

func TestShutdownByCommand(t *testing.T) {
	inReloading(t, []Spec{backend("rbd0", "1", "a", "x")}, func(r *reloading) {
		if err := r.sup.Alive(r.t.Context()); err != nil {
			t.Errorf("Alive = %v", err)
		}
		if err := r.sup.Shutdown(r.t.Context(), false, "asked"); err != nil {
			t.Errorf("Shutdown = %v", err)
		}
		if err := r.wait(); err != nil {
			t.Errorf("Run = %v", err)
		}
		if err := r.sup.Alive(context.Background()); !errors.Is(err, fault.Unavailable) {
			t.Errorf("Alive after the end = %v", err)
		}
	})
}
