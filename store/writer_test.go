package store

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/volume"
)

func writerOf(db *DB) *writer { return db.engine.(*sqliteEngine).writer }

// waitQueued returns once so many changes are queued.
func waitQueued(w *writer, urgent, others int) {
	for {
		w.mu.Lock()
		reached := len(w.urgent) == urgent && len(w.queue) == others
		w.mu.Unlock()
		if reached {
			return
		}
		runtime.Gosched()
	}
}

// A heartbeat is in the next group, however much was queued before it.
func TestHeartbeatIsNotBehindOtherWrites(t *testing.T) {
	db := openSQLite(t)
	fence := takeOver(t, db, "node@rbd0")
	w := writerOf(db)
	release := block(t.Context(), db.engine, durable)
	const writes = 200
	results, before := make(chan error, writes), 0
	for range writes {
		go func() {
			results <- db.Write(t.Context(), fence, func(operation.Tx) error {
				before++ // on the writer's goroutine
				return nil
			})
		}()
	}
	waitQueued(w, 0, writes)
	beat, ran := make(chan error, 1), -1
	go func() {
		beat <- w.write(t.Context(), urgent, func(*session) error { ran = before; return nil })
	}()
	waitQueued(w, 1, writes)
	if err := errors.Join(release(), <-beat); err != nil {
		t.Fatal(err)
	}
	for range writes {
		if err := <-results; err != nil {
			t.Fatal(err)
		}
	}
	if ran != 0 || before != writes {
		t.Errorf("the heartbeat came after %d writes of %d", ran, before)
	}
}

func TestGroups(t *testing.T) {
	w := &writer{wake: make(chan struct{}, 1)}
	for range 150 {
		if err := w.enqueue(&request{how: durable}); err != nil {
			t.Fatal(err)
		}
	}
	beat := &request{how: urgent}
	if err := w.enqueue(beat); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{64, 64, 23, 0} {
		group := w.next()
		if len(group) != want {
			t.Errorf("group %d has %d changes, want %d", i, len(group), want)
		}
		if i == 0 && group[0] != beat {
			t.Error("the heartbeat is not first")
		}
	}
}

