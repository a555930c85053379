package storetest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/store"
	"github.com/volumed/volumed/volume"
)

// follow reads all pages of a list and returns the ids in order.
func follow[T any](t *testing.T, limit int, id func(T) string, list func(volume.Page) ([]T, string, error)) []string {
	t.Helper()
	var ids []string
	for marker := ""; ; {
		rows, next, err := list(volume.Page{Limit: limit, Marker: marker})
		if err != nil {
			t.Fatal(err)
		}
		if next != "" && len(rows) != limit {
			t.Errorf("a page of %d has %d rows and a next one", limit, len(rows))
		}
		for _, row := range rows {
			ids = append(ids, id(row))
		}
		if next == "" {
			return ids
		}
		marker = next
	}
}

func checkPages(t *testing.T, what string, ids []string, want int) {
	t.Helper()
	seen := map[string]bool{}
	for _, id := range ids {
		seen[id] = true
	}
	if len(ids) != want || len(seen) != want {
		t.Errorf("%s: %d rows, %d different ones, want %d", what, len(ids), len(seen), want)
	}
}

// Rows with equal times are neither left out nor repeated.
func testPaging(t *testing.T, url string) {
	db := Open(t, url)
	ctx := t.Context()
	fence := TakeOver(t, db, "node@rbd0")
	const rows = 250
	write(t, db, fence, func(tx operation.Tx) error {
		for range rows {
			op := NewOperation(fence)
			v := NewVolume(op.Resource.ID, fence.Host)
			if err := Accept(tx, &op, &v); err != nil {
				return err
			}
			s := volume.Snapshot{ID: uuid.NewString(), VolumeID: v.ID, Status: volume.Creating}
			if err := tx.InsertSnapshot(&s); err != nil {
				return err
			}
		}
		return nil
	})
	for i := range 9 {
		TakeOver(t, db, fmt.Sprintf("node%d@rbd0", i))
	}
	checkPages(t, "volumes", follow(t, 20, func(v volume.Volume) string { return v.ID },
		func(p volume.Page) ([]volume.Volume, string, error) {
			return db.Volumes(ctx, volume.VolumeFilter{Page: p, Host: fence.Host, ProjectID: "p1"})
		}), rows)
	checkPages(t, "snapshots", follow(t, 50, func(s volume.Snapshot) string { return s.ID },
		func(p volume.Page) ([]volume.Snapshot, string, error) {
			return db.Snapshots(ctx, volume.SnapshotFilter{Page: p})
		}), rows)
	checkPages(t, "operations", follow(t, 99, func(op volume.Operation) string { return op.ID },
		func(p volume.Page) ([]volume.Operation, string, error) {
			return db.Operations(ctx, volume.OperationFilter{Page: p})
		}), rows)
	checkPages(t, "events", follow(t, 125, func(e volume.Event) string { return fmt.Sprint(e.ID) },
		func(p volume.Page) ([]volume.Event, string, error) {
			return db.Events(ctx, volume.EventFilter{Page: p})
		}), rows)
	checkPages(t, "services", follow(t, 4, func(s volume.ServiceState) string { return s.Host },
		func(p volume.Page) ([]volume.ServiceState, string, error) {
			return db.Services(ctx, volume.ServiceFilter{Page: p})
		}), 10)
	if list, next, err := db.Volumes(ctx, volume.VolumeFilter{}); err != nil || len(list) != 100 || next == "" {
		t.Errorf("a page without a limit has %d rows, next %q, %v", len(list), next, err)
	}
}

func testBadPages(t *testing.T, url string) {
	db := Open(t, url)
	for _, p := range []volume.Page{{Limit: -1}, {Limit: 1001}, {Marker: "x"}, {Marker: "MTIz"}, {Marker: "\x00"}} {
		_, _, err := db.Volumes(t.Context(), volume.VolumeFilter{Page: p})
		wantKind(t, err, fault.Invalid)
		if fault.Of(err).Field == "" {
			t.Errorf("%+v: the error names no field", p)
		}
	}
	_, _, err := db.Events(t.Context(), volume.EventFilter{Page: volume.Page{Marker: "x"}})
	wantKind(t, err, fault.Invalid)
}

