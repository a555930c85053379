package rbd

import (
	"fmt"
	"testing"

	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// What a process leaves of an image when it dies inside librbd.

// setEntry leaves an entry in the trash.
func setEntry(t *testing.T, d *Driver, v volume.Ref, source, state byte) {
	t.Helper()
	entry := []byte{2, 1, 0, 0, 0, 0, source}
	entry = append(appendString(entry, v.Name), make([]byte, 16)...)
	entry = append(entry, state)
	entry[2] = byte(len(entry) - 6)
	if err := d.control.io.SetOmap(trashObject, map[string][]byte{"id_" + v.ImageID: entry}); err != nil {
		t.Fatal(err)
	}
}

// removing leaves the entry of an image that librbd removes.
func removing(state byte) func(*testing.T, *Driver, volume.Ref) {
	return func(t *testing.T, d *Driver, v volume.Ref) { setEntry(t, d, v, sourceRemoving, state) }
}

// nameless takes the name away, the first place where librbd keeps it.
func nameless(t *testing.T, d *Driver, v volume.Ref) {
	t.Helper()
	wantKind(t, "", d.control.io.Delete("rbd_id."+v.Name))
}

// unlisted takes the image out of the directory, the second place.
func unlisted(t *testing.T, d *Driver, v volume.Ref) {
	t.Helper()
	wantKind(t, "", d.control.io.RmOmapKeys(directory, []string{"name_" + v.Name, "id_" + v.ImageID}))
}

// headless takes the header away.
func headless(t *testing.T, d *Driver, v volume.Ref) {
	t.Helper()
	wantKind(t, "", d.control.io.Delete("rbd_header."+v.ImageID))
}

// unmap removes the object map, which librbd does not find without the header.
func unmap(d *Driver, v volume.Ref) { _ = d.control.io.Delete("rbd_object_map." + v.ImageID) }

// A death while what an earlier death had left was being removed: the repeated create
// ends that removal, too, instead of leaving the image in the trash for ever.
func TestRepeatedCreateFinishesARemoval(t *testing.T) {
	_, d := fresh(t)
	cases := map[string][]func(*testing.T, *Driver, volume.Ref){
		"entry made":          {removing(trashMoving), headless},
		"name given back":     {removing(trashMoving), nameless},
		"headless, no name":   {removing(trashMoving), headless, nameless},
		"entry not completed": {removing(trashMoving), nameless, unlisted},
		"hidden":              {removing(trashNormal), nameless, unlisted},
		"header gone":         {removing(trashRemoving), nameless, unlisted, headless},
	}
	for name, die := range cases {
		t.Run(name, func(t *testing.T) {
			half := create(t, d, "volume-1")
			for _, step := range die {
				step(t, d, half)
			}
			loc, err := d.CreateVolume(t.Context(), volume.Spec{Ref: volume.Ref{Name: half.Name}, Size: 1, Repeat: true})
			wantKind(t, "", err)
			if loc.ImageID == "" || loc.ImageID == half.ImageID {
				t.Errorf("the image is %q, the half-removed one was %q", loc.ImageID, half.ImageID)
			}
			wantKind(t, "", remove(t, d, volume.Ref{Name: half.Name, ImageID: loc.ImageID}))
			unmap(d, half)
			empty(t, d)
		})
	}
}

// An object map that is empty is none: the removal of what had none has locked it, and
// died.
func TestRepeatedCreateWithAnEmptyObjectMap(t *testing.T) {
	_, d := fresh(t)
	half := create(t, d, "volume-1")
	wantKind(t, "", d.control.io.Truncate("rbd_object_map."+half.ImageID, 0))
	loc, err := d.CreateVolume(t.Context(), volume.Spec{Ref: volume.Ref{Name: half.Name}, Size: 1, Repeat: true})
	wantKind(t, "", err)
	v := volume.Ref{Name: half.Name, ImageID: loc.ImageID}
	c := clone(t, d, "volume-2", snapshot(t, d, v, "snapshot-1"))
	wantKind(t, "", remove(t, d, c))
	wantKind(t, "", remove(t, d, v))
	empty(t, d)
}

// What somebody else has moved to the trash under that name is not touched.
func TestRepeatedCreateLeavesTheTrashAlone(t *testing.T) {
	_, d := fresh(t)
	old := create(t, d, "volume-1")
	_, err := d.DeleteVolume(t.Context(), old, 0)
	wantKind(t, "", err)
	_, err = d.CreateVolume(t.Context(), volume.Spec{Ref: volume.Ref{Name: old.Name}, Size: 1, Repeat: true})
	wantKind(t, "", err)
	if entry, err := d.control.trashGet(old.ImageID); err != nil || entry == nil {
		t.Errorf("the entry is gone, %v", err)
	}
}

// A large clone that lost its parent, as one that was being made when that went, can
// not be opened to be emptied; it is removed all the same.
func TestPurgeOfALargeCloneWithoutItsParent(t *testing.T) {
	_, d := fresh(t)
	source := create(t, d, "volume-1")
	loc, err := d.CreateVolumeFromSnapshot(t.Context(), volume.Spec{Ref: volume.Ref{Name: "volume-2"}, Size: 5}, snapshot(t, d, source, "snapshot-1"))
	wantKind(t, "", err)
	c := volume.Ref{Name: "volume-2", ImageID: loc.ImageID}
	_, err = d.DeleteVolume(t.Context(), c, 0)
	wantKind(t, "", err)
	headless(t, d, source)
	wantKind(t, "", d.PurgeVolume(t.Context(), c, nil))
	if entry, err := d.control.trashGet(c.ImageID); err != nil || entry != nil {
		t.Errorf("it is still in the trash: %+v, %v", entry, err)
	}
}

// A death in the middle of a snapshot leaves one that can be listed and read, and
// not cloned.
func TestRepeatedSnapshotIsWhole(t *testing.T) {
	_, d := fresh(t)
	v := create(t, d, "volume-1")
	s := snapshot(t, d, v, "snapshot-1")
	wantKind(t, "", d.control.io.Delete(fmt.Sprintf("rbd_object_map.%s.%016x", v.ImageID, snapshotID(t, d, s))))
	before := snapshotID(t, d, s)
	wantKind(t, "", d.CreateSnapshot(t.Context(), s))
	if snapshotID(t, d, s) == before {
		t.Error("the half-made snapshot counts")
	}
	c := clone(t, d, "volume-2", s)
	wantKind(t, "", remove(t, d, c))

	before = snapshotID(t, d, s)
	wantKind(t, "", d.CreateSnapshot(t.Context(), s))
	if snapshotID(t, d, s) != before {
		t.Error("a whole snapshot was taken anew")
	}
}

func snapshotID(t *testing.T, d *Driver, s volume.SnapshotRef) uint64 {
	t.Helper()
	img, err := d.open(d.control, s.Volume, rbd.OpenImageReadOnly)
	wantKind(t, "", err)
	defer img.discard()
	id, err := img.GetSnapID(s.Name)
	wantKind(t, "", err)
	return id
}

// cutOff makes a clone with a snapshot, and leaves it as a flatten does that dies
// before its last part.
func cutOff(t *testing.T, d *Driver) (c volume.Ref, s volume.SnapshotRef) {
	t.Helper()
	source := create(t, d, "volume-1")
	snap := snapshot(t, d, source, "snapshot-1")
	c = clone(t, d, "volume-2", snap)
	s = snapshot(t, d, c, "snapshot-2")
	header := "rbd_header." + c.ImageID
	before, err := d.control.io.GetOmapValues(header, "", "", 100)
	wantKind(t, "", err)
	wantKind(t, "", d.DeleteSnapshot(t.Context(), s)) // a snapshot keeps the parent in use
	wantKind(t, "", d.DeleteSnapshot(t.Context(), snap))
	wantKind(t, "", d.FlattenVolume(t.Context(), c, nil))
	wantKind(t, "", d.control.io.SetOmap(header, map[string][]byte{"parent": before["parent"]}))
	wantKind(t, "", remove(t, d, source))
	return c, s
}

// While a flatten that was cut off is not ended, its volume cannot be opened: what
// else is asked of it waits, instead of taking it for gone.
func TestAllWaitsForAFlattenThatWasCutOff(t *testing.T) {
	_, d := fresh(t)
	c, s := cutOff(t, d)
	wantKind(t, fault.Unavailable, d.CreateSnapshot(t.Context(), s))
	wantKind(t, fault.Unavailable, d.DeleteSnapshot(t.Context(), s))
	wantKind(t, fault.Unavailable, d.ExtendVolume(t.Context(), c, 2))
	_, err := d.CreateVolumeFromSnapshot(t.Context(), volume.Spec{Ref: volume.Ref{Name: "volume-3"}, Size: 1}, s)
	wantKind(t, fault.Unavailable, err)

	wantKind(t, "", d.FlattenVolume(t.Context(), c, nil))
	wantKind(t, "", d.CreateSnapshot(t.Context(), s))
	wantKind(t, "", d.DeleteSnapshot(t.Context(), s))
	wantKind(t, "", d.ExtendVolume(t.Context(), c, 2))
	wantKind(t, "", remove(t, d, c))
	empty(t, d)
}

// One that is deleted so is removed.
func TestPurgeOfAVolumeWhoseFlattenWasCutOff(t *testing.T) {
	_, d := fresh(t)
	c, _ := cutOff(t, d)
	wantKind(t, "", remove(t, d, c))
	empty(t, d)
}
