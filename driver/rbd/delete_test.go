package rbd

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// empty fails the test unless nothing at all is left of any image in the pool.
func empty(t testing.TB, d *Driver) {
	t.Helper()
	for _, object := range []string{directory, trashObject} {
		left, err := d.control.io.GetOmapValues(object, "", "", 10)
		if err != nil && errno(err) != 2 {
			t.Fatal(err)
		}
		if len(left) > 0 {
			t.Errorf("%s still holds %q", object, left)
		}
	}
	err := d.control.io.ListObjects(func(name string) {
		for _, prefix := range []string{"rbd_id.", "rbd_header.", "rbd_object_map.", "rbd_data."} {
			if strings.HasPrefix(name, prefix) {
				t.Errorf("object %s is left", name)
			}
		}
	})
	if err != nil {
		t.Error(err)
	}
}

func TestDeleteRefusesAnImageThatIsOpen(t *testing.T) {
	env, d := fresh(t)
	other := openDriver(t, config(env, d.cfg.Pool))
	v := create(t, d, "volume-1")
	img, err := other.open(other.control, v, rbd.OpenImage)
	wantKind(t, "", err)
	_, err = d.DeleteVolume(t.Context(), v, 0)
	wantKind(t, fault.Busy, err)
	if got := fault.Of(err).BlockedBy; !slices.Equal(got, []string{other.control.addr}) {
		t.Errorf("blocked by %q, want %q", got, other.control.addr)
	}
	_, err = d.InitializeConnection(t.Context(), v, "", nil)
	wantKind(t, "", err) // it stayed where it is
	img.close(&err)
	wantKind(t, "", remove(t, d, v))
	empty(t, d)
}

// A handle of an earlier attempt of this very driver does not keep a volume.
func TestDeleteIgnoresItsOwnHandles(t *testing.T) {
	_, d := fresh(t)
	v := create(t, d, "volume-1")
	img, err := d.open(d.data, v, rbd.OpenImage)
	wantKind(t, "", err)
	_, err = d.DeleteVolume(t.Context(), v, 0)
	wantKind(t, "", err)
	img.close(&err)
	wantKind(t, "", d.PurgeVolume(t.Context(), v, nil))
}

func TestDeleteRefusesAGroupMember(t *testing.T) {
	env, d := fresh(t)
	v := create(t, d, "volume-1")
	env.RBD(t, "group", "create", d.cfg.Pool+"/g1")
	env.RBD(t, "group", "image", "add", d.cfg.Pool+"/g1", d.cfg.Pool+"/"+v.Name)
	_, err := d.DeleteVolume(t.Context(), v, 0)
	wantKind(t, fault.Busy, err)
	if got := fault.Of(err).BlockedBy; !slices.Equal(got, []string{"group g1"}) {
		t.Errorf("blocked by %q", got)
	}
	env.RBD(t, "group", "image", "rm", d.cfg.Pool+"/g1", d.cfg.Pool+"/"+v.Name)
	wantKind(t, "", remove(t, d, v))
}

// What a process leaves that dies inside librbd, at each point where the traces
// differ, and that delete and purge end it.
func TestDeleteFinishesWhatADeathLeft(t *testing.T) {
	_, d := fresh(t)
	const user = 0 // the source of a trash entry
	moving := func(t *testing.T, d *Driver, v volume.Ref) { setEntry(t, d, v, user, trashMoving) }
	cases := map[string][]func(t *testing.T, d *Driver, v volume.Ref){
		"create, before the header":    {headless},
		"create, before the directory": {headless, unlisted},
		"trash, entry made":            {moving},
		"trash, name given back":       {moving, nameless},
		"trash, entry not completed":   {moving, nameless, unlisted},
		"remove, hidden":               {removing(trashNormal), nameless, unlisted},
		"remove, header gone":          {removing(trashRemoving), nameless, unlisted, headless},
	}
	for name, die := range cases {
		t.Run(name, func(t *testing.T) {
			for known, ref := range map[string]func(v volume.Ref) volume.Ref{
				"by id":   func(v volume.Ref) volume.Ref { return v },
				"by name": func(v volume.Ref) volume.Ref { return volume.Ref{Name: v.Name} },
			} {
				v := create(t, d, "volume-1")
				for _, step := range die {
					step(t, d, v)
				}
				if err := remove(t, d, ref(v)); err != nil && fault.KindOf(err) != fault.Invalid {
					t.Fatalf("%s: %v", known, err)
				}
				unmap(d, v)
				empty(t, d)
			}
		})
	}
}

