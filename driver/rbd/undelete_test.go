package rbd

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// setState gives the trash entry of an image another state.
func setState(t *testing.T, d *Driver, id string, state byte) {
	t.Helper()
	value, err := d.control.omapValue(trashObject, "id_"+id)
	if err != nil || value == nil {
		t.Fatalf("no entry of %s: %v", id, err)
	}
	value[len(value)-1] = state
	if err := d.control.io.SetOmap(trashObject, map[string][]byte{"id_" + id: value}); err != nil {
		t.Fatal(err)
	}
}

// named writes the object that a restore writes first.
func named(t *testing.T, d *Driver, v volume.Ref) {
	t.Helper()
	if err := d.control.io.WriteFull("rbd_id."+v.Name, appendString(nil, v.ImageID)); err != nil {
		t.Fatal(err)
	}
}

// listed writes what a restore writes next.
func listed(t *testing.T, d *Driver, v volume.Ref) {
	t.Helper()
	err := d.control.io.SetOmap(directory, map[string][]byte{
		"name_" + v.Name: appendString(nil, v.ImageID), "id_" + v.ImageID: appendString(nil, v.Name),
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What a process leaves that dies inside librbd while it restores, at each point
// where the traces differ, or that died at the end of the move to the trash.
func TestUndeleteFinishesWhatADeathLeft(t *testing.T) {
	_, d := fresh(t)
	state := func(state byte) func(*testing.T, *Driver, volume.Ref) {
		return func(t *testing.T, d *Driver, v volume.Ref) { setState(t, d, v.ImageID, state) }
	}
	cases := map[string][]func(*testing.T, *Driver, volume.Ref){
		"delete, entry not completed": {state(trashMoving)},
		"restore, state set":          {state(trashRestoring)},
		"restore, name taken":         {state(trashRestoring), named},
		"restore, listed":             {state(trashRestoring), named, listed},
	}
	for name, die := range cases {
		t.Run(name, func(t *testing.T) {
			v := create(t, d, "volume-1")
			_, err := d.DeleteVolume(t.Context(), v, time.Hour)
			wantKind(t, "", err)
			for _, step := range die {
				step(t, d, v)
			}
			wantKind(t, "", d.UndeleteVolume(t.Context(), v))
			if entry, err := d.control.trashGet(v.ImageID); entry != nil || err != nil {
				t.Errorf("still in the trash: %+v, %v", entry, err)
			}
			img, err := d.open(d.control, v, rbd.OpenImageReadOnly)
			wantKind(t, "", err)
			img.discard()
			wantKind(t, "", remove(t, d, v))
			empty(t, d)
		})
	}
}

// An undelete that was given up leaves an entry that can be purged.
func TestPurgeOfAnEntryThatWasBeingRestored(t *testing.T) {
	_, d := fresh(t)
	v := create(t, d, "volume-1")
	_, err := d.DeleteVolume(t.Context(), v, 0)
	wantKind(t, "", err)
	setState(t, d, v.ImageID, trashRestoring)
	wantKind(t, "", d.PurgeVolume(t.Context(), v, nil))
	empty(t, d)
}

// What somebody else purges cannot be had back.
func TestUndeleteOfWhatIsBeingRemoved(t *testing.T) {
	_, d := fresh(t)
	v := create(t, d, "volume-1")
	_, err := d.DeleteVolume(t.Context(), v, time.Hour)
	wantKind(t, "", err)
	setState(t, d, v.ImageID, trashRemoving)
	err = d.UndeleteVolume(t.Context(), v)
	wantKind(t, fault.Conflict, err)
	if !strings.Contains(err.Error(), "its data is gone") {
		t.Error(err)
	}
}

// Data, snapshots, settings and format come back as they were.
func TestUndeleteChangesNothing(t *testing.T) {
	_, d := fresh(t)
	v := create(t, d, "volume-1")
	change := func(f func(img *image) error) {
		t.Helper()
		img, err := d.open(d.data, v, rbd.OpenImage)
		wantKind(t, "", err)
		defer img.discard()
		wantKind(t, "", f(img))
	}
	put := func(text string) func(img *image) error {
		return func(img *image) error { _, err := img.WriteAt([]byte(text), 6<<20); return err }
	}
	change(put("before"))
	snapshot(t, d, v, "snapshot-1")
	change(put("after!"))
	change(func(img *image) error { return img.SetMetadata("conf_rbd_qos_iops_limit", "100") })
	_, err := d.DeleteVolume(t.Context(), v, time.Hour)
	wantKind(t, "", err)
	wantKind(t, "", d.UndeleteVolume(t.Context(), v))

	img, err := d.open(d.control, v, rbd.OpenImageReadOnly)
	wantKind(t, "", err)
	defer img.discard()
	read := func(snap, want string) {
		t.Helper()
		got := make([]byte, len(want))
		wantKind(t, "", img.SetSnapshot(snap))
		if _, err := img.ReadAt(got, 6<<20); err != nil || !bytes.Equal(got, []byte(want)) {
			t.Errorf("%q of %q: %v", got, snap, err)
		}
	}
	read("", "after!")
	read("snapshot-1", "before")
	if value, err := img.GetMetadata("conf_rbd_qos_iops_limit"); value != "100" || err != nil {
		t.Errorf("the setting is %q, %v", value, err)
	}
	snaps, err := img.GetSnapshotNames()
	if err != nil || !slices.ContainsFunc(snaps, func(s rbd.SnapInfo) bool { return s.Name == "snapshot-1" }) {
		t.Errorf("snapshots %v, %v", snaps, err)
	}
}

// Whoever else has moved images to the trash keeps them there, whatever they are
// called: a purge finds by image id only.
func TestPurgeLeavesTheTrashOfOthers(t *testing.T) {
	env, d := fresh(t)
	v := create(t, d, "volume-1")
	_, err := d.DeleteVolume(t.Context(), v, 0)
	wantKind(t, "", err)
	env.RBD(t, "create", d.cfg.Pool+"/volume-1", "--size", "1M")
	env.RBD(t, "trash", "mv", d.cfg.Pool+"/volume-1")
	env.RBD(t, "create", d.cfg.Pool+"/volume-2", "--size", "1M")
	env.RBD(t, "trash", "mv", d.cfg.Pool+"/volume-2")
	wantKind(t, "", d.PurgeVolume(t.Context(), v, nil))
	left := strings.Fields(env.RBD(t, "trash", "ls", d.cfg.Pool))
	if !slices.Contains(left, "volume-1") || !slices.Contains(left, "volume-2") || slices.Contains(left, v.ImageID) {
		t.Errorf("left in the trash: %v", left)
	}
}