func testFilters(t *testing.T, url string) {
	db := Open(t, url)
	ctx := t.Context()
	fence := TakeOver(t, db, "node@rbd0")
	TakeOver(t, db, "node@xrbd0")
	v := func(id, project, host, name string, status volume.Status) *volume.Volume {
		return &volume.Volume{ID: id, ProjectID: project, Host: host, Name: name, Status: status}
	}
	ops := []volume.Operation{NewOperation(fence), NewOperation(fence), NewOperation(fence)}
	ops[0].ID, ops[1].ID, ops[2].ID = "o1", "o2", "o3"
	ops[1].Status, ops[1].Method, ops[1].ProjectID = volume.Failed, "extend_volume", "q"
	ops[2].Status, ops[2].Backend, ops[2].Resource.ID = volume.Waiting, "node@rbd1", "v3"
	for _, row := range []*volume.Volume{
		v("v1", "p", "node@rbd0#pool", "a", volume.Available), v("v2", "p", "node@rbd0#pool2", "b", volume.Error),
		v("v3", "q", "node@rbd0", "a", volume.Available), v("v4", "q", "node@rbd00#pool", "a", volume.Creating),
		v("v5", "q", "NODE@RBD0#pool", "A", volume.Creating), v("v6", "q", "node@rbd0$x", "a", volume.Creating),
		v("v7", "q", "node@rbd0!x", "a", volume.Creating),
	} {
		write(t, db, fence, func(tx operation.Tx) error { return tx.InsertVolume(row) })
	}
	for i, s := range []volume.Snapshot{
		{ID: "s1", VolumeID: "v1", ProjectID: "p", Name: "a", Status: volume.Available},
		{ID: "s2", VolumeID: "v1", ProjectID: "q", Name: "b", Status: volume.Error},
		{ID: "s3", VolumeID: "v2", ProjectID: "q", Name: "a", Status: volume.Available},
	} {
		write(t, db, fence, func(tx operation.Tx) error { return tx.InsertSnapshot(&s) })
		write(t, db, fence, func(tx operation.Tx) error { return tx.InsertOperation(&ops[i]) })
	}
	for _, tc := range []struct {
		what string
		want string
		got  func() (string, error)
	}{
		{"all volumes", "v7 v6 v5 v4 v3 v2 v1", volumes(ctx, db, volume.VolumeFilter{})},
		{"by project", "v2 v1", volumes(ctx, db, volume.VolumeFilter{ProjectID: "p"})},
		{"by service", "v3 v2 v1", volumes(ctx, db, volume.VolumeFilter{Host: "node@rbd0"})},
		{"by pool", "v1", volumes(ctx, db, volume.VolumeFilter{Host: "node@rbd0#pool"})},
		{"by status", "v3 v1", volumes(ctx, db, volume.VolumeFilter{Status: volume.Available})},
		{"by name and project", "v1", volumes(ctx, db, volume.VolumeFilter{Name: "a", ProjectID: "p"})},
		{"no volumes", "", volumes(ctx, db, volume.VolumeFilter{Name: "%"})},
		{"all snapshots", "s3 s2 s1", snapshots(ctx, db, volume.SnapshotFilter{})},
		{"by volume", "s2 s1", snapshots(ctx, db, volume.SnapshotFilter{VolumeID: "v1"})},
		{"by volume, project, status, name", "s2", snapshots(ctx, db, volume.SnapshotFilter{VolumeID: "v1", ProjectID: "q", Status: volume.Error, Name: "b"})},
		{"all operations", "o3 o2 o1", operations(ctx, db, volume.OperationFilter{})},
		{"by backend", "o2 o1", operations(ctx, db, volume.OperationFilter{Backend: "node@rbd0"})},
		{"unfinished", "o3 o1", operations(ctx, db, volume.OperationFilter{Unfinished: true})},
		{"unfinished of a backend", "o1", operations(ctx, db, volume.OperationFilter{Unfinished: true, Backend: "node@rbd0"})},
		{"by method and project", "o2", operations(ctx, db, volume.OperationFilter{Method: "extend_volume", ProjectID: "q"})},
		{"by operation status", "o3", operations(ctx, db, volume.OperationFilter{Status: volume.Waiting})},
		{"by resource", "o3", operations(ctx, db, volume.OperationFilter{ResourceID: "v3"})},
		{"services", "node@rbd0 node@xrbd0", services(ctx, db, volume.ServiceFilter{})},
		{"by host", "node@rbd0", services(ctx, db, volume.ServiceFilter{Host: "node@rbd0"})},
		{"by backend's name", "node@rbd0", services(ctx, db, volume.ServiceFilter{Host: "rbd0"})},
		{"by part of a name", "", services(ctx, db, volume.ServiceFilter{Host: "bd0"})},
		{"by a long name", "", services(ctx, db, volume.ServiceFilter{Host: strings.Repeat("x", 300)})},
	} {
		if got, err := tc.got(); err != nil || got != tc.want {
			t.Errorf("%s: %q, %v; want %q", tc.what, got, err, tc.want)
		}
	}
}

