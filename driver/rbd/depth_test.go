package rbd

import (
	"errors"
	"testing"

	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/internal/testenv"
	"github.com/volumed/volumed/volume"
)

// Every link counts: over snapshots that were removed, images that are in the trash or
// in another pool, and those that nobody of this service has made.
func TestDepthCountsEveryLink(t *testing.T) {
	env := testenv.Ceph(t)
	d, elsewhere := openDriver(t, config(env, env.NewPool(t))), openDriver(t, config(env, env.NewPool(t)))
	image := create(t, elsewhere, "an-image")
	snap := snapshot(t, elsewhere, image, "snap")
	opts, err := d.options(22)
	wantKind(t, "", err)
	defer opts.Destroy()
	wantKind(t, "", opts.SetUint64(rbd.ImageOptionCloneFormat, 2))
	wantKind(t, "", rbd.CloneImage(elsewhere.control.io, image.Name, snap.Name, d.control.io, "volume-0", opts))
	id, err := d.control.imageID("volume-0")
	wantKind(t, "", err)
	v := volume.Ref{Name: "volume-0", ImageID: id} // 1
	for n, name := range []string{"volume-1", "volume-2", "volume-3"} {
		s := snapshot(t, d, v, "volume-x.clone_snap")
		spec := volume.Spec{Ref: volume.Ref{Name: name}, Size: 1, MaxDepth: n + 1}
		if _, err := d.CreateVolumeFromSnapshot(t.Context(), spec, s); !errors.Is(err, driver.ErrTooDeep) {
			t.Fatalf("%s with at most %d: %v", name, spec.MaxDepth, err)
		}
		spec.MaxDepth++
		loc, err := d.CreateVolumeFromSnapshot(t.Context(), spec, s)
		wantKind(t, "", err)
		if loc.Depth != spec.MaxDepth {
			t.Errorf("%s has the depth %d, want %d", name, loc.Depth, spec.MaxDepth)
		}
		wantKind(t, "", d.DeleteSnapshot(t.Context(), s))
		_, err = d.DeleteVolume(t.Context(), v, 0)
		wantKind(t, "", err)
		v = volume.Ref{Name: name, ImageID: loc.ImageID}
	}
	s := snapshot(t, d, v, "snapshot-last")
	spec := volume.Spec{Ref: volume.Ref{Name: "volume-4"}, Size: 1, MaxDepth: 1}
	if _, err := d.CreateVolumeFromSnapshot(t.Context(), spec, s); !errors.Is(err, driver.ErrTooDeep) {
		t.Errorf("a deep one: %v", err)
	}
	wantKind(t, "", d.FlattenVolume(t.Context(), v, nil))
	loc, err := d.CreateVolumeFromSnapshot(t.Context(), spec, s) // what was read of s before does not count
	wantKind(t, "", err)
	if loc.Depth != 1 {
		t.Errorf("after the flatten the depth is %d", loc.Depth)
	}
	spec.Repeat = true
	if loc, err = d.CreateVolumeFromSnapshot(t.Context(), spec, s); err != nil || loc.Depth != 1 {
		t.Errorf("repeated: %+v, %v", loc, err)
	}
}
