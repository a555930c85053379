package operation

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// flaky is a step that returns the errors, one a try, and is then done.
func flaky(name string, errs ...error) Step[args] {
	return step(name, func(_ context.Context, t *Task, _ *args) error {
		n := t.Operation().Attempt - 1
		if n < len(errs) {
			return errs[n]
		}
		return nil
	})
}

func TestRetryWhatDoesNotAnswer(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		away := fault.New(fault.Unavailable, "the cluster does not answer")
		var repeats []bool
		w.know(making("make", step("note", func(_ context.Context, t *Task, _ *args) error { return nil }),
			step("flaky", func(_ context.Context, t *Task, _ *args) error {
				repeats = append(repeats, t.Repeat())
				if len(repeats) <= 12 {
					return away
				}
				return nil
			})))
		e := w.process()
		op := w.submit(e, "make", args{})
		synctest.Wait()
		was := w.is(op.ID, volume.Waiting) // at once
		if was.Reason != away.Message || was.NextTry.Before(time.Now()) || was.Step != "flaky" {
			t.Errorf("waits as %+v", was)
		}
		start, slots := time.Now(), load(e, Work)
		if slots != [2]int{1, 0} {
			t.Errorf("who waits holds a slot: %v", slots)
		}
		end := w.ends(e, op.ID, volume.Succeeded)
		if end.Attempt != 13 || end.Reason != "" || !end.NextTry.IsZero() {
			t.Errorf("ended as %+v", end)
		}
		if repeats[0] || !repeats[1] || len(repeats) != 13 {
			t.Errorf("repeat: %v", repeats)
		}
		if took := time.Since(start); took < 12*retryMost/4 || took > 12*2*retryMost {
			t.Errorf("13 tries took %s", took)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.know(making("make", flaky("step", fault.New(fault.Unavailable, "later").WithRetryAfter(time.Hour))))
		e := w.process()
		op := w.submit(e, "make", args{})
		pass(time.Hour - time.Second)
		w.is(op.ID, volume.Waiting)
		pass(2 * time.Second)
		w.is(op.ID, volume.Succeeded)
	})
}

func TestFailure(t *testing.T) {
	full := fault.New(fault.Exhausted, "the pool is full").WithHint("add space")
	for name, c := range map[string]struct {
		step    func(context.Context, *Task, *args) error
		undo    error
		kind    fault.Kind
		message string
	}{
		"for good": {func(context.Context, *Task, *args) error { return full }, nil, fault.Exhausted, "the pool is full"},
		"panic":    {func(context.Context, *Task, *args) error { panic("boom") }, nil, fault.Internal, "panic: boom"},
		"undo fails": {
			func(context.Context, *Task, *args) error { return full }, errors.New("stuck"),
			fault.Exhausted, "the pool is full; what was done could not be undone: stuck",
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				m := making("make", w.effect(), step("fails", c.step), step("never", func(context.Context, *Task, *args) error {
					t.Error("a step runs after one that failed")
					return nil
				}))
				tries := 0
				m.Undo = func(_ context.Context, t *Task, _ *args, cause error) error {
					if tries++; tries == 1 {
						return fault.New(fault.Unavailable, "away")
					}
					w.backend.remove(t.Operation().ID)
					return c.undo
				}
				w.know(m)
				e := w.process()
				op := w.submit(e, "make", args{})
				end := w.ends(e, op.ID, volume.Failed)
				if end.Error.Kind != c.kind || end.Error.Message != c.message {
					t.Errorf("error %+v", end.Error)
				}
				if c.kind == fault.Exhausted && end.Error.Hint != "add space" {
					t.Error("the hint is lost")
				}
				if w.backend.has(op.ID) || tries != 2 || w.status(op.Resource.ID) != volume.Error {
					t.Errorf("undone %d times, volume %s", tries, w.status(op.Resource.ID))
				}
				if c.undo != nil && w.log.Count("something may be left") != 1 {
					t.Error("it is not said that something may be left")
				}
			})
		})
	}
}

// An operation that was never begun has nothing to undo.
func TestNothingToUndo(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.lanes[Work] = Limits{Slots: 1, Queue: 10}
		g := newGate()
		m := making("make", g.step("wait"))
		m.Undo = func(context.Context, *Task, *args, error) error {
			t.Error("undo of what was not begun")
			return nil
		}
		w.know(m)
		e := w.process()
		w.submit(e, "make", args{})
		synctest.Wait()
		op := w.submit(e, "make", args{})
		if got, err := e.Cancel(t.Context(), op.ID); err != nil || !got.CancelRequested {
			t.Fatal(got, err)
		}
		end := w.ends(e, op.ID, volume.Cancelled)
		if end.Error.Kind != fault.Cancelled || w.status(op.Resource.ID) != volume.Error {
			t.Errorf("ended as %+v", end)
		}
		if _, err := e.Cancel(t.Context(), op.ID); !errors.Is(err, fault.Conflict) {
			t.Errorf("cancel of an ended operation: %v", err)
		}
		if _, err := e.Cancel(t.Context(), "none"); !errors.Is(err, fault.NotFound) {
			t.Errorf("cancel of none: %v", err)
		}
		g.open()
	})
}

