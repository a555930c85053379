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

// followed returns a method whose end is followed by another operation.
func (w *world) followed(name string) Method[args] {
	m := making(name, w.effect())
	finish := m.Finish
	m.Finish = func(tx Tx, t *Task, a *args, err error) error {
		t.Follow(Request{RequestID: "after-" + t.Operation().ID, ProjectID: "p", Method: "follower", Args: args{VolumeID: a.VolumeID, Source: "s"}})
		return finish(tx, t, a, err)
	}
	return m
}

// follower returns the operation that follows op.
func (w *world) follower(op volume.Operation) volume.Operation {
	w.t.Helper()
	next, err := (&memTx{tables: w.tables()}).OperationByRequest("p", "after-"+op.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return next
}

func TestFollow(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.know(w.followed("make"), erasing("follower", w.effect()))
		e := w.process()
		op := w.submit(e, "make", args{})
		w.ends(e, op.ID, volume.Succeeded)
		next := w.follower(op)
		w.ends(e, next.ID, volume.Succeeded)
		if !w.backend.has(next.ID) || w.status(op.Resource.ID) != volume.Deleted {
			t.Error("the follower had no effect")
		}
		synctest.Wait()
		if load(e, Work) != [2]int{} {
			t.Errorf("the lane counts %v", load(e, Work))
		}
	})
}

// The answer of the finishing commit is lost: the next try finds the end written,
// tells it, and runs the follower.
func TestUnknownOutcomeOfFinish(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.know(w.followed("make"), erasing("follower", w.effect()))
		e := w.process()
		w.strike(2, mishap{after: errAway})
		op := w.submit(e, "make", args{})
		w.ends(e, op.ID, volume.Succeeded)
		w.ends(e, w.follower(op).ID, volume.Succeeded)
		synctest.Wait()
		if heard := w.heard.of(op.ID); len(heard) != 1 || heard[0].Status != volume.Succeeded {
			t.Errorf("heard %+v", heard)
		}
		if len(w.heard.events) != 2 || len(w.tables().events) != 2 || w.log.Count("resource") != 0 {
			t.Errorf("events %+v", w.heard.events)
		}
		if load(e, Work) != [2]int{} {
			t.Errorf("the lane counts %v", load(e, Work))
		}
	})
}

func TestJournalAwayAtFinish(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		g := newGate()
		w.know(making("make", g.step("wait"), w.effect()))
		e := w.process()
		a, b := w.submit(e, "make", args{}), w.submit(e, "make", args{})
		w.afflict(func(int) mishap { return mishap{before: errAway} })
		g.open()
		pass(time.Hour)
		w.is(a.ID, volume.Queued)
		w.afflict(nil)
		pass(2 * retryMost)
		w.is(a.ID, volume.Succeeded)
		w.is(b.ID, volume.Succeeded)
		if w.log.Count("journal does not take a write") != 1 || w.log.Count("journal takes writes again") != 1 {
			t.Error("an outage is not one event")
		}
	})
}

// The journal is away for progress only: nothing is lost, and it is said once.
func TestJournalAwayAtFlush(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.know(making("make", flaky("step", fault.New(fault.Unavailable, "away").WithRetryAfter(time.Hour))))
		e := w.process()
		w.afflict(func(n int) mishap {
			if n == 1 {
				return mishap{} // the accept
			}
			return mishap{before: errAway}
		})
		op := w.submit(e, "make", args{})
		pass(time.Minute)
		w.is(op.ID, volume.Queued)
		w.afflict(nil)
		pass(2 * flushInterval)
		w.is(op.ID, volume.Waiting)
		if w.log.Count("journal does not take a write") != 1 || w.log.Count("journal takes writes again") != 1 {
			t.Error("an outage is not one event")
		}
	})
}

func TestFinishIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(m *Method[args], follower *Method[args])
		status  volume.OperationStatus
		kind    fault.Kind
		volume  volume.Status
		follows bool
	}{
		"the resource was changed": {func(m, _ *Method[args]) {
			finish := m.Finish
			m.Finish = func(tx Tx, t *Task, a *args, err error) error {
				v, _ := tx.Volume(a.VolumeID)
				v.Status = volume.InUse
				_ = tx.UpdateVolume(&v, volume.Creating)
				return finish(tx, t, a, err)
			}
		}, volume.Failed, fault.Conflict, volume.Creating, false},
		"the resource is gone": {func(m, _ *Method[args]) {
			m.Finish = func(tx Tx, _ *Task, _ *args, _ error) error { _, err := tx.Volume("none"); return err }
		}, volume.Failed, fault.NotFound, volume.Creating, false},
		"a panic": {func(m, _ *Method[args]) {
			m.Finish = func(Tx, *Task, *args, error) error { panic("finish") }
		}, volume.Failed, fault.Internal, volume.Creating, false},
		"the follower is refused": {func(_, f *Method[args]) {
			f.Accept = func(Tx, *volume.Operation, *args) error { return fault.New(fault.Busy, "not now") }
		}, volume.Succeeded, "", volume.Available, false},
		"the follower is unknown": {func(_, f *Method[args]) { f.Name = "other" }, volume.Succeeded, "", volume.Available, false},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				m, follower := w.followed("make"), erasing("follower")
				c.change(&m, &follower)
				w.know(m, follower)
				e := w.process()
				op := w.submit(e, "make", args{})
				end := w.ends(e, op.ID, c.status)
				if c.kind != "" && end.Error.Kind != c.kind {
					t.Errorf("error %+v", end.Error)
				}
				if w.status(op.Resource.ID) != c.volume || len(w.tables().claims) != 0 || len(w.tables().ops) != 1 {
					t.Errorf("volume is %s", w.status(op.Resource.ID))
				}
			})
		})
	}
}

