package storetest

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/store"
	"github.com/volumed/volumed/volume"
)

var later = time.Date(2031, 2, 3, 4, 5, 6, 789123000, time.UTC)

// wholeVolume, wholeSnapshot and wholeOperation have every field set.
func wholeVolume(host string) volume.Volume {
	return volume.Volume{
		ID: uuid.NewString(), NameID: "other", ProjectID: "p", UserID: "u", Name: "n", Description: "d", Size: 7,
		Status: volume.Creating, PreviousStatus: volume.Available, AttachStatus: volume.Attached, Host: host + "#pool",
		ClusterName: "c@rbd0", AvailabilityZone: "z", SnapshotID: "s", SourceVolID: "v", VolumeTypeID: "t", MigrationStatus: volume.MigrationSuccess,
		Bootable: true, Multiattach: true, ImageMetadata: map[string]string{"disk_format": "raw"}, Metadata: map[string]string{"a": "1", "ü": "\"x\""}, ImageID: "1f2e",
		AdoptedParent: &volume.ImageParent{Pool: "pool id 3", ImageID: "2e1f", SnapshotID: 9},
		UpdatedAt:     later, LaunchedAt: later.Add(time.Second), TerminatedAt: later.Add(2 * time.Second), DeletedAt: later,
	}
}

func wholeSnapshot(volumeID string) volume.Snapshot {
	return volume.Snapshot{
		ID: uuid.NewString(), VolumeID: volumeID, ProjectID: "p", UserID: "u", Name: "n", Description: "d",
		Status: volume.Creating, PreviousStatus: volume.Available, Progress: "0%", VolumeSize: 7, Metadata: map[string]string{"k": "v"},
		UpdatedAt: later, DeletedAt: later,
	}
}

func wholeOperation(fence operation.Fence) volume.Operation {
	op := NewOperation(fence)
	op.Step, op.Progress, op.ETA, op.Attempt, op.Reason, op.NextTry = "copy", 42, later, 3, "cluster away", later.Add(time.Minute)
	op.BlockedBy, op.Hint = []string{"10.0.0.1:0/7", "volume-a"}, "detach it first"
	op.Error = &volume.OperationError{Kind: fault.Busy, Message: "m", Field: "f", BlockedBy: []string{"x", "y"}, Hint: "h", Retryable: true, RetryAfter: 1.5}
	op.Result, op.CancelRequested, op.TraceParent = json.RawMessage(`{ "b":1, "a":"<&>" }`), true, "00-ab-cd-01"
	op.StartedAt, op.FinishedAt, op.Deadline, op.UpdatedAt = later.Add(1000), later.Add(2000), later.Add(time.Hour), later
	return op
}

// checkWhole fails when a field of the sample is not set: the round trip would
// not notice that its column is missing.
func checkWhole(t *testing.T, sample any, except ...string) {
	t.Helper()
	v := reflect.ValueOf(sample)
	unset := map[string]bool{}
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			unset[v.Type().Field(i).Name] = true
		}
	}
	for _, name := range except {
		delete(unset, name)
	}
	if len(unset) > 0 {
		t.Errorf("%T: the sample leaves out %v", sample, unset)
	}
}

func testRoundTrip(t *testing.T, url string) {
	db := Open(t, url)
	fence := TakeOver(t, db, "node@rbd0")
	v, op := wholeVolume(fence.Host), wholeOperation(fence)
	s := wholeSnapshot(v.ID)
	checkWhole(t, v, "CreatedAt")
	checkWhole(t, s, "CreatedAt")
	checkWhole(t, op, "CreatedAt")
	before := time.Now().Add(-time.Millisecond)
	write(t, db, fence, func(tx operation.Tx) error {
		if err := tx.InsertOperation(&op); err != nil {
			return err
		}
		if err := tx.InsertVolume(&v); err != nil {
			return err
		}
		return tx.InsertSnapshot(&s)
	})
	if v.CreatedAt.Before(before) || v.CreatedAt.After(time.Now()) {
		t.Errorf("created_at is %v", v.CreatedAt)
	}
	wantRows(t, db, fence, v, s, op)

	keep := v.Metadata
	v.Status, v.Size, v.Name, v.Bootable, v.Metadata = volume.Available, 9, "renamed", false, nil
	s.Status, s.Progress = volume.Available, "100%"
	op.Status, op.Step, op.Progress, op.Error, op.Result, op.ETA, op.NextTry = volume.Running, "", 43, nil, nil, time.Time{}, time.Time{}
	write(t, db, fence, func(tx operation.Tx) error {
		if err := tx.UpdateOperation(&op); err != nil {
			return err
		}
		if err := tx.UpdateVolume(&v, volume.Creating); err != nil {
			return err
		}
		return tx.UpdateSnapshot(&s, volume.Creating)
	})
	v.Metadata = keep
	wantRows(t, db, fence, v, s, op)
}