func TestCancelWhileAtWork(t *testing.T) {
	for name, c := range map[string]struct {
		step func(*gate) Step[args]
		undo bool
		want volume.OperationStatus
		soon bool // without the step coming to its end
	}{
		"interruptible step, with undo":    {func(g *gate) Step[args] { return g.interruptible("wait") }, true, volume.Cancelled, true},
		"interruptible step, without undo": {func(g *gate) Step[args] { return g.interruptible("wait") }, false, volume.Cancelled, true},
		"between steps, with undo":         {func(g *gate) Step[args] { return g.step("wait") }, true, volume.Cancelled, false},
		"past the point":                   {func(g *gate) Step[args] { return g.step("wait") }, false, volume.Succeeded, false},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				g := newGate()
				m := making("make", c.step(g), w.effect())
				undone := 0
				if c.undo {
					m.Undo = func(_ context.Context, _ *Task, _ *args, cause error) error {
						undone++
						if !errors.Is(cause, fault.Cancelled) {
							t.Errorf("undo because of %v", cause)
						}
						return nil
					}
				}
				w.know(m)
				e := w.process()
				op := w.submit(e, "make", args{})
				synctest.Wait()
				if _, err := e.Cancel(t.Context(), op.ID); err != nil {
					t.Fatal(err)
				}
				if !w.tables().ops[op.ID].CancelRequested {
					t.Error("the journal does not know of the cancel")
				}
				if !c.soon {
					pass(time.Minute)
					w.is(op.ID, volume.Running)
					g.open()
				}
				synctest.Wait()
				w.is(op.ID, c.want)
				if c.undo != (undone == 1) || w.backend.has(op.ID) != (c.want == volume.Succeeded) {
					t.Errorf("undone %d times, effect %t", undone, w.backend.has(op.ID))
				}
			})
		})
	}
}

// Cancelled promises that nothing is left behind.
func TestCancelWhoseUndoFails(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		g := newGate()
		m := making("make", g.interruptible("wait"))
		m.Undo = func(context.Context, *Task, *args, error) error { return errors.New("stuck") }
		finish := m.Finish
		m.Finish = func(tx Tx, task *Task, a *args, err error) error {
			if errors.Is(err, fault.Cancelled) {
				t.Error("Finish is told that nothing is left behind")
			}
			return finish(tx, task, a, err)
		}
		w.know(m)
		e := w.process()
		op := w.submit(e, "make", args{})
		synctest.Wait()
		if _, err := e.Cancel(t.Context(), op.ID); err != nil {
			t.Fatal(err)
		}
		end := w.ends(e, op.ID, volume.Failed)
		if end.Error.Kind != fault.Internal || !strings.Contains(end.Error.Message, "stuck") {
			t.Errorf("error %+v", end.Error)
		}
	})
}

// A cancel also reaches an operation that waits for its next try.
func TestCancelWhileWaiting(t *testing.T) {
	for _, undo := range []bool{true, false} {
		inWorld(t, func(t *testing.T, w *world) {
			m := making("make", flaky("step", fault.New(fault.Unavailable, "later").WithRetryAfter(time.Hour)))
			if undo {
				m.Undo = func(context.Context, *Task, *args, error) error { return nil }
			}
			w.know(m)
			e := w.process()
			op := w.submit(e, "make", args{})
			synctest.Wait()
			if _, err := e.Cancel(t.Context(), op.ID); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if undo {
				w.is(op.ID, volume.Cancelled)
				return
			}
			w.is(op.ID, volume.Waiting) // the step may have had an effect, and there is no way back
			pass(time.Hour)
			w.is(op.ID, volume.Succeeded)
		})
	}
}

// A cancel request is in the journal before it is answered, and no older copy of
// the operation goes over it.
func TestCancelAndFlushAtOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		g := newGate()
		var task *Task
		w.know(making("make", step("begin", func(_ context.Context, t *Task, _ *args) error { task = t; return nil }), g.step("wait")))
		e := w.process()
		op := w.submit(e, "make", args{})
		synctest.Wait()
		block := make(chan struct{})
		w.strike(1, mishap{block: block})
		task.Progress(10) // its write hangs
		synctest.Wait()
		answered := make(chan error)
		go func() {
			_, err := e.Cancel(t.Context(), op.ID)
			answered <- err
		}()
		synctest.Wait()
		close(block)
		if err := <-answered; err != nil {
			t.Fatal(err)
		}
		pass(2 * flushInterval)
		if now := w.is(op.ID, volume.Running); !now.CancelRequested || now.Progress != 10 {
			t.Errorf("the journal has %+v", now)
		}
		// A caller does not wait longer than it wants to.
		hang := make(chan struct{})
		w.strike(1, mishap{block: hang})
		task.Progress(20)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := e.Cancel(ctx, op.ID); err == nil {
			t.Error("the cancel was answered, but is not written")
		}
		close(hang)
		g.open()
	})
}

