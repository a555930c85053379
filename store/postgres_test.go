package store

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/testenv"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/volume"
)

// A heartbeat has a connection of its own.
func TestPostgresHeartbeatIsNotBehindOtherWrites(t *testing.T) {
	db := openAt(t, testenv.Postgres(t))
	fence := takeOver(t, db, "node@rbd0")
	var release []func() error
	for range cap(db.engine.(*postgresEngine).slots) {
		release = append(release, block(t.Context(), db.engine, durable))
	}
	queued := make(chan error, 200)
	for range cap(queued) {
		go func() { queued <- db.Write(t.Context(), fence, func(operation.Tx) error { return nil }) }()
	}
	if err := db.Heartbeat(t.Context(), fence, volume.Ready, "", nil); err != nil {
		t.Error(err)
	}
	if _, _, err := db.Services(t.Context(), volume.ServiceFilter{}); err != nil {
		t.Errorf("a read beside the writes: %v", err)
	}
	for _, let := range release {
		if err := let(); err != nil {
			t.Error(err)
		}
	}
	for range cap(queued) {
		if err := <-queued; err != nil {
			t.Fatal(err)
		}
	}
}

// A write that has passed its fence is committed before the service changes
// hands, and does not hold up the heartbeat meanwhile.
func TestPostgresTakeOverWaitsForWrites(t *testing.T) {
	url := testenv.Postgres(t)
	db, next := openAt(t, url), openAt(t, url)
	fence := takeOver(t, db, "node@rbd0")
	taken := make(chan operation.Fence, 1)
	err := db.Write(t.Context(), fence, func(tx operation.Tx) error {
		if err := db.Heartbeat(t.Context(), fence, volume.Ready, "", nil); err != nil {
			return err
		}
		go func() {
			s, _, err := next.TakeOver(context.Background(), volume.Service{Host: fence.Host, Binary: volume.Binary})
			if err != nil {
				t.Error(err)
			}
			if _, err := next.Volume(context.Background(), "v"); err != nil {
				t.Errorf("the service changed hands before the write was committed: %v", err)
			}
			taken <- operation.Fence{Host: fence.Host, Epoch: s.Epoch}
		}()
		waitForLock(t, db, taken)
		return tx.InsertVolume(&volume.Volume{ID: "v"})
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := <-taken; got.Epoch != fence.Epoch+1 {
		t.Errorf("epoch = %d", got.Epoch)
	}
}

// waitForLock returns once a connection to the database waits for a lock, or the
// service was taken without one.
func waitForLock(t *testing.T, db *DB, taken chan operation.Fence) {
	for waiting := 0; waiting == 0 && len(taken) == 0; {
		_, err := db.reader(t.Context()).one([]any{&waiting},
			"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
		if err != nil {
			t.Error(err)
			return
		}
	}
}

// A deadlock is run again, and both changes are made.
func TestPostgresDeadlock(t *testing.T) {
	db := openAt(t, testenv.Postgres(t))
	fence := takeOver(t, db, "node@rbd0")
	for _, id := range []string{"a", "b"} {
		err := db.Write(t.Context(), fence, func(tx operation.Tx) error { return tx.InsertVolume(&volume.Volume{ID: id}) })
		if err != nil {
			t.Fatal(err)
		}
	}
	met := map[string]chan struct{}{"a": make(chan struct{}), "b": make(chan struct{})}
	runs, results := make(chan struct{}, 100), make(chan error, 2)
	for first, second := range map[string]string{"a": "b", "b": "a"} {
		go func() {
			once := false
			results <- db.Write(t.Context(), fence, func(tx operation.Tx) error {
				runs <- struct{}{}
				if _, err := tx.Volume(first); err != nil {
					return err
				}
				if !once {
					once = true
					close(met[first])
					<-met[second]
				}
				v, err := tx.Volume(second)
				if err != nil {
					return err
				}
				v.Size++
				return tx.UpdateVolume(&v, v.Status)
			})
		}()
	}
	if err := errors.Join(<-results, <-results); err != nil {
		t.Error(err)
	}
	if len(runs) < 3 {
		t.Errorf("%d runs: they did not meet", len(runs))
	}
	for _, id := range []string{"a", "b"} {
		if v, err := db.Volume(t.Context(), id); err != nil || v.Size != 1 {
			t.Errorf("volume %s: %+v, %v", id, v, err)
		}
	}
}

// After the server has dropped every connection, writes go on.
func TestPostgresConnectionsLost(t *testing.T) {
	url := testenv.Postgres(t)
	db := openAt(t, url)
	fence := takeOver(t, db, "node@rbd0")
	var release []func() error
	for range cap(db.engine.(*postgresEngine).slots) { // so that the pool has many
		release = append(release, block(t.Context(), db.engine, durable))
	}
	for _, let := range release {
		if err := let(); err != nil {
			t.Fatal(err)
		}
	}
	killer, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer killer.Close()
	_, err = killer.ExecContext(t.Context(),
		"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if err := db.Write(t.Context(), fence, func(operation.Tx) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Heartbeat(t.Context(), fence, volume.Ready, "", nil); err != nil {
		t.Error(err)
	}
}

func TestPostgresAway(t *testing.T) {
	_, err := Open(t.Context(), "postgresql://u@127.0.0.1:1/d", Options{})
	if fault.KindOf(err) != fault.Unavailable {
		t.Errorf("error = %v", err)
	}
}
