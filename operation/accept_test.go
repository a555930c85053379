package operation

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

func TestAcceptRunFinish(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.know(making("make", done("prepare"), w.effect()))
		e := w.process()
		op := w.submit(e, "make", args{Size: 3})
		if op.Status != volume.Queued || op.Resource.ID == "" || op.CreatedAt.IsZero() || op.Lane != "work" || op.Epoch != 1 {
			t.Errorf("accepted as %+v", op)
		}
		end := w.ends(e, op.ID, volume.Succeeded)
		if w.status(op.Resource.ID) != volume.Available || !w.backend.has(op.ID) {
			t.Error("the effect is not there")
		}
		if end.Progress != 100 || end.Step != "effect" || end.FinishedAt.IsZero() || end.StartedAt.IsZero() || end.Error != nil {
			t.Errorf("ended as %+v", end)
		}
		if n := w.writes(); n != 2 {
			t.Errorf("%d writes for a short operation, want one to accept and one to finish", n)
		}
		if len(w.tables().claims) != 0 {
			t.Error("claims are left")
		}
		synctest.Wait()
		if len(w.heard.events) != 1 || w.heard.events[0].What != "make.succeeded" || w.heard.events[0].ID != 1 {
			t.Errorf("events %+v", w.heard.events)
		}
		if len(e.InFlight()) != 0 || load(e, Work) != [2]int{} {
			t.Error("the engine still counts the operation")
		}
	})
}

func TestRepeatedRequest(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		g := newGate()
		w.know(making("make", g.step("wait")), making("other"))
		e := w.process()
		r := w.request("make", args{Size: 1})
		first, err := e.Submit(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		same := func(e *Engine, when string) {
			t.Helper()
			if again, err := e.Submit(t.Context(), r); err != nil || again.ID != first.ID || again.Resource != first.Resource {
				t.Errorf("%s: %v, %v", when, again, err)
			}
		}
		same(e, "while it runs")
		other := r
		other.Args = args{Size: 2}
		if _, err := e.Submit(t.Context(), other); !errors.Is(err, fault.Conflict) || fault.Of(err).Field != "request_id" {
			t.Errorf("other arguments: %v", err)
		}
		other = r
		other.Method = "other"
		if _, err := e.Submit(t.Context(), other); !errors.Is(err, fault.Conflict) {
			t.Errorf("other method: %v", err)
		}
		other.AskedAs = r.Method
		if again, err := e.Submit(t.Context(), other); err != nil || again.ID != first.ID {
			t.Errorf("the same by another method: %v, %v", again, err)
		}
		other = r
		other.ProjectID = "q"
		if op, err := e.Submit(t.Context(), other); err != nil || op.ID == first.ID {
			t.Errorf("other project: %v, %v", op, err)
		}
		g.open()
		w.ends(e, first.ID, volume.Succeeded)
		same(e, "after its end")
		same(w.process(), "in another process")
		if n := load(e, Work)[0]; n > 1 {
			t.Errorf("repeats count as %d operations", n)
		}
	})
}

func TestSubmitRefuses(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		bad := making("panics")
		bad.Accept = func(Tx, *volume.Operation, *args) error { panic("accept") }
		w.know(making("make"), bad)
		e := w.process()
		for name, c := range map[string]struct {
			change func(*Request)
			want   fault.Kind
		}{
			"unknown method":   {func(r *Request) { r.Method = "none" }, fault.Unsupported},
			"refused":          {func(r *Request) { r.Args = args{Size: -1} }, fault.Invalid},
			"wrong arguments":  {func(r *Request) { r.Args = "text" }, fault.Invalid},
			"no request id":    {func(r *Request) { r.RequestID = "" }, fault.Invalid},
			"past deadline":    {func(r *Request) { r.Deadline = time.Now().Add(-time.Second) }, fault.Invalid},
			"panics in accept": {func(r *Request) { r.Method = "panics" }, fault.Internal},
		} {
			r := w.request("make", args{})
			c.change(&r)
			if _, err := e.Submit(t.Context(), r); fault.KindOf(err) != c.want {
				t.Errorf("%s: %v, want %s", name, err, c.want)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := e.Submit(ctx, w.request("make", args{})); fault.KindOf(err) != fault.Cancelled {
			t.Errorf("ctx has ended: %v", err)
		}
		pass(time.Minute)
		if all := w.tables(); len(all.ops)+len(all.claims)+len(all.volumes)+len(all.events) != 0 {
			t.Errorf("something was written: %+v", all)
		}
		if load(e, Work) != [2]int{} {
			t.Error("the lane counts refused requests")
		}
	})
}