func TestDeadline(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.lanes[Work] = Limits{Slots: 1, Queue: 10}
		g := newGate()
		w.know(making("make", g.step("wait"), w.effect()))
		e := w.process()
		submit := func() volume.Operation {
			r := w.request("make", args{})
			r.Deadline = time.Now().Add(time.Minute)
			op, err := e.Submit(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			return op
		}
		begun, queued := submit(), submit()
		pass(59 * time.Second)
		w.is(queued.ID, volume.Queued)
		pass(2 * time.Second)
		if end := w.is(queued.ID, volume.Cancelled); end.Error.Field != "deadline" {
			t.Errorf("error %+v", end.Error)
		}
		g.open()
		w.ends(e, begun.ID, volume.Succeeded) // what has begun is brought to its end
		if w.backend.has(queued.ID) {
			t.Error("an operation ran after its deadline")
		}
	})
}

func TestProgress(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var task *Task
		g := newGate()
		w.know(making("make", step("begin", func(_ context.Context, t *Task, _ *args) error { task = t; return nil }), g.step("wait")))
		e := w.process()
		op := w.submit(e, "make", args{})
		synctest.Wait()
		before := w.writes()
		pass(time.Second / 2)
		task.Progress(5)
		synctest.Wait()
		if got := w.tables().ops[op.ID]; got.Progress != 5 || got.Step != "wait" || got.Status != volume.Running {
			t.Errorf("the first progress is not written at once: %+v", got)
		}
		for percent := range 50 { // 10 seconds
			pass(time.Second / 5)
			task.Progress(percent)
		}
		if n := w.writes() - before; n > 12 || n < 9 {
			t.Errorf("%d writes in ten seconds", n)
		}
		pass(time.Second)
		was := w.tables().ops[op.ID]
		if was.Progress != 49 {
			t.Errorf("progress %d", was.Progress)
		}
		// 49 % took 10.5 s, so 51 % take about 11.
		if left := time.Until(was.ETA); left < 8*time.Second || left > 12*time.Second {
			t.Errorf("eta in %s", left)
		}
		task.Progress(7)
		task.Progress(-1)
		pass(time.Second)
		if got := w.tables().ops[op.ID].Progress; got != 49 {
			t.Errorf("progress fell to %d", got)
		}
		task.Progress(1000)
		pass(time.Second)
		if got := w.tables().ops[op.ID]; got.Progress != 100 || !got.ETA.IsZero() {
			t.Errorf("progress %d, eta %s", got.Progress, got.ETA)
		}
		g.open()
		w.ends(e, op.ID, volume.Succeeded)
		heard := w.heard.of(op.ID)
		if last := heard[len(heard)-1]; last.Status != volume.Succeeded {
			t.Errorf("the last that was heard: %s", last.Status)
		}
	})
}

// The end is reckoned from the pace of the present step, not from what an earlier
// one has come to.
func TestETAOfALaterStep(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		g := newGate()
		var task *Task
		w.know(making("make", step("half", func(_ context.Context, t *Task, _ *args) error {
			task = t
			t.Progress(50)
			return nil
		}), g.step("rest")))
		e := w.process()
		w.submit(e, "make", args{})
		pass(10 * time.Second)
		task.Progress(60)
		if left := time.Until(task.Operation().ETA).Round(time.Second); left != 40*time.Second {
			t.Errorf("10 %% took 10 s, and 40 %% are to take %s", left)
		}
		g.open()
	})
}

// A step that takes longer is in the journal within two seconds, one that waits
// for its slot costs nothing.
func TestLongStepIsTold(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.lanes[Work] = Limits{Slots: 1, Queue: 10}
		first, second := newGate(), newGate()
		w.know(making("make", first.step("first"), second.step("second")))
		e := w.process()
		op := w.submit(e, "make", args{})
		synctest.Wait()
		queued := w.submit(e, "make", args{})
		pass(2 * time.Second)
		if got := w.is(op.ID, volume.Running); got.Step != "first" {
			t.Errorf("step %s", got.Step)
		}
		first.open()
		pass(2 * time.Second)
		// The slot went to the other one meanwhile.
		second.open()
		w.ends(e, queued.ID, volume.Succeeded)
		w.ends(e, op.ID, volume.Succeeded)
		if len(w.heard.of(queued.ID)) > 2 {
			t.Error("an operation that only waited for its slot was written")
		}
	})
}

// A publication that was overtaken by the end of its operation is not made.
func TestNothingIsPublishedAfterTheEnd(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.know(making("make"))
		e := w.process()
		op := w.submit(e, "make", args{})
		task := e.task(op.ID)
		w.ends(e, op.ID, volume.Succeeded)
		if task != nil {
			task.publish(op)
			task.Progress(3)
		}
		pass(time.Second)
		if heard := w.heard.of(op.ID); len(heard) != 1 || heard[0].Status != volume.Succeeded {
			t.Errorf("heard %+v", heard)
		}
	})
}
