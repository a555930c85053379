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

func stop(e *Engine, d time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return e.Stop(ctx)
}

func TestStopLeavesTheRestToTheNext(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.lanes[Bulk] = Limits{Slots: 1, Queue: 10}
		g, hold := newGate(), newGate()
		interruptible := making("interruptible", hold.interruptible("wait"), w.effect())
		queued := making("queued", hold.interruptible("wait"), w.effect())
		queued.Lane, interruptible.Lane = Bulk, Bulk
		away := making("away", step("away", func(context.Context, *Task, *args) error {
			select {
			case <-hold.opened:
				return nil
			default:
				return fault.New(fault.Unavailable, "away").WithRetryAfter(time.Hour)
			}
		}), w.effect())
		w.know(making("work", g.step("wait"), w.effect()), making("one", g.step("wait")), interruptible, queued, away)
		e := w.process()
		one := w.submit(e, "one", args{})
		ids := []string{w.submit(e, "interruptible", args{}).ID}
		synctest.Wait()
		ids = append(ids, w.submit(e, "queued", args{}).ID, w.submit(e, "away", args{}).ID, w.submit(e, "work", args{}).ID)
		pass(time.Minute)
		stopped := make(chan error)
		go func() { stopped <- stop(e, time.Hour) }()
		pass(time.Minute)
		select {
		case err := <-stopped:
			t.Fatalf("Stop did not wait for the step: %v", err)
		default:
		}
		g.open()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		w.is(one.ID, volume.Succeeded) // it had one step, which came to its end
		for _, id := range ids {
			if op, _ := w.journal.Operation(t.Context(), id); op.Status.Terminal() || w.backend.has(id) {
				t.Errorf("%s is %s", op.Method, op.Status)
			}
		}
		if err := stop(e, time.Second); err != nil {
			t.Errorf("a second Stop: %v", err)
		}
		hold.open()
		next := w.process()
		for _, id := range ids {
			if end := w.ends(next, id, volume.Succeeded); end.Attempt < 2 || end.Epoch != 2 || w.backend.times(id) != 1 {
				t.Errorf("ended as %+v", end)
			}
		}
	})
}

func TestStopInTime(t *testing.T) {
	for name, hears := range map[string]bool{"a step that hears": true, "a deaf step": false} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				g := newGate()
				w.know(making("make", step("wait", func(ctx context.Context, _ *Task, _ *args) error {
					if !hears {
						<-g.opened
						return nil
					}
					<-ctx.Done()
					return ctx.Err()
				})))
				e := w.process()
				op := w.submit(e, "make", args{})
				pass(time.Minute)
				start := time.Now()
				err := stop(e, 10*time.Second)
				if err == nil || !strings.Contains(err.Error(), "make of volume "+op.Resource.ID) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(start); took > 10*time.Second+stopGrace {
					t.Errorf("took %s", took)
				}
				before := w.writes()
				g.open()
				pass(time.Hour)
				if w.writes() != before {
					t.Error("something was written after Stop")
				}
				w.is(op.ID, volume.Running)
			})
		})
	}
}

func TestStopWhileJournalHangs(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		g := newGate()
		w.know(making("make", g.step("wait")))
		e := w.process()
		w.submit(e, "make", args{})
		synctest.Wait()
		hang := make(chan struct{})
		w.afflict(func(int) mishap { return mishap{block: hang} })
		g.open()
		answered := make(chan error)
		go func() {
			_, err := e.Submit(t.Context(), w.request("make", args{}))
			answered <- err
		}()
		synctest.Wait()
		start := time.Now()
		if err := stop(e, 10*time.Second); err == nil {
			t.Error("the finish that hangs is not named")
		}
		if err := <-answered; !errors.Is(err, fault.Unavailable) {
			t.Errorf("the accept that hangs: %v", err)
		}
		if took := time.Since(start); took > 10*time.Second+stopGrace {
			t.Errorf("took %s", took)
		}
		w.afflict(nil)
	})
}

func TestStopBeforeStart(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		e := w.prepared(w.journal)
		if err := stop(e, time.Second); err != nil {
			t.Error(err)
		}
	})
}

// Stop does not wait for the journal to come back for what is not decided yet.
func TestStopWhileJournalIsAway(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.know(making("make"))
		e := w.process()
		w.strike(1, mishap{after: errAway})
		_, _ = e.Submit(t.Context(), w.request("make", args{}))
		w.afflict(func(int) mishap { return mishap{before: errAway} })
		pass(time.Minute)
		start := time.Now()
		if err := stop(e, time.Hour); err != nil || time.Since(start) > 0 {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		w.afflict(nil)
		w.ends(w.process(), keys(w.tables().ops)[0], volume.Succeeded)
	})
}
