package operation

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

func TestTakeOver(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		g := newGate()
		undone := 0
		m := making("make", g.step("wait"), w.effect())
		m.Undo = func(context.Context, *Task, *args, error) error { undone++; return nil }
		w.know(m)
		old := w.process()
		var ids []string
		for range 8 { // twice as many as there are slots
			ids = append(ids, w.submit(old, "make", args{}).ID)
		}
		pass(time.Minute)
		next := w.process()
		if n := len(next.InFlight()); n != 8 || load(next, Work)[0] != 8 {
			t.Errorf("%d operations taken over", n)
		}
		g.open()
		for _, id := range ids {
			if end := w.ends(next, id, volume.Succeeded); end.Attempt != 2 || end.Epoch != 2 {
				t.Errorf("ended as %+v", end)
			}
			if w.backend.times(id) != 1 {
				t.Errorf("%d effects", w.backend.times(id))
			}
		}
		pass(time.Minute)
		if w.fenced != 1 || undone != 0 {
			t.Errorf("fenced %d times, undone %d", w.fenced, undone)
		}
		if _, err := old.Submit(t.Context(), w.request("make", args{})); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("the old process answers %v", err)
		}
		if err := stop(old, time.Second); err != nil || len(old.InFlight()) != 0 {
			t.Errorf("the old process is stuck: %v", err)
		}
	})
}

// The first that an old process hears of its successor may be a request.
func TestFencedAtAccept(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.know(making("make"))
		old := w.process()
		w.process()
		for range 2 {
			if _, err := old.Submit(t.Context(), w.request("make", args{})); fault.KindOf(err) != fault.Unavailable {
				t.Errorf("got %v", err)
			}
		}
		if w.fenced != 1 || len(w.tables().ops) != 0 {
			t.Errorf("fenced %d times, operations %v", w.fenced, w.tables().ops)
		}
	})
}

// A cancel that one process was asked for holds for the next.
func TestCancelIsInherited(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		g := newGate()
		m := making("make", g.step("wait"), w.effect())
		m.Undo = func(_ context.Context, t *Task, _ *args, _ error) error {
			w.backend.remove(t.Operation().ID)
			return nil
		}
		w.know(m)
		old := w.process()
		op := w.submit(old, "make", args{})
		synctest.Wait()
		if _, err := old.Cancel(t.Context(), op.ID); err != nil {
			t.Fatal(err)
		}
		next := w.process()
		w.ends(next, op.ID, volume.Cancelled)
		g.open()
		pass(time.Minute)
		w.is(op.ID, volume.Cancelled)
		if w.backend.has(op.ID) {
			t.Error("the effect is there")
		}
	})
}

// What this version cannot run stays for one that can.
func TestUnknownMethodIsLeft(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		g := newGate()
		w.know(making("new", g.step("wait")))
		op := w.submit(w.process(), "new", args{})
		known := w.methods
		w.methods = nil
		old := w.process()
		pass(time.Minute)
		if got, _ := w.journal.Operation(t.Context(), op.ID); got.Status.Terminal() || w.log.Count("cannot take up operation") != 1 {
			t.Errorf("it is %s", got.Status)
		}
		if load(old, Work) != [2]int{} {
			t.Error("it is counted")
		}
		w.methods = known
		g.open()
		w.ends(w.process(), op.ID, volume.Succeeded)
	})
}

// mortal is a journal as a process sees it that dies at some write: from then on
// nothing of it arrives.
type mortal struct {
	*memJournal
	mu     sync.Mutex
	left   int  // writes until it dies
	commit bool // the last one arrives, its answer does not
	died   chan struct{}
}

func (m *mortal) WriteSoon(ctx context.Context, fence Fence, change func(tx Tx) error) error {
	return m.Write(ctx, fence, change)
}

func (m *mortal) Write(ctx context.Context, fence Fence, change func(tx Tx) error) error {
	m.mu.Lock()
	m.left--
	left := m.left
	m.mu.Unlock()
	switch {
	case left > 0:
		return m.memJournal.Write(ctx, fence, change)
	case left == 0 && m.commit:
		_ = m.memJournal.Write(ctx, fence, change)
	}
	if left == 0 {
		close(m.died)
	}
	<-ctx.Done()
	return ctx.Err()
}

// TestKills lets processes die at random writes, under a mix of operations, and
// then wants to see that each has ended once and with all of its effect, or none.
func TestKills(t *testing.T) {
	for range 12 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) { kills(t, w, rand.New(rand.NewPCG(seed, 0))) })
		})
	}
}