func TestNotOpen(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.know(making("make"))
		e := w.prepared(w.journal)
		for _, when := range []string{"before Start", "after Stop", "after Start of a stopped one"} {
			if _, err := e.Submit(t.Context(), w.request("make", args{})); !errors.Is(err, fault.Unavailable) {
				t.Errorf("%s: %v", when, err)
			}
			if when == "before Start" {
				if err := e.Stop(t.Context()); err != nil {
					t.Error(err)
				}
			} else {
				e.Start()
			}
		}
	})
}

// The answer of the accepting commit is lost: the caller hears Unavailable, and
// the operation is run if, and only if, it is in the journal.
func TestUnknownOutcomeOfAccept(t *testing.T) {
	for name, m := range map[string]mishap{"committed": {after: errAway}, "not committed": {before: errAway}} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.know(making("make", w.effect()))
				e := w.process()
				// The journal stays away for a while, then answers.
				away := true
				w.afflict(func(n int) mishap {
					switch {
					case n == 1:
						return m
					case away:
						return mishap{before: errAway}
					}
					return mishap{}
				})
				if _, err := e.Submit(t.Context(), w.request("make", args{})); !errors.Is(err, fault.Unavailable) {
					t.Fatalf("got %v", err)
				}
				pass(time.Minute)
				w.afflict(nil)
				away = false
				pass(time.Minute)
				ids := keys(w.tables().ops)
				if name == "not committed" {
					if len(ids) != 0 || load(e, Work) != [2]int{} {
						t.Errorf("there is %v", ids)
					}
					return
				}
				w.is(ids[0], volume.Succeeded)
				if w.backend.times(ids[0]) != 1 || load(e, Work) != [2]int{} {
					t.Error("the operation has not run once")
				}
			})
		})
	}
}

// Who repeats a request whose first accept is of unknown outcome can wait for it.
func TestRepeatAfterUnknownOutcome(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.know(making("make", w.effect()))
		e := w.process()
		w.strike(1, mishap{after: errAway})
		r := w.request("make", args{})
		if _, err := e.Submit(t.Context(), r); !errors.Is(err, fault.Unavailable) {
			t.Fatal(err)
		}
		op, err := e.Submit(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Cancel(t.Context(), op.ID); !errors.Is(err, fault.Unavailable) {
			t.Errorf("cancel while nobody is at it: %v", err)
		}
		w.ends(e, op.ID, volume.Succeeded)
	})
}

func TestCallerGoesDuringAccept(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.know(making("make", w.effect()))
		e := w.process()
		block := make(chan struct{})
		w.strike(1, mishap{block: block})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, _ = e.Submit(ctx, w.request("make", args{})) }()
		synctest.Wait()
		cancel()
		close(block)
		synctest.Wait()
		ids := keys(w.tables().ops)
		if len(ids) != 1 {
			t.Fatal("the accept was given up")
		}
		w.ends(e, ids[0], volume.Succeeded)
	})
}

// Stop comes while a request is being accepted. If it is accepted, the next
// process runs it.
func TestStopDuringAccept(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.know(making("make", w.effect()))
		e := w.process()
		block := make(chan struct{})
		w.strike(1, mishap{block: block, after: errAway})
		go func() { _, _ = e.Submit(t.Context(), w.request("make", args{})) }()
		synctest.Wait()
		stopped := make(chan error)
		go func() { stopped <- e.Stop(context.Background()) }()
		synctest.Wait()
		select {
		case err := <-stopped:
			t.Fatalf("Stop did not wait for the accept: %v", err)
		default:
		}
		close(block)
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		next := w.process()
		w.ends(next, keys(w.tables().ops)[0], volume.Succeeded)
	})
}

func TestFullLane(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.lanes[Work] = Limits{Slots: 1, Queue: 2}
		g := newGate()
		w.know(making("make", g.step("wait")))
		e := w.process()
		w.submit(e, "make", args{})
		again := w.request("make", args{})
		last, err := e.Submit(t.Context(), again)
		if err != nil {
			t.Fatal(err)
		}
		// What was accepted before is no new work.
		if op, err := e.Submit(t.Context(), again); err != nil || op.ID != last.ID {
			t.Errorf("the same request in a full lane: %v, %v", op.ID, err)
		}
		_, err = e.Submit(t.Context(), w.request("make", args{}))
		if !errors.Is(err, fault.Overloaded) || fault.Of(err).RetryAfter == 0 {
			t.Errorf("got %v", err)
		}
		if len(w.tables().ops) != 2 {
			t.Error("a refused request was written")
		}
		g.open()
		w.ends(e, last.ID, volume.Succeeded)
		synctest.Wait()
		w.submit(e, "make", args{})
	})
}

func TestMethodTwicePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a second method of the name was taken")
		}
	}()
	e := New(Config{})
	Register(e, making("make"))
	Register(e, making("make"))
}
