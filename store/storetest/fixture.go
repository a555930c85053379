// Package storetest is the suite that store passes on each of its engines, and
// the rows that tests of other packages write through it.
package storetest

import (
	"path/filepath"
	"testing"

	"github.com/google/uuid"

	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/store"
	"github.com/volumed/volumed/volume"
)

// quiet is a store.Logger that says nothing.
type quiet struct{}

// Info implements store.Logger.
func (quiet) Info(string, ...any) {}

// SQLite returns the URL of a new SQLite database without a schema.
func SQLite(t testing.TB) string {
	return "sqlite:///" + filepath.Join(t.TempDir(), "volumed.db")
}

// Open migrates and opens the database of the URL; it is closed with the test.
func Open(t testing.TB, url string) *store.DB {
	t.Helper()
	if err := store.Migrate(t.Context(), url, quiet{}); err != nil {
		t.Fatal(err)
	}
	return Reopen(t, url)
}

// Reopen opens a database that is migrated already, as another process would.
func Reopen(t testing.TB, url string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), url, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// TakeOver takes the service of the host over and returns the right to write for it.
func TakeOver(t testing.TB, db *store.DB, host string) operation.Fence {
	t.Helper()
	s, _, err := db.TakeOver(t.Context(), NewService(host))
	if err != nil {
		t.Fatal(err)
	}
	return operation.Fence{Host: host, Epoch: s.Epoch}
}

// NewService returns a service as a process offers it to TakeOver.
func NewService(host string) volume.Service {
	return volume.Service{Host: host, Binary: volume.Binary, Topic: volume.Binary, AvailabilityZone: "nova"}
}

// NewOperation returns a new create_volume of a new volume.
func NewOperation(fence operation.Fence) volume.Operation {
	return volume.Operation{
		ID: uuid.NewString(), RequestID: uuid.NewString(), ProjectID: "p1", UserID: "u1", Method: "create_volume",
		Args: volume.Args(`{"size":1}`), ArgHash: "h", Lane: "work", Status: volume.Queued,
		Resource: volume.Resource{Type: volume.VolumeResource, ID: uuid.NewString()},
		Backend:  fence.Host, Epoch: fence.Epoch, Attempt: 1,
	}
}

// NewVolume returns a volume that is being created on the pool "volumes" of the host.
func NewVolume(id, host string) volume.Volume {
	return volume.Volume{
		ID: id, ProjectID: "p1", UserID: "u1", Name: "vol", Size: 1, Status: volume.Creating,
		AttachStatus: volume.Detached, Host: host + "#volumes", AvailabilityZone: "nova",
	}
}

// Accept writes what accepting a create_volume writes.
func Accept(tx operation.Tx, op *volume.Operation, v *volume.Volume) error {
	if err := tx.InsertOperation(op); err != nil {
		return err
	}
	if err := tx.InsertVolume(v); err != nil {
		return err
	}
	if err := tx.Claim(op.ID, op.Resource, operation.Exclusive); err != nil {
		return err
	}
	return tx.AppendEvent(&volume.Event{Resource: op.Resource, OperationID: op.ID, What: op.Method + ".accepted"})
}

// Finish writes what the end of an operation on a volume writes.
func Finish(tx operation.Tx, op *volume.Operation, v *volume.Volume, from volume.Status) error {
	if err := tx.UpdateVolume(v, from); err != nil {
		return err
	}
	if err := tx.UpdateOperation(op); err != nil {
		return err
	}
	if err := tx.Release(op.ID); err != nil {
		return err
	}
	return tx.AppendEvent(&volume.Event{Resource: op.Resource, OperationID: op.ID, What: op.Method + "." + string(op.Status)})
}