func kills(t *testing.T, w *world, random *rand.Rand) {
	const operations, processes = 60, 12
	w.know(w.killable()...)
	w.lanes[Work] = Limits{Slots: 5, Queue: operations * 2}
	requests := make([]Request, operations)
	for i := range requests {
		requests[i] = w.request([]string{"good", "bad", "fickle", "parent"}[i%4], args{Size: i})
	}
	accepted := map[string]string{} // request id -> operation
	submit := func(e *Engine, r Request) {
		op, err := e.Submit(t.Context(), r)
		if err != nil {
			return
		}
		if id, again := accepted[r.RequestID]; again && id != op.ID {
			t.Errorf("request %s is operation %s, and %s", r.RequestID, id, op.ID)
		}
		accepted[r.RequestID] = op.ID
		if random.IntN(10) == 0 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, _ = e.Cancel(ctx, op.ID)
		}
	}
	for range processes {
		j := &mortal{memJournal: w.journal, left: 1 + random.IntN(60), commit: random.IntN(2) == 0, died: make(chan struct{})}
		e := w.prepared(j)
		e.Start()
		clients := make(chan struct{})
		go func() {
			defer close(clients)
			for range operations {
				submit(e, requests[random.IntN(operations)])
				<-time.After(time.Duration(random.IntN(100)) * time.Millisecond)
			}
		}()
		select {
		case <-j.died:
		case <-clients:
		}
		e.cut(errLeft) // it is dead: nothing of it goes on
		e.close()
		<-clients
	}
	last := w.process()
	for _, r := range requests {
		submit(last, r)
	}
	for _, r := range requests {
		if _, err := last.Wait(t.Context(), accepted[r.RequestID]); err != nil {
			t.Error(err)
		}
	}
	pass(time.Hour)
	w.atRest()
}

// killable returns methods that end in each way, with steps that take their time.
func (w *world) killable() []Method[args] {
	slow := step("slow", func(ctx context.Context, t *Task, _ *args) error {
		t.Progress(50)
		select {
		case <-time.After(300 * time.Millisecond):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	full := step("full", func(context.Context, *Task, *args) error { return fault.New(fault.Exhausted, "full") })
	undo := func(_ context.Context, t *Task, _ *args, _ error) error {
		w.backend.remove(t.Operation().ID)
		return nil
	}
	good := making("good", w.effect(), slow)
	bad := making("bad", w.effect(), slow, full)
	fickle := making("fickle", slow, flaky("flaky", fault.New(fault.Unavailable, "away"), fault.New(fault.Unavailable, "away")), w.effect())
	parent := w.followed("parent")
	for _, m := range []*Method[args]{&good, &bad, &fickle, &parent} {
		m.Undo = undo
	}
	return []Method[args]{good, bad, fickle, parent, erasing("follower", slow, w.effect())}
}

// atRest checks that the journal and the backend agree, and that nothing is open.
func (w *world) atRest() {
	w.t.Helper()
	tables := w.tables()
	for id, op := range tables.ops {
		if !op.Status.Terminal() {
			w.t.Errorf("%s is %s: %s", op.Method, op.Status, op.Reason)
		}
		if want := op.Status == volume.Succeeded; w.backend.has(id) != want || want && w.backend.times(id) != 1 {
			w.t.Errorf("%s is %s, and has its effect: %t, made %d times", op.Method, op.Status, w.backend.has(id), w.backend.times(id))
		}
		var a args
		if err := json.Unmarshal(op.Args, &a); err != nil {
			w.t.Error(err)
		}
		if status := tables.volumes[a.VolumeID].Status; status.Transient() {
			w.t.Errorf("%s has ended, its volume is %s", op.Method, status)
		}
		if op.Method == "parent" && op.Status == volume.Succeeded && w.follower(op).Status != volume.Succeeded {
			w.t.Error("a follower has not run")
		}
	}
	if len(tables.claims) != 0 {
		w.t.Errorf("%d claims are left", len(tables.claims))
	}
	ends := map[string]int{}
	for _, e := range tables.events {
		ends[e.OperationID]++
	}
	for id, n := range ends {
		if n != 1 {
			w.t.Errorf("operation %s has ended %d times", id, n)
		}
	}
	if len(ends) != len(tables.ops) {
		w.t.Errorf("%d operations, %d ends", len(tables.ops), len(ends))
	}
}

// Many callers at once, on real threads: requests, repeats, cancels and waits.
func TestManyCallersAtOnce(t *testing.T) {
	inRealTime(t, func(t *testing.T, w *world) {
		make := making("make", step("progress", func(_ context.Context, t *Task, _ *args) error { t.Progress(50); return nil }), w.effect())
		make.Undo = func(_ context.Context, t *Task, _ *args, _ error) error {
			w.backend.remove(t.Operation().ID)
			return nil
		}
		w.know(make)
		e := w.process()
		var callers sync.WaitGroup
		for caller := range 8 {
			callers.Go(func() {
				for i := range 40 {
					r := Request{RequestID: fmt.Sprint(i), ProjectID: fmt.Sprint(caller % 4), Method: "make", Args: args{Size: i}}
					op, err := e.Submit(t.Context(), r)
					if err != nil {
						t.Error(err)
						return
					}
					if i%5 == 0 {
						_, _ = e.Cancel(t.Context(), op.ID)
					}
					e.InFlight()
					if end, err := e.Wait(t.Context(), op.ID); err != nil || !end.Status.Terminal() {
						t.Errorf("it is %s, %v", end.Status, err)
					}
				}
			})
		}
		callers.Wait()
		if err := stop(e, time.Minute); err != nil {
			t.Error(err)
		}
		if n := len(w.tables().ops); n != 160 {
			t.Errorf("%d operations", n)
		}
		w.atRest()
	})
}
