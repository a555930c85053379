package storetest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/volume"
)

// An image is in a cache once; what is no entry, and what was not used for the longest
// time, comes first.
func testCache(t *testing.T, url string) {
	const host = "node1@rbd0"
	db := Open(t, url)
	fence := TakeOver(t, db, host)
	insert := func(project, on string, size int64) string {
		id := uuid.NewString()
		write(t, db, fence, func(tx operation.Tx) error {
			return tx.InsertVolume(&volume.Volume{ID: id, ProjectID: project, Host: on, Size: size, Status: volume.Available, AttachStatus: volume.Detached})
		})
		return id
	}
	first, second := insert(volume.CacheProject, host+"#rbd", 1), insert(volume.CacheProject, host+"#rbd", 2)
	stray := insert(volume.CacheProject, host+"#rbd", 3)
	insert("p1", host+"#rbd", 4)
	insert(volume.CacheProject, "node1@rbd1#rbd", 5)
	enter := func(id, image string) func(operation.Tx) error {
		return func(tx operation.Tx) error {
			return tx.InsertCachedImage(&volume.CachedImage{VolumeID: id, Host: host, Image: image})
		}
	}
	write(t, db, fence, enter(first, "a"))
	write(t, db, fence, enter(second, "b"))
	writeKind(t, db, fence, fault.Exists, enter(stray, "a"))
	write(t, db, fence, func(tx operation.Tx) error { return tx.UseCachedImage(first) })
	write(t, db, fence, func(tx operation.Tx) error {
		e, err := tx.CachedImage(host, "a")
		if err != nil || e.VolumeID != first || e.UsedAt.IsZero() {
			t.Errorf("%+v, %v", e, err)
		}
		_, err = tx.CachedImage("node1@rbd1", "a")
		wantKind(t, err, fault.NotFound)
		return nil
	})
	want := []volume.CacheVolume{
		{ID: stray, Size: 3, Status: volume.Available}, {ID: second, Size: 2, Status: volume.Available}, {ID: first, Size: 1, Status: volume.Available},
	}
	list := func() []volume.CacheVolume {
		t.Helper()
		got, err := db.CacheVolumes(t.Context(), host)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	got := list()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(volume.CacheVolume{}, "UsedAt")); diff != "" || !got[0].UsedAt.IsZero() || got[1].UsedAt.IsZero() {
		t.Errorf("%s %+v", diff, got)
	}
	for range 2 { // the second time it is none
		write(t, db, fence, func(tx operation.Tx) error { return tx.DropCachedImage(first) })
	}
	writeKind(t, db, fence, fault.NotFound, func(tx operation.Tx) error { _, err := tx.CachedImage(host, "a"); return err })
	if got := list(); got[0].ID != first || !got[0].UsedAt.IsZero() {
		t.Errorf("%+v", got)
	}
}