// The real thing: a removal that is killed inside librbd hides the image.
func TestDeleteFinishesAHalfRemovedImage(t *testing.T) {
	env, d := fresh(t)
	env.RBD(t, "create", d.cfg.Pool+"/volume-1", "--size", "100M", "--object-size", "4K", "--image-feature", "layering")
	v := volume.Ref{Name: "volume-1"}
	killRemoval(t, env, d, v.Name)
	if _, err := d.control.io.Stat("rbd_id." + v.Name); err == nil {
		t.Fatal("the removal was killed too early: the image has its name still")
	}
	loc, err := d.DeleteVolume(t.Context(), v, 0)
	wantKind(t, "", err)
	if loc.ImageID == "" {
		t.Fatal("the hidden image was not found")
	}
	v.ImageID = loc.ImageID
	wantKind(t, "", d.PurgeVolume(t.Context(), v, nil))
	empty(t, d)
}

func TestTrashIsSearchedBeyondOnePage(t *testing.T) {
	_, d := fresh(t)
	entry := append(appendString([]byte{2, 1, 25, 0, 0, 0, 0}, "other"), make([]byte, 17)...)
	for page := range 3 {
		many := map[string][]byte{}
		for i := range trashPage / 2 {
			many["id_0"+string(rune('a'+page))+time.Unix(int64(i), 0).Format("150405.000")+"x"] = entry
		}
		if err := d.control.io.SetOmap(trashObject, many); err != nil {
			t.Fatal(err)
		}
	}
	v := create(t, d, "volume-1")
	loc, err := d.DeleteVolume(t.Context(), volume.Ref{Name: v.Name}, 0)
	wantKind(t, "", err)
	again, err := d.DeleteVolume(t.Context(), volume.Ref{Name: v.Name}, 0)
	wantKind(t, "", err)
	if again != loc || loc.ImageID != v.ImageID {
		t.Errorf("found %v, want %v", again, v)
	}
}

func TestDeleteAndCreateInAFullPool(t *testing.T) {
	env, d := fresh(t)
	v := create(t, d, "volume-1")
	img, err := d.open(d.control, v, rbd.OpenImage)
	wantKind(t, "", err)
	_, err = img.WriteAt([]byte("data"), 0)
	wantKind(t, "", err)
	img.close(&err)
	wantKind(t, "", err)
	snap := snapshot(t, d, v, "snapshot-1")
	c := clone(t, d, "volume-2", snap)
	env.Ceph(t, "osd", "pool", "set-quota", d.cfg.Pool, "max_objects", "1")
	for full := false; !full; { // the monitor looks at quotas every few seconds
		full = strings.Contains(env.Ceph(t, "health", "detail"), d.cfg.Pool)
	}
	timely(t, 5*time.Second, func() {
		for err = nil; err == nil; { // until the client has the map
			_, err = d.CreateVolume(t.Context(), volume.Spec{Ref: volume.Ref{Name: "volume-3"}, Size: 1, Repeat: true})
			if err == nil {
				wantKind(t, "", remove(t, d, volume.Ref{Name: "volume-3"}))
			}
		}
		wantKind(t, fault.Exhausted, err)
		wantKind(t, fault.Exhausted, d.FlattenVolume(t.Context(), c, nil))
	})
	if stats := measured(t, d); *stats.FreeCapacityGB != 0 {
		t.Errorf("a full pool reports %v GiB free", *stats.FreeCapacityGB)
	}
	wantKind(t, "", remove(t, d, c))
	wantKind(t, "", remove(t, d, v))
}

// A purge that finds the image open does not wait for long: nobody tells it when it
// is not any more.
func TestPurgeOfAnOpenImage(t *testing.T) {
	env, d := fresh(t)
	v := create(t, d, "volume-1")
	_, err := d.DeleteVolume(t.Context(), v, 0)
	wantKind(t, "", err)
	other := openDriver(t, config(env, d.cfg.Pool))
	for name, opener := range map[string]*Driver{"this client": d, "another client": other} {
		img, err := opener.openAs(opener.data, v.ImageID, rbd.OpenImageById)
		wantKind(t, "", err)
		err = d.PurgeVolume(t.Context(), v, nil)
		wantKind(t, fault.Busy, err)
		if after := fault.Of(err).RetryAfter; after <= 0 || after > 5*time.Second {
			t.Errorf("open in %s: look again after %s", name, after)
		}
		err = nil
		img.close(&err)
		wantKind(t, "", err)
	}
	wantKind(t, "", d.PurgeVolume(t.Context(), v, nil))
	empty(t, d)
}

// A snapshot of the trash goes with the last clone, which may be just now.
func TestPurgeOfASnapshotThatIsGone(t *testing.T) {
	_, d := fresh(t)
	v := create(t, d, "volume-1")
	img, err := d.open(d.data, v, rbd.OpenImage)
	wantKind(t, "", err)
	defer img.close(&err)
	wantKind(t, "", img.removeSnapshot(t.Context(), rbd.SnapInfo{Id: 4711, Name: "was-there"}))
}
