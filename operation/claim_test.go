package operation

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// source makes a volume and returns its id.
func (w *world) source(e *Engine) string {
	w.t.Helper()
	op := w.submit(e, "make", args{})
	w.ends(e, op.ID, volume.Succeeded)
	synctest.Wait()
	return op.Resource.ID
}

func TestExclusiveWaitsForShared(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.lanes[Work] = Limits{Slots: 1, Queue: 10} // who waits needs no slot
		one, two := newGate(), newGate()
		free := func(s Step[args]) Step[args] { s.Free = true; return s }
		w.know(making("make"), making("one", free(one.step("wait"))), making("two", free(two.step("wait"))), erasing("erase", w.effect()))
		e := w.process()
		src := w.source(e)
		a, b := w.submit(e, "one", args{Source: src}), w.submit(e, "two", args{Source: src})
		erase := w.submit(e, "erase", args{VolumeID: src})
		if erase.Status != volume.Waiting || erase.Reason == "" || erase.NextTry.IsZero() {
			t.Errorf("accepted as %+v", erase)
		}
		_, err := e.Submit(t.Context(), w.request("one", args{Source: src}))
		if !errors.Is(err, fault.Busy) || len(fault.Of(err).BlockedBy) != 1 {
			t.Errorf("a new use of what is being erased: %v", err)
		}
		pass(time.Hour)
		w.is(erase.ID, volume.Waiting)
		one.open()
		w.ends(e, a.ID, volume.Succeeded)
		pass(0)
		w.is(erase.ID, volume.Waiting)
		start := time.Now()
		two.open()
		w.ends(e, b.ID, volume.Succeeded)
		synctest.Wait()
		w.is(erase.ID, volume.Succeeded)
		if waited := time.Since(start); waited > 0 {
			t.Errorf("it was not woken, but came by itself after %s", waited)
		}
		if w.status(src) != volume.Deleted || len(w.tables().claims) != 0 {
			t.Error("the volume is there, or claimed")
		}
	})
}

// A holder that ends between the accept of an exclusive claim and its first look
// does not leave it waiting for the next try.
func TestHolderEndsDuringAccept(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		g := newGate()
		w.know(making("make"), making("use", g.step("wait")), erasing("erase"))
		e := w.process()
		src := w.source(e)
		use := w.submit(e, "use", args{Source: src})
		linger := make(chan struct{})
		w.strike(1, mishap{linger: linger})
		go func() { w.submit(e, "erase", args{VolumeID: src}) }()
		synctest.Wait()
		g.open()
		w.ends(e, use.ID, volume.Succeeded)
		close(linger)
		synctest.Wait()
		if w.status(src) != volume.Deleted {
			t.Error("nobody noticed that the way is free")
		}
	})
}

// Nor does one that ends while the journal is answering who the holders are.
func TestHolderEndsDuringLook(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		g := newGate()
		w.know(making("make"), making("use", g.step("wait")), erasing("erase"))
		e := w.process()
		src := w.source(e)
		use := w.submit(e, "use", args{Source: src})
		linger := make(chan struct{})
		w.strike(2, mishap{linger: linger})
		w.submit(e, "erase", args{VolumeID: src})
		synctest.Wait()
		g.open()
		w.ends(e, use.ID, volume.Succeeded)
		close(linger)
		synctest.Wait()
		if w.status(src) != volume.Deleted {
			t.Error("the wake-up came too early, and was lost")
		}
	})
}

func TestCancelWhileClaimIsHeld(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		g := newGate()
		defer g.open()
		w.know(making("make"), making("use", g.step("wait")), erasing("erase", w.effect()))
		e := w.process()
		src := w.source(e)
		w.submit(e, "use", args{Source: src})
		erase := w.submit(e, "erase", args{VolumeID: src})
		pass(time.Minute)
		// Not even the next process has begun it, so it can be cancelled there.
		next := w.process()
		pass(time.Minute)
		w.is(erase.ID, volume.Waiting)
		if _, err := next.Cancel(t.Context(), erase.ID); err != nil {
			t.Fatal(err)
		}
		w.ends(next, erase.ID, volume.Cancelled)
		if w.status(src) != volume.Available || w.backend.has(erase.ID) {
			t.Error("the volume was touched")
		}
	})
}

