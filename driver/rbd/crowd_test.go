package rbd

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/internal/testenv"
	"github.com/volumed/volumed/volume"
)

// An image gets as many snapshots as it may have, hidden ones too; those are held by
// clones, and go with a flatten.
func TestSnapshotsAreLimited(t *testing.T) {
	env := testenv.Ceph(t)
	cfg := config(env, env.NewPool(t))
	cfg.MaxSnapshots = 3
	d := openDriver(t, cfg)
	v := create(t, d, "volume-1")
	var clones []volume.Ref
	for _, name := range []string{"volume-2", "volume-3"} {
		s := snapshot(t, d, v, "of-"+name)
		clones = append(clones, clone(t, d, name, s))
		wantKind(t, "", d.DeleteSnapshot(t.Context(), s))
	}
	kept := snapshot(t, d, v, "snapshot-1")
	snapshot(t, d, v, kept.Name) // that is there counts
	beyond := volume.SnapshotRef{Volume: v, Name: "snapshot-2"}
	if err := d.CreateSnapshot(t.Context(), beyond); !errors.Is(err, driver.ErrTooManySnapshots) {
		t.Fatalf("a fourth snapshot: %v", err)
	}

	held := func(from int, want ...volume.Ref) {
		t.Helper()
		_, got, err := d.HeldSnapshots(t.Context(), v, from)
		wantKind(t, "", err)
		if diff := cmp.Diff(want, slices.Concat(got...)); diff != "" {
			t.Errorf("held, from %d snapshots (-want +got):\n%s", from, diff)
		}
	}
	held(4)
	held(3, clones...)
	_, err := d.DeleteVolume(t.Context(), clones[1], 0)
	wantKind(t, "", err)
	held(3, clones[0])
	wantKind(t, "", d.FlattenVolume(t.Context(), clones[0], nil))
	held(2)
	wantKind(t, "", d.CreateSnapshot(t.Context(), beyond))
}