// What a failed operation says is why it failed, also where its resource was
// changed under it.
func TestFinishIsRefusedAfterFailure(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		m := making("make", flaky("step", fault.New(fault.Exhausted, "full")))
		m.Finish = func(Tx, *Task, *args, error) error { return fault.New(fault.Conflict, "changed") }
		w.know(m)
		e := w.process()
		op := w.submit(e, "make", args{})
		if end := w.ends(e, op.ID, volume.Failed); end.Error.Kind != fault.Exhausted {
			t.Errorf("error %+v", end.Error)
		}
	})
}

func TestWait(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		g := newGate()
		w.know(making("make", g.step("wait")))
		e := w.process()
		if _, err := e.Wait(t.Context(), "none"); !errors.Is(err, fault.NotFound) {
			t.Errorf("wait for none: %v", err)
		}
		op := w.submit(e, "make", args{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		got, err := e.Wait(ctx, op.ID)
		if err != nil || got.Status != volume.Running || time.Since(start) != time.Minute {
			t.Errorf("after its ctx: %s, %v", got.Status, err)
		}
		if all := e.InFlight(); len(all) != 1 || all[0].ID != op.ID {
			t.Errorf("in flight: %v", all)
		}
		// Somebody else's operation, such as one of a later process, ends too.
		e2 := w.process()
		ended := make(chan Outcome)
		go func() { got, _ := e.Wait(t.Context(), op.ID); ended <- got }()
		go func() { got, _ := e2.Wait(t.Context(), op.ID); ended <- got }()
		synctest.Wait()
		g.open()
		<-ended
		<-ended
		w.is(op.ID, volume.Succeeded)
		if got, err := e2.Wait(ctx, op.ID); err != nil || got.Status != volume.Succeeded {
			t.Errorf("after the end: %s, %v", got.Status, err)
		}
	})
}

// What would come out the same again need not be durable at once: a success, and what
// is told between. All else is: an accept, a failure, a cancel.
func TestOnlyASuccessEndsSoon(t *testing.T) {
	for outcome, soon := range map[error]int{nil: 1, fault.New(fault.Exhausted, "full"): 0, errCancelled: 0} {
		inWorld(t, func(t *testing.T, w *world) {
			w.know(making("make", Step[args]{Name: "step", Run: func(context.Context, *Task, *args) error { return outcome }}))
			e := w.process()
			op := w.submit(e, "make", args{})
			if got, err := e.Wait(t.Context(), op.ID); err != nil || !got.Status.Terminal() {
				t.Fatalf("%v, %v", got, err)
			}
			w.journal.mu.Lock()
			defer w.journal.mu.Unlock()
			if w.journal.soon != soon {
				t.Errorf("after %v: %d of %d writes need not be durable, want %d", outcome, w.journal.soon, w.journal.writes, soon)
			}
		})
	}
}

// The end of what would write over newer data, if it were run again, is durable too.
func TestOverwritesEndDurably(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		m := making("make")
		m.Overwrites = true
		w.know(m)
		e := w.process()
		if got, err := e.Wait(t.Context(), w.submit(e, "make", args{}).ID); err != nil || got.Status != volume.Succeeded {
			t.Fatalf("%v, %v", got, err)
		}
		w.journal.mu.Lock()
		defer w.journal.mu.Unlock()
		if w.journal.soon != 0 {
			t.Errorf("%d of %d writes need not be durable", w.journal.soon, w.journal.writes)
		}
	})
}

// Who waits in the process that ends the operation is handed what Finish has left,
// unless that was not committed.
func TestWaitIsHandedTheRow(t *testing.T) {
	for _, refused := range []bool{false, true} {
		inWorld(t, func(t *testing.T, w *world) {
			g := newGate()
			m := making("make", g.step("wait"))
			m.Finish = func(_ Tx, t *Task, _ *args, _ error) error {
				t.Leave("the row")
				if refused {
					return fault.New(fault.Conflict, "changed")
				}
				return nil
			}
			w.know(m)
			e := w.process()
			op := w.submit(e, "make", args{})
			ended := make(chan Outcome)
			go func() { got, _ := e.Wait(t.Context(), op.ID); ended <- got }()
			synctest.Wait()
			g.open()
			if got := <-ended; (got.Left == "the row") == refused || !got.Status.Terminal() {
				t.Errorf("refused %t: handed %v with an operation that %s", refused, got.Left, got.Status)
			}
		})
	}
}

// A waiter for an operation that is at work elsewhere gets its end.
func TestWaitForOneElsewhere(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		g := newGate()
		w.know(making("make", g.step("wait")))
		e := w.process()
		idle := New(Config{Fence: Fence{Host: "node2@rbd0", Epoch: 1}, Journal: w.journal, Publisher: w.heard, Lanes: w.lanes, Log: e.cfg.Log})
		op := w.submit(e, "make", args{})
		ended := make(chan Outcome)
		go func() { got, _ := idle.Wait(t.Context(), op.ID); ended <- got }()
		pass(time.Minute)
		g.open()
		if got := <-ended; got.Status != volume.Succeeded {
			t.Errorf("got %s", got.Status)
		}
		w.engines = append(w.engines, idle)
	})
}

// Those who wait for an operation have it before the world is told.
func TestWaitersComeFirst(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.know(making("make", w.effect()))
		e := w.process()
		asked := false
		w.heard.ask = func(op volume.Operation) {
			if !op.Status.Terminal() {
				return
			}
			asked = true
			if now, err := e.Wait(t.Context(), op.ID); err != nil || now.Status != op.Status {
				t.Errorf("%v, %v", now.Status, err)
			}
		}
		w.ends(e, w.submit(e, "make", args{}).ID, volume.Succeeded)
		if !asked {
			t.Error("the end was not published")
		}
	})
}