func TestDeadlineWhileClaimIsHeld(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		g := newGate()
		defer g.open()
		w.know(making("make"), making("use", g.step("wait")), erasing("erase"))
		e := w.process()
		src := w.source(e)
		w.submit(e, "use", args{Source: src})
		r := w.request("erase", args{VolumeID: src})
		r.Deadline = time.Now().Add(time.Minute)
		erase, err := e.Submit(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		w.is(erase.ID, volume.Cancelled)
	})
}

func TestPatientIsWoken(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		g := newGate()
		tries, free := 0, false
		purge := shared("purge", step("purge", func(_ context.Context, _ *Task, a *args) error {
			if tries++; !free {
				return fault.New(fault.Busy, "it has a clone").WithBlockers("volume " + a.Source).WithHint("flatten it")
			}
			return nil
		}))
		purge.Patient = true
		impatient := shared("impatient", flaky("busy", fault.New(fault.Busy, "it has a clone")))
		w.know(making("make", step("free", func(context.Context, *Task, *args) error {
			<-g.opened
			free = true
			return nil
		})), purge, impatient)
		e := w.process()
		clone := w.submit(e, "make", args{})
		op := w.submit(e, "purge", args{VolumeID: "v", Source: clone.Resource.ID})
		failed := w.submit(e, "impatient", args{VolumeID: "v", Source: clone.Resource.ID})
		w.ends(e, failed.ID, volume.Failed)
		pass(10 * time.Minute)
		was := w.is(op.ID, volume.Waiting)
		if was.Reason != "it has a clone" || len(was.BlockedBy) != 1 || was.Hint != "flatten it" {
			t.Errorf("waits as %+v", was)
		}
		before, start := tries, time.Now()
		g.open()
		if end := w.ends(e, op.ID, volume.Succeeded); end.BlockedBy != nil || end.Hint != "" {
			t.Errorf("ended as %+v", end)
		}
		if tries != before+1 || time.Since(start) > 0 {
			t.Errorf("%d tries more, after %s", tries-before, time.Since(start))
		}
		if load(e, Work) != [2]int{} || len(e.blocked) != 0 {
			t.Error("somebody still waits")
		}
	})
}

// The end of somebody else wakes nobody.
func TestStrangerWakesNobody(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		tries := 0
		purge := shared("purge", step("purge", func(context.Context, *Task, *args) error {
			tries++
			return fault.New(fault.Busy, "it has a clone").WithBlockers("volume x").WithRetryAfter(time.Hour)
		}))
		purge.Patient = true
		w.know(making("make"), purge)
		e := w.process()
		w.submit(e, "purge", args{VolumeID: "v"})
		synctest.Wait()
		pass(time.Minute)
		for range 10 {
			w.source(e)
		}
		if tries != 2 { // the second one soon, see below
			t.Errorf("%d tries", tries)
		}
	})
}

// What ends between the look that finds it in the way and the waiting wakes nobody:
// the next look comes soon, however long it wants to be left alone.
func TestEndThatIsMissed(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		tries := 0
		purge := shared("purge", step("purge", func(context.Context, *Task, *args) error {
			if tries++; tries > 3 {
				return nil
			}
			return fault.New(fault.Busy, "it has clones").WithBlockers(fmt.Sprint("volume ", tries)).WithRetryAfter(time.Hour)
		}))
		purge.Patient = true
		w.know(purge)
		e := w.process()
		op := w.submit(e, "purge", args{VolumeID: "v"})
		pass(10 * time.Second)
		w.is(op.ID, volume.Succeeded)
	})
}
