package rbd

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// written makes a volume in the trash of which every object is written.
func written(t testing.TB, d *Driver, name string, size int64) volume.Ref {
	t.Helper()
	loc, err := d.CreateVolume(t.Context(), volume.Spec{Ref: volume.Ref{Name: name}, Size: size})
	wantKind(t, "", err)
	v := volume.Ref{Name: name, ImageID: loc.ImageID}
	img, err := rbd.OpenImage(d.data.io, name, rbd.NoSnapshot)
	wantKind(t, "", err)
	info, err := img.Stat()
	wantKind(t, "", err)
	for n := range info.Num_objs {
		if _, err := img.WriteAt([]byte("x"), int64(n*info.Obj_size)); err != nil {
			t.Fatal(err)
		}
	}
	wantKind(t, "", img.Close())
	_, err = d.DeleteVolume(t.Context(), v, 0)
	wantKind(t, "", err)
	return v
}

// objects returns how many objects of the image are in the pool.
func objects(t testing.TB, d *Driver, v volume.Ref) int {
	t.Helper()
	n := 0
	err := d.control.io.ListObjects(func(object string) {
		if strings.Contains(object, v.ImageID) {
			n++
		}
	})
	wantKind(t, "", err)
	return n
}

// The purge of a large volume tells how far it is, ends soon when it shall, with its
// entry still in the trash, and goes on from there.
func TestPurgeOfALargeVolume(t *testing.T) {
	_, d := fresh(t)
	v := written(t, d, "volume-large", 8)
	before := objects(t, d, v)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := d.PurgeVolume(ctx, v, func(percent int) {
		if percent >= 30 {
			cancel()
		}
	})
	wantKind(t, fault.Cancelled, err)
	if left := objects(t, d, v); left == 0 || left > before*8/10 {
		t.Errorf("%d of %d objects are left", left, before)
	}
	if entry, err := d.control.trashGet(v.ImageID); err != nil || entry == nil {
		t.Fatalf("the entry in the trash: %v, %v", entry, err)
	}

	var told []int
	wantKind(t, "", d.PurgeVolume(t.Context(), v, func(percent int) { told = append(told, percent) }))
	if !slices.IsSorted(told) || len(told) < 20 || told[len(told)-1] != 100 {
		t.Errorf("progress %v", told)
	}
	if left := objects(t, d, v); left != 0 {
		t.Errorf("%d objects are left", left)
	}
}
