package rbd

import (
	"encoding/binary"
	"testing"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/testenv"
	"github.com/volumed/volumed/volume"
)

// fill writes something into a volume.
func fill(t testing.TB, d *Driver, v volume.Ref) {
	t.Helper()
	img, err := d.open(d.control, v, rbd.OpenImage)
	wantKind(t, "", err)
	_, err = img.WriteAt([]byte("some data"), 8<<20)
	img.close(&err)
	wantKind(t, "", err)
}

// parentOf returns image@snapshot of which v is a clone, empty for none.
func parentOf(t testing.TB, d *Driver, v volume.Ref) string {
	t.Helper()
	img, err := d.open(d.control, v, rbd.OpenImageReadOnly)
	wantKind(t, "", err)
	defer img.discard()
	p, err := img.GetParent()
	if errno(err) == 2 {
		return ""
	}
	wantKind(t, "", err)
	return p.Image.ImageName + "@" + p.Snap.SnapName
}

// again repeats the making of a clone and returns its id.
func again(t testing.TB, d *Driver, v volume.Ref, size int64, from volume.SnapshotRef) string {
	t.Helper()
	loc, err := d.CreateVolumeFromSnapshot(t.Context(),
		volume.Spec{Ref: volume.Ref{Name: v.Name}, Size: size, Repeat: true}, from)
	wantKind(t, "", err)
	return loc.ImageID
}

func TestRepeatedCloneIsNeverEmpty(t *testing.T) {
	_, d := fresh(t)
	source := create(t, d, "volume-1")
	fill(t, d, source)
	snap := snapshot(t, d, source, "snapshot-1")

	t.Run("died before the parent was entered", func(t *testing.T) {
		half := create(t, d, "volume-2") // which looks like any empty image
		id := again(t, d, half, 1, snap)
		if id == half.ImageID || parentOf(t, d, volume.Ref{Name: half.Name}) != snap.String() {
			t.Error("an empty image was taken for the clone")
		}
		wantKind(t, "", remove(t, d, volume.Ref{Name: half.Name}))
	})
	t.Run("died before the parent knew", func(t *testing.T) {
		half := clone(t, d, "volume-2", snap)
		forget(t, d, source, half)
		id := again(t, d, half, 1, snap)
		if known, err := d.knows(d.control, source.ImageID, id); err != nil || !known {
			t.Errorf("the parent does not know of its clone: %v", err)
		}
		wantKind(t, "", remove(t, d, volume.Ref{Name: half.Name}))
	})
	t.Run("died before it grew", func(t *testing.T) {
		half := clone(t, d, "volume-2", snap)
		if id := again(t, d, half, 3, snap); id != half.ImageID {
			t.Error("the clone was made again")
		}
		wantKind(t, fault.Invalid, d.ExtendVolume(t.Context(), half, 2)) // it has 3 GiB
		wantKind(t, "", remove(t, d, half))
	})
	t.Run("flattened since", func(t *testing.T) {
		flat := clone(t, d, "volume-2", snap)
		wantKind(t, "", d.FlattenVolume(t.Context(), flat, nil))
		if id := again(t, d, flat, 1, snap); id != flat.ImageID {
			t.Error("the flattened clone was made again")
		}
		wantKind(t, "", remove(t, d, flat))
	})
	t.Run("snapshot gone since", func(t *testing.T) {
		c := clone(t, d, "volume-2", snap)
		wantKind(t, "", d.DeleteSnapshot(t.Context(), snap))
		if id := again(t, d, c, 1, snap); id != c.ImageID {
			t.Error("the clone was made again")
		}
		wantKind(t, "", remove(t, d, c))
	})
	wantKind(t, "", remove(t, d, source))
	empty(t, d)
}

// forget takes a clone out of its parent's list, as if librbd had not come there.
func forget(t testing.TB, d *Driver, parent, child volume.Ref) {
	t.Helper()
	header := "rbd_header." + parent.ImageID
	lists, err := d.control.io.GetOmapValues(header, "", "snap_children_", 10)
	if err != nil || len(lists) != 1 {
		t.Fatalf("%d lists of clones: %v", len(lists), err)
	}
	img, err := d.open(d.control, parent, rbd.OpenImageReadOnly)
	wantKind(t, "", err)
	snaps, err := img.GetSnapshotNames()
	wantKind(t, "", err)
	img.discard()
	for _, list := range lists {
		in := binary.LittleEndian.AppendUint64(nil, snaps[0].Id)
		in = append(in, list[4:]...) // the one entry after the count
		op := rados.CreateWriteOp()
		defer op.Release()
		op.Exec("rbd", "child_detach", in)
		wantKind(t, "", op.Operate(d.control.io, header, rados.OperationNoFlag))
	}
	if known, err := d.knows(d.control, parent.ImageID, child.ImageID); err != nil || known {
		t.Fatalf("the clone is still known: %v", err)
	}
}

func TestRepeatedCreateOfAHalfMadeImage(t *testing.T) {
	_, d := fresh(t)
	for name, object := range map[string]string{"no header": "rbd_header.", "no object map": "rbd_object_map."} {
		t.Run(name, func(t *testing.T) {
			half := create(t, d, "volume-1")
			if err := d.control.io.Delete(object + half.ImageID); err != nil {
				t.Fatal(err)
			}
			loc, err := d.CreateVolume(t.Context(), volume.Spec{Ref: volume.Ref{Name: half.Name}, Size: 1, Repeat: true})
			wantKind(t, "", err)
			v := volume.Ref{Name: half.Name, ImageID: loc.ImageID}
			wantKind(t, "", d.ExtendVolume(t.Context(), v, 2))
			wantKind(t, "", remove(t, d, v))
		})
	}
}

