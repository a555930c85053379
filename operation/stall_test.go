package operation

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

var silent = fault.New(fault.Unavailable, "the OSDs do not answer").WithHint("check: ceph -s")

// While the backend does not answer, whatever it holds up is waiting and says why
// within two seconds, wherever it is: in a call that does not return, in front of
// a full lane, between two tries. Afterwards all end at once.
func TestStall(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		hang, away := newGate(), true
		w.lanes[Work] = Limits{Slots: 2, Queue: 1000}
		retry := shared("retry", step("ask", func(context.Context, *Task, *args) error {
			if away {
				return fault.New(fault.Unavailable, "no answer in time").WithRetryAfter(time.Hour)
			}
			return nil
		}))
		retry.Lane = Control
		w.know(making("make", hang.step("hang")), retry)
		e := w.process()
		retried := w.submit(e, "retry", args{VolumeID: "v"})
		synctest.Wait()
		if w.troubles.Load() != 1 {
			t.Errorf("told of trouble %d times after a try without an answer", w.troubles.Load())
		}
		var held []volume.Operation
		for range 5 { // two hang, three wait for their slots
			held = append(held, w.submit(e, "make", args{}))
			synctest.Wait()
		}
		pass(2 * tellAfter)
		if w.troubles.Load() < 2 || !e.Late() {
			t.Error("nobody was told of steps that take long")
		}
		w.is(held[0].ID, volume.Running)
		e.Stall(silent)
		pass(time.Second)
		for _, op := range held {
			if is := w.is(op.ID, volume.Waiting); is.Reason != silent.Message || is.Hint != silent.Hint || is.NextTry.Before(time.Now()) {
				t.Errorf("waits as %+v", is)
			}
		}
		w.is(retried.ID, volume.Waiting)
		late := w.submit(e, "make", args{}) // comes during the outage
		pass(2 * time.Second)
		if is := w.is(late.ID, volume.Waiting); is.Reason != silent.Message {
			t.Errorf("came later, waits as %+v", is)
		}

		away = false
		e.Stall(nil)
		pass(time.Second)
		w.is(held[0].ID, volume.Running)
		w.is(held[4].ID, volume.Queued)
		w.is(retried.ID, volume.Succeeded) // an hour before its time
		hang.open()
		for _, op := range append(held, late) {
			if end := w.ends(e, op.ID, volume.Succeeded); end.Reason+end.Hint != "" || !end.NextTry.IsZero() {
				t.Errorf("ended as %+v", end)
			}
		}
	})
}

// What one step uses besides the backend, and does not answer, holds up its operation
// only; it is running again when that is back.
func TestStallOfOneOperation(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		silence, back, end := newGate(), newGate(), newGate()
		w.know(shared("copy", step("copy", func(_ context.Context, t *Task, _ *args) error {
			<-silence.opened
			t.Stall(silent)
			<-back.opened
			t.Stall(nil)
			<-end.opened
			return nil
		})), making("make", end.step("make")))
		e := w.process()
		op, other := w.submit(e, "copy", args{VolumeID: "v"}), w.submit(e, "make", args{})
		pass(2 * tellAfter)
		w.is(op.ID, volume.Running)
		silence.open()
		pass(time.Second)
		if is := w.is(op.ID, volume.Waiting); is.Reason != silent.Message || is.Hint != silent.Hint || is.NextTry.IsZero() {
			t.Errorf("waits as %+v", is)
		}
		w.is(other.ID, volume.Running)
		e.Stall(silent) // the backend of the service as well: its end is not the end of both
		back.open()
		pass(time.Second)
		w.is(op.ID, volume.Waiting)
		e.Stall(nil)
		pass(time.Second)
		if is := w.is(op.ID, volume.Running); is.Reason != "" {
			t.Errorf("runs with the reason %q", is.Reason)
		}
		end.open()
		w.ends(e, op.ID, volume.Succeeded)
		w.ends(e, other.ID, volume.Succeeded)
	})
}

// What gives signs of life is not held up, whatever the backend is said to do.
func TestStallSparesWhatIsAlive(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		finish := newGate()
		w.know(making("make", step("copy", func(_ context.Context, t *Task, _ *args) error {
			for n := 1; ; n++ {
				t.Progress(min(n, 50))
				select {
				case <-finish.opened:
					return nil
				case <-time.After(tellAfter / 2):
				}
			}
		})))
		e := w.process()
		op := w.submit(e, "make", args{})
		for range 5 {
			pass(time.Second)
			e.Stall(silent)
		}
		w.is(op.ID, volume.Running)
		finish.open()
		w.ends(e, op.ID, volume.Succeeded)
	})
}

// A step that is tried again during an outage is no news: the operation waits
// for its end all the time.
func TestStallLastsOverTries(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		tries := 0
		w.know(making("make", step("ask", func(context.Context, *Task, *args) error {
			if tries++; tries < 20 {
				<-time.After(10 * time.Second)
				return fault.New(fault.Unavailable, "no answer in time")
			}
			return nil
		})))
		e := w.process()
		op := w.submit(e, "make", args{})
		for range 60 {
			pass(time.Second)
			e.Stall(silent)
		}
		running := false
		for _, told := range w.heard.of(op.ID)[2:] {
			running = running || told.Status != volume.Waiting
			if told.Reason == "" || told.NextTry.IsZero() {
				t.Errorf("told of %+v", told)
			}
		}
		if running || tries < 3 {
			t.Errorf("after %d tries it had not been waiting all the time", tries)
		}
		e.Stall(nil)
		w.ends(e, op.ID, volume.Succeeded)
	})
}

// Cancel is heard while a backend that does not answer holds the operation up in
// front of its lane.
func TestCancelDuringAStall(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		hang := newGate()
		w.lanes[Work] = Limits{Slots: 1, Queue: 1000}
		w.know(making("make", hang.step("hang")))
		e := w.process()
		first := w.submit(e, "make", args{})
		synctest.Wait()
		second := w.submit(e, "make", args{})
		pass(tellAfter)
		e.Stall(silent)
		if _, err := e.Cancel(t.Context(), second.ID); err != nil {
			t.Fatal(err)
		}
		w.ends(e, second.ID, volume.Cancelled)
		hang.open()
		w.ends(e, first.ID, volume.Succeeded)
	})
}

// While the journal is away an operation whose work is done says so, to whoever
// asks this process.
func TestOutcomeThatWaitsForTheJournal(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.know(making("make", w.effect()))
		e := w.process()
		w.afflict(func(n int) mishap {
			if n <= 1 { // the accept
				return mishap{}
			}
			return mishap{before: errAway}
		})
		op := w.submit(e, "make", args{})
		pass(2 * tellAfter)
		is, found := e.Find(op.ID)
		if !found || is.Status != volume.Waiting || is.Reason != unrecorded || is.NextTry.IsZero() {
			t.Errorf("known as %+v", is)
		}
		w.afflict(nil)
		back := time.Now()
		if end := w.ends(e, op.ID, volume.Succeeded); end.Reason != "" || time.Since(back) > 10*time.Second {
			t.Errorf("ended after %s as %+v", time.Since(back), end)
		}
		if _, found := e.Find(op.ID); found {
			t.Error("it is still at work")
		}
	})
}
