package rbd

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ceph/go-ceph/rbd"
	"github.com/google/go-cmp/cmp"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// list returns the inventory by name; trashed images under "trash <name>".
func list(t testing.TB, d *Driver, deep bool) map[string]volume.Image {
	t.Helper()
	images := map[string]volume.Image{}
	err := d.Inventory(t.Context(), deep, func(img volume.Image, _ int) error {
		name := img.Name
		if img.Trashed {
			name = "trash " + name
		}
		images[name] = img
		return nil
	})
	wantKind(t, "", err)
	return images
}

// The headers tell what librbd tells, of every sort of image.
func TestHeadersSayWhatLibrbdSays(t *testing.T) {
	env, d := fresh(t)
	pool := d.cfg.Pool
	v := create(t, d, "volume-1")
	env.RBD(t, "snap", "create", pool+"/volume-1@plain")
	env.RBD(t, "snap", "create", pool+"/volume-1@kept")
	env.RBD(t, "snap", "protect", pool+"/volume-1@kept")
	env.RBD(t, "snap", "create", pool+"/volume-1@gone")
	env.RBD(t, "clone", "--rbd-default-clone-format", "1", pool+"/volume-1@kept", pool+"/clone-1")
	env.RBD(t, "clone", "--rbd-default-clone-format", "2", pool+"/volume-1@gone", pool+"/clone-2")
	env.RBD(t, "snap", "rm", pool+"/volume-1@gone") // lives on, unseen, for its clone
	env.RBD(t, "resize", "--no-progress", "--size", "2G", pool+"/clone-2")
	env.RBD(t, "clone", "--rbd-default-clone-format", "2", pool+"/volume-1@plain", pool+"/flat")
	env.RBD(t, "flatten", "--no-progress", pool+"/flat")
	env.RBD(t, "clone", "--rbd-default-clone-format", "2", pool+"/volume-1@plain", pool+"/flat-head", "--image-feature", "layering")
	env.RBD(t, "snap", "create", pool+"/flat-head@before")
	env.RBD(t, "flatten", "--no-progress", pool+"/flat-head") // without deep-flatten the snapshot still depends
	env.RBD(t, "image-meta", "set", pool+"/clone-2", "conf_rbd_qos_iops_limit", "100")
	env.RBD(t, "image-meta", "set", pool+"/clone-2", "note", "of mine")
	env.RBD(t, "create", "--size", "1M", "--object-size", "8K", pool+"/small")
	env.RBD(t, "group", "create", pool+"/g")
	env.RBD(t, "group", "image", "add", pool+"/g", pool+"/small")
	env.RBD(t, "group", "snap", "create", pool+"/g@s") // in a namespace of its own
	small, err := d.openAs(d.control, "small", rbd.OpenImage)
	wantKind(t, "", err)
	for i := range headerPage + 9 { // more than are read at once
		if err := small.SetMetadata(fmt.Sprint("key", i), "value"); err != nil {
			t.Fatal(err)
		}
	}
	small.discard()
	env.RBD(t, "create", "--size", "3G", pool+"/trashed")
	env.RBD(t, "trash", "mv", pool+"/trashed")

	images := list(t, d, false)
	if len(images) != 7 {
		t.Errorf("%d images: %v", len(images), images)
	}
	for name, img := range images {
		want := volume.Image{ID: img.ID, Name: img.Name, Trashed: img.Trashed, KeepUntil: img.KeepUntil}
		wantKind(t, "", d.readOpen(&want))
		if len(want.Metadata) == 0 {
			want.Metadata = map[string]string{}
		}
		if diff := cmp.Diff(want, img); diff != "" {
			t.Errorf("%s: librbd -, header +\n%s", name, diff)
		}
	}
	if p := images["clone-2"].Parent; p == nil || p.ImageID != v.ImageID || images["flat"].Parent != nil || images["flat-head"].Parent != nil {
		t.Errorf("parents: %+v", images)
	}
	if n := len(images["volume-1"].Snapshots); n != 2 || !images["volume-1"].Snapshots[1].Protected {
		t.Errorf("snapshots: %+v", images["volume-1"].Snapshots)
	}
	if images["small"].Metadata["key520"] != "value" || len(images["small"].Snapshots) != 0 || images["trash trashed"].Size != 3*volume.GiB {
		t.Errorf("small %+v, trashed %+v", images["small"], images["trash trashed"])
	}
}

// Who has an image open, and who has it locked, by hand or by writing.
func TestDeepInventory(t *testing.T) {
	env, d := fresh(t)
	v := create(t, d, "volume-1")
	env.RBD(t, "lock", "add", d.cfg.Pool+"/volume-1", "by-hand")
	other := openDriver(t, d.cfg)
	img, err := other.open(other.control, v, rbd.OpenImage)
	wantKind(t, "", err)
	defer img.discard()

	got := list(t, d, true)["volume-1"]
	if !slices.Equal(got.Watchers, []string{other.control.addr}) || len(got.Locks) != 1 {
		t.Fatalf("watchers %v, locks %v", got.Watchers, got.Locks)
	}
	lock := got.Locks[0]
	if lock.Cookie != "by-hand" || lock.Managed || !strings.HasPrefix(lock.Client, "client.") || !strings.Contains(lock.Addr, ":0/") {
		t.Errorf("lock %+v", lock)
	}
	wantKind(t, "", d.RemoveLock(t.Context(), v, lock))
	if found, err := d.Inspect(t.Context(), v, true); err != nil || len(found) != 1 || len(found[0].Locks) != 0 {
		t.Errorf("after the removal: %+v, %v", found, err)
	}
	wantKind(t, fault.Invalid, d.RemoveLock(t.Context(), v, volume.ImageLock{Client: "nonsense", Cookie: "c"}))
	if list := env.Ceph(t, "osd", "blocklist", "ls"); strings.Contains(list, strings.TrimSuffix(lock.Addr, "\n")) {
		t.Errorf("the owner of the lock was shut out: %s", list)
	}

	// Writing takes the lock that librbd manages.
	if _, err := img.WriteAt([]byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	got = list(t, d, true)["volume-1"]
	if len(got.Locks) != 1 || !got.Locks[0].Managed || got.Locks[0].Addr != other.control.addr {
		t.Errorf("locks %+v", got.Locks)
	}
}

// What librbd left half way is told as broken, and ends nothing.
func TestInventoryOfWhatIsBroken(t *testing.T) {
	_, d := fresh(t)
	create(t, d, "whole")
	for _, name := range []string{"headless", "headless-trash"} {
		v := create(t, d, name)
		if name == "headless-trash" {
			_, err := d.DeleteVolume(t.Context(), v, time.Hour)
			wantKind(t, "", err)
		}
		if err := d.control.io.Delete("rbd_header." + v.ImageID); err != nil {
			t.Fatal(err)
		}
	}
	strange := create(t, d, "strange")
	if err := d.control.io.SetOmap("rbd_header."+strange.ImageID, map[string][]byte{"parent": {9, 9, 0, 0, 0, 0}}); err != nil {
		t.Fatal(err)
	}
	images := list(t, d, true)
	for name, broken := range map[string]bool{"whole": false, "headless": true, "trash headless-trash": true, "strange": true} {
		if img, there := images[name]; !there || (img.Broken != "") != broken {
			t.Errorf("%s: %+v, there %v", name, img, there)
		}
	}
	if n := d.handles.Load(); n != 0 {
		t.Errorf("%d images are left open", n)
	}
}