// A worker that was set to the other format handles what it finds.
func TestFormatsMix(t *testing.T) {
	env := testenv.Ceph(t)
	cfg := config(env, env.NewPool(t))
	second := openDriver(t, cfg)
	cfg.CloneFormat = "1"
	first := openDriver(t, cfg)
	cfg.CloneFormat = "auto"
	if auto := openDriver(t, cfg); auto.cloneFormat != 1 { // a fresh cluster admits luminous
		t.Errorf("automatic format = %d", auto.cloneFormat)
	}

	source := create(t, second, "volume-1")
	snap := snapshot(t, second, source, "snapshot-1") // unprotected
	old := clone(t, first, "volume-2", snap)          // protects it
	recent := clone(t, second, "volume-3", snap)
	for _, d := range []*Driver{first, second} {
		err := d.DeleteSnapshot(t.Context(), snap)
		wantKind(t, fault.Busy, err)
		if got := fault.Of(err).BlockedBy; len(got) == 0 {
			t.Errorf("nothing named in %v", err)
		}
	}
	wantKind(t, "", second.FlattenVolume(t.Context(), old, nil))
	wantKind(t, "", remove(t, first, recent))
	wantKind(t, "", second.DeleteSnapshot(t.Context(), snap))
	wantKind(t, "", remove(t, second, old))
	wantKind(t, "", remove(t, second, source))
	empty(t, first)
}

// The objects of a clone hold at least a stripe unit of the parent.
func TestCloneOfLargerObjects(t *testing.T) {
	env, d := fresh(t)
	env.RBD(t, "create", d.cfg.Pool+"/volume-1", "--size", "1G", "--object-size", "16M")
	source := volume.Ref{Name: "volume-1"}
	snap := snapshot(t, d, source, "snapshot-1")
	c := clone(t, d, "volume-2", snap)
	img, err := d.open(d.control, c, rbd.OpenImageReadOnly)
	wantKind(t, "", err)
	defer img.discard()
	info, err := img.Stat()
	wantKind(t, "", err)
	if info.Order != 24 {
		t.Errorf("order = %d, want 24", info.Order)
	}
}

func TestCreateTooLarge(t *testing.T) {
	_, d := fresh(t)
	_, err := d.CreateVolume(t.Context(), volume.Spec{Ref: volume.Ref{Name: "volume-1"}, Size: 1 << 32})
	wantKind(t, fault.Invalid, err) // more objects than an object map can hold
	if got := fault.Of(err).Field; got != "size" {
		t.Errorf("field = %q", got)
	}
	empty(t, d)
}

// A flatten that is cut off after the snapshot that lived on for the clone went
// with it: nobody can open the image, and it has all of its data.
func TestFlattenEndsWhatADeathLeft(t *testing.T) {
	_, d := fresh(t)
	source := create(t, d, "volume-1")
	fill(t, d, source)
	snap := snapshot(t, d, source, "snapshot-1")
	c := clone(t, d, "volume-2", snap)
	header := "rbd_header." + c.ImageID
	before, err := d.control.io.GetOmapValues(header, "", "", 100)
	wantKind(t, "", err)
	wantKind(t, "", d.DeleteSnapshot(t.Context(), snap))
	wantKind(t, "", d.FlattenVolume(t.Context(), c, nil))
	// As it was before the last part.
	wantKind(t, "", d.control.io.SetOmap(header, before))
	_, err = d.open(d.control, c, rbd.OpenImageReadOnly)
	wantKind(t, fault.NotFound, err)

	wantKind(t, "", d.FlattenVolume(t.Context(), c, nil))
	if parent := parentOf(t, d, c); parent != "" {
		t.Errorf("it is still a clone of %s", parent)
	}
	wantKind(t, "", d.ExtendVolume(t.Context(), c, 2))
	wantKind(t, "", remove(t, d, c))
	wantKind(t, "", remove(t, d, source))
	empty(t, d)
}

// A source that librbd misses is only gone if it is missed again: what was hidden by
// a flatten that has been ended since is worth another try.
func TestMissedSourceIsLookedAtAgain(t *testing.T) {
	env, d := fresh(t)
	source := create(t, d, "volume-1")
	snap := snapshot(t, d, source, "snapshot-1")
	err := d.missed(snap, rbd.ErrNotFound)
	wantKind(t, fault.Unavailable, err)
	if fault.Of(err).RetryAfter != severedRetry {
		t.Errorf("to be tried again after %s", fault.Of(err).RetryAfter)
	}
	if _, err := d.source(snap); err != nil { // it is known now, and not looked at before the clone
		t.Fatal(err)
	}
	env.RBD(t, "snap", "rm", "--no-progress", d.cfg.Pool+"/"+snap.String())
	_, err = d.CreateVolumeFromSnapshot(t.Context(), volume.Spec{Ref: volume.Ref{Name: "volume-2"}, Size: 1}, snap)
	wantKind(t, fault.NotFound, err)
}