// wantRows compares the rows as a transaction and as a reader sees them.
func wantRows(t *testing.T, db *store.DB, fence operation.Fence, v volume.Volume, s volume.Snapshot, op volume.Operation) {
	t.Helper()
	type rows struct {
		V  volume.Volume
		S  volume.Snapshot
		Op volume.Operation
	}
	var inside, outside rows
	write(t, db, fence, func(tx operation.Tx) (err error) {
		if inside.V, err = tx.Volume(v.ID); err != nil {
			return err
		}
		if inside.S, err = tx.Snapshot(s.ID); err != nil {
			return err
		}
		inside.Op, err = tx.OperationByRequest(op.ProjectID, op.RequestID)
		return err
	})
	var errV, errS, errOp error
	outside.V, errV = db.Volume(t.Context(), v.ID)
	outside.S, errS = db.Snapshot(t.Context(), s.ID)
	outside.Op, errOp = db.Operation(t.Context(), op.ID)
	if errV != nil || errS != nil || errOp != nil {
		t.Fatal(errV, errS, errOp)
	}
	want := rows{v, s, op}
	if diff := cmp.Diff(want, inside); diff != "" {
		t.Errorf("in a transaction (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, outside); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}
}

func testCompareAndSet(t *testing.T, url string) {
	db := Open(t, url)
	fence := TakeOver(t, db, "node@rbd0")
	v := NewVolume(uuid.NewString(), fence.Host)
	write(t, db, fence, func(tx operation.Tx) error { return tx.InsertVolume(&v) })
	s := wholeSnapshot(v.ID)
	write(t, db, fence, func(tx operation.Tx) error { return tx.InsertSnapshot(&s) })

	other := v
	other.Size = 99
	writeKind(t, db, fence, fault.Conflict, func(tx operation.Tx) error { return tx.UpdateVolume(&other, volume.Available) })
	writeKind(t, db, fence, fault.Exists, func(tx operation.Tx) error { return tx.InsertVolume(&other) })
	writeKind(t, db, fence, fault.Conflict, func(tx operation.Tx) error { return tx.UpdateSnapshot(&s, volume.Available) })
	writeKind(t, db, fence, fault.Exists, func(tx operation.Tx) error { return tx.InsertSnapshot(&s) })
	missing := NewVolume(uuid.NewString(), fence.Host)
	writeKind(t, db, fence, fault.NotFound, func(tx operation.Tx) error { return tx.UpdateVolume(&missing, volume.Creating) })
	writeKind(t, db, fence, fault.NotFound, func(tx operation.Tx) error { _, err := tx.Volume(missing.ID); return err })
	writeKind(t, db, fence, fault.NotFound, func(tx operation.Tx) error { _, err := tx.Snapshot(missing.ID); return err })
	writeKind(t, db, fence, fault.NotFound, func(tx operation.Tx) error { _, err := tx.OperationByRequest("p", "r"); return err })
	if got, err := db.Volume(t.Context(), v.ID); err != nil || got.Size != 1 {
		t.Errorf("a lost compare-and-set wrote: %+v, %v", got, err)
	}

	// What a refused insert leaves behind is a transaction that goes on.
	write(t, db, fence, func(tx operation.Tx) error {
		wantKind(t, tx.InsertVolume(&other), fault.Exists)
		return tx.InsertVolume(&missing)
	})
	if _, err := db.Volume(t.Context(), missing.ID); err != nil {
		t.Error(err)
	}
	_, err := db.Operation(t.Context(), "none")
	wantKind(t, err, fault.NotFound)
}

func testDeletedRows(t *testing.T, url string) {
	db := Open(t, url)
	fence := TakeOver(t, db, "node@rbd0")
	v := NewVolume(uuid.NewString(), fence.Host)
	s := wholeSnapshot(v.ID)
	s2 := wholeSnapshot(v.ID)
	write(t, db, fence, func(tx operation.Tx) error {
		if err := tx.InsertVolume(&v); err != nil {
			return err
		}
		if err := tx.InsertSnapshot(&s); err != nil {
			return err
		}
		return tx.InsertSnapshot(&s2)
	})
	v.Status, s.Status = volume.Deleted, volume.Deleted
	write(t, db, fence, func(tx operation.Tx) error {
		if err := tx.UpdateSnapshot(&s, volume.Creating); err != nil {
			return err
		}
		return tx.UpdateVolume(&v, volume.Creating)
	})
	_, err := db.Volume(t.Context(), v.ID)
	wantKind(t, err, fault.NotFound)
	_, err = db.Snapshot(t.Context(), s.ID)
	wantKind(t, err, fault.NotFound)
	if list, _, err := db.Volumes(t.Context(), volume.VolumeFilter{}); err != nil || len(list) != 0 {
		t.Errorf("deleted volumes are listed: %v, %v", list, err)
	}
	write(t, db, fence, func(tx operation.Tx) error {
		_, err := tx.Volume(v.ID)
		wantKind(t, err, fault.NotFound)
		live, err := tx.Snapshots(v.ID)
		if len(live) != 1 || live[0].ID != s2.ID {
			t.Errorf("live snapshots = %v", live)
		}
		if err != nil {
			return err
		}
		if n, err := tx.Attachments(v.ID); n != 0 || err != nil {
			t.Errorf("attachments = %d, %v", n, err)
		}
		record, err := tx.DeletedVolume(v.ID)
		if err == nil && (!record.Deleted() || !record.DeletedAt.Equal(v.DeletedAt)) {
			t.Errorf("record = %+v", record)
		}
		return err
	})
	if record, err := db.VolumeRecord(t.Context(), v.ID); err != nil || !record.Deleted() {
		t.Errorf("record = %+v, %v", record, err)
	}
	if record, err := db.SnapshotRecord(t.Context(), s.ID); err != nil || record.Status != volume.Deleted {
		t.Errorf("record = %+v, %v", record, err)
	}
	_, err = db.VolumeRecord(t.Context(), "none")
	wantKind(t, err, fault.NotFound)
	write(t, db, fence, func(tx operation.Tx) error {
		record, err := tx.DeletedSnapshot(s.ID)
		if err == nil && record.DeletedAt.IsZero() {
			t.Errorf("record = %+v", record)
		}
		_, live := tx.DeletedSnapshot(s2.ID)
		wantKind(t, live, fault.NotFound)
		return err
	})
	v.Status = volume.Available // an undelete
	write(t, db, fence, func(tx operation.Tx) error { return tx.UpdateVolume(&v, volume.Deleted) })
	if back, err := db.Volume(t.Context(), v.ID); err != nil || back.Deleted() {
		t.Errorf("undeleted = %+v, %v", back, err)
	}
}