func TestWithdrawnBeforeItBegins(t *testing.T) {
	db := openSQLite(t)
	fence := takeOver(t, db, "node@rbd0")
	release := block(t.Context(), db.engine, durable)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		result <- db.Write(ctx, fence, func(operation.Tx) error {
			t.Error("a change that was taken back has run")
			return nil
		})
	}()
	waitQueued(writerOf(db), 0, 1)
	cancel()
	if err := <-result; fault.KindOf(err) != fault.Cancelled {
		t.Errorf("error = %v", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if err := db.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// Write returns after the change has, and says that nobody knows the outcome.
func TestCancelledWhileItRuns(t *testing.T) {
	db := openSQLite(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := false
	release := block(t.Context(), db.engine, durable) // so that the next two are in one group
	result, second := make(chan error, 1), make(chan error, 1)
	hold := make(chan struct{})
	go func() {
		result <- db.engine.write(ctx, durable, func(*session) error {
			cancel()
			for range 1000 {
				runtime.Gosched()
			}
			ended = true
			return nil
		})
	}()
	waitQueued(writerOf(db), 0, 1)
	go func() {
		second <- db.engine.write(t.Context(), durable, func(*session) error { <-hold; return nil })
	}()
	waitQueued(writerOf(db), 0, 2)
	if err := release(); err != nil {
		t.Fatal(err)
	}
	err := <-result // while the commit is held up
	if !ended || fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "not known") {
		t.Errorf("change ended: %v, error = %v", ended, err)
	}
	close(hold)
	if err := <-second; err != nil {
		t.Fatal(err)
	}
}

func TestPanickingChange(t *testing.T) {
	db := openSQLite(t)
	fence := takeOver(t, db, "node@rbd0")
	v := volume.Volume{ID: "v"}
	err := db.Write(t.Context(), fence, func(tx operation.Tx) error {
		if err := tx.InsertVolume(&v); err != nil {
			return err
		}
		panic("oops")
	})
	if fault.KindOf(err) != fault.Internal || !strings.Contains(err.Error(), "oops") {
		t.Errorf("error = %v", err)
	}
	if _, err := db.Volume(t.Context(), "v"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("what it wrote: %v", err)
	}
}

// A change that overlooks an error of the database is not committed.
func TestOverlookedError(t *testing.T) {
	db := openSQLite(t)
	fence := takeOver(t, db, "node@rbd0")
	err := db.Write(t.Context(), fence, func(change operation.Tx) error {
		if err := change.InsertVolume(&volume.Volume{ID: "before"}); err != nil {
			return err
		}
		_, _ = change.(*tx).exec("INSERT INTO nowhere VALUES (1)")
		_ = change.InsertVolume(&volume.Volume{ID: "after"})
		return nil
	})
	if fault.KindOf(err) != fault.Internal {
		t.Errorf("error = %v", err)
	}
	for _, id := range []string{"before", "after"} {
		if _, err := db.Volume(t.Context(), id); fault.KindOf(err) != fault.NotFound {
			t.Errorf("volume %s: %v", id, err)
		}
	}
}

// While another program writes, a write waits; its ctx bounds that.
func TestForeignWriter(t *testing.T) {
	path := sqliteFile(t.TempDir() + "/volumed.db")
	db := openAt(t, "sqlite:///"+string(path))
	fence := takeOver(t, db, "node@rbd0")
	foreign, err := path.pool("rw", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	tx, err := foreign.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := db.Heartbeat(ctx, fence, volume.Ready, "", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error = %v", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := db.Heartbeat(t.Context(), fence, volume.Ready, "", nil); err != nil {
		t.Error(err)
	}
}

// together queues changes behind one that runs, so that they become one group, and
// returns what each came to.
func together(t *testing.T, db *DB, changes map[string]func(*session) error, how map[string]manner) map[string]error {
	t.Helper()
	release := block(t.Context(), db.engine, durable)
	type result struct {
		name string
		err  error
	}
	results := make(chan result)
	for name, change := range changes {
		go func() { results <- result{name, db.engine.write(t.Context(), how[name], change)} }()
	}
	waitQueued(writerOf(db), 0, len(changes))
	if err := release(); err != nil {
		t.Fatal(err)
	}
	outcomes := map[string]error{}
	for range changes {
		r := <-results
		outcomes[r.name] = r.err
	}
	return outcomes
}

// A change that fails takes none of its group along.
func TestOneOfAGroupFails(t *testing.T) {
	db := openSQLite(t)
	insert := func(id string, then error) func(*session) error {
		return func(s *session) error {
			_, err := s.exec("INSERT INTO meta (singleton, database_id, created_at) VALUES (1, $1, 1) ON CONFLICT DO UPDATE SET database_id = database_id || $1", id)
			return cmp.Or(then, err)
		}
	}
	refused := fault.New(fault.Conflict, "refused")
	outcomes := together(t, db, map[string]func(*session) error{
		"a": insert("<a>", nil), "b": insert("<b>", refused), "c": insert("<c>", nil),
	}, map[string]manner{"a": durable, "b": durable, "c": soon})
	if outcomes["a"] != nil || outcomes["c"] != nil || !errors.Is(outcomes["b"], refused) {
		t.Errorf("outcomes %v", outcomes)
	}
	var id string
	if _, err := newSession(t.Context(), db.d, db.reads).one([]any{&id}, "SELECT database_id FROM meta"); err != nil {
		t.Fatal(err)
	}
	if strings.Count(id, "<a>") != 1 || strings.Count(id, "<c>") != 1 || strings.Contains(id, "<b>") {
		t.Errorf("written: %s", id)
	}
}

// A commit waits for the disk unless all that it commits can do without.
func TestSynchronous(t *testing.T) {
	db := openSQLite(t)
	const normal, full = 1, 2
	for _, c := range []struct {
		group []manner
		want  int
	}{{[]manner{durable}, full}, {[]manner{soon}, normal}, {[]manner{soon, soon}, normal}, {[]manner{soon, durable}, full}, {[]manner{urgent}, full}} {
		got := make(chan int, 2*len(c.group))
		changes, how := map[string]func(*session) error{}, map[string]manner{}
		for i, m := range c.group {
			name := strconv.Itoa(i)
			how[name] = m
			changes[name] = func(s *session) error {
				var level int
				_, err := s.one([]any{&level}, "PRAGMA synchronous")
				got <- level
				return err
			}
		}
		if c.group[0] == urgent {
			if err := db.engine.write(t.Context(), urgent, changes["0"]); err != nil {
				t.Fatal(err)
			}
		} else {
			together(t, db, changes, how)
		}
		if level := <-got; level != c.want {
			t.Errorf("%v: synchronous = %d, want %d", c.group, level, c.want)
		}
	}
}