func volumes(ctx context.Context, db *store.DB, f volume.VolumeFilter) func() (string, error) {
	return func() (string, error) {
		rows, _, err := db.Volumes(ctx, f)
		return ids(rows, func(v volume.Volume) string { return v.ID }), err
	}
}

func snapshots(ctx context.Context, db *store.DB, f volume.SnapshotFilter) func() (string, error) {
	return func() (string, error) {
		rows, _, err := db.Snapshots(ctx, f)
		return ids(rows, func(s volume.Snapshot) string { return s.ID }), err
	}
}

func operations(ctx context.Context, db *store.DB, f volume.OperationFilter) func() (string, error) {
	return func() (string, error) {
		rows, _, err := db.Operations(ctx, f)
		return ids(rows, func(op volume.Operation) string { return op.ID }), err
	}
}

func services(ctx context.Context, db *store.DB, f volume.ServiceFilter) func() (string, error) {
	return func() (string, error) {
		rows, _, err := db.Services(ctx, f)
		return ids(rows, func(s volume.ServiceState) string { return s.Host }), err
	}
}

func ids[T any](rows []T, id func(T) string) string {
	names := make([]string, len(rows))
	for i, row := range rows {
		names[i] = id(row)
	}
	return strings.Join(names, " ")
}

func testHostileText(t *testing.T, url string) {
	db := Open(t, url)
	fence := TakeOver(t, db, "node@rbd0")
	for _, text := range []string{
		`'; DROP TABLE volumes; --`, `"quoted" 'single' \ back`, "$1 ? %s :name @x", "日本語 🙂 é", "line\nbreak\ttab", "%_", strings.Repeat("long", 5000),
	} {
		v := NewVolume(uuid.NewString(), fence.Host)
		v.Name, v.ProjectID, v.Metadata = text, text, map[string]string{text: text}
		write(t, db, fence, func(tx operation.Tx) error { return tx.InsertVolume(&v) })
		list, _, err := db.Volumes(t.Context(), volume.VolumeFilter{Name: text, ProjectID: text})
		if err != nil || len(list) != 1 {
			t.Errorf("%.40q: found %d, %v", text, len(list), err)
			continue
		}
		if diff := cmp.Diff(v, list[0]); diff != "" {
			t.Errorf("%.40q (-want +got):\n%s", text, diff)
		}
	}
	for _, text := range []string{"nul\x00", "\xff\xfe"} {
		v := NewVolume(uuid.NewString(), fence.Host)
		v.Name = text
		writeKind(t, db, fence, fault.Invalid, func(tx operation.Tx) error { return tx.InsertVolume(&v) })
		_, _, err := db.Volumes(t.Context(), volume.VolumeFilter{Name: text})
		wantKind(t, err, fault.Invalid)
	}
}

func testAllocated(t *testing.T, url string) {
	db := Open(t, url)
	fence := TakeOver(t, db, "node@rbd0")
	for i, host := range []string{"node@rbd0#a", "node@rbd0#b", "node@rbd1#a"} {
		v := NewVolume(uuid.NewString(), fence.Host)
		v.Host, v.Size = host, int64(1)<<i
		write(t, db, fence, func(tx operation.Tx) error { return tx.InsertVolume(&v) })
	}
	for host, want := range map[string]int64{"node@rbd0": 3, "node@rbd0#b": 2, "node@rbd1": 4, "nobody": 0} {
		if got, err := db.AllocatedGB(t.Context(), host); err != nil || got != want {
			t.Errorf("%s: %d GiB, %v; want %d", host, got, err, want)
		}
	}
}
