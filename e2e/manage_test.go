package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ceph/go-ceph/rbd"
	"github.com/google/go-cmp/cmp"

	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// manageAll runs volumectl volume manage --all, and returns what each source became.
func (s *service) manageAll(code int, flags ...string) map[string]string {
	s.t.Helper()
	stdout, stderr, got := s.runVolumectl(append([]string{"volume", "manage", "--all", "--backend", "rbd0", "-o", "json"}, flags...)...)
	var doc struct {
		Steps []struct {
			Action     string
			SourceName string `json:"source_name"`
			Done       bool
			Error      string
		}
	}
	if err := json.Unmarshal([]byte(stdout), &doc); err != nil || got != code {
		s.t.Fatalf("manage --all: exit %d, %v, %s\n%s", got, err, stderr, stdout)
	}
	steps := map[string]string{}
	for _, step := range doc.Steps {
		steps[step.SourceName] = fmt.Sprint(step.Action, " ", step.Done, step.Error)
	}
	return steps
}

// A pool that cinder-volume has filled is taken over as it is: ids, snapshots, clones,
// and what is kept for them. Not a byte is copied, the audit finds no difference, and
// what is deleted then takes along what was kept for it.
func TestPoolOfCinderIsTakenOver(t *testing.T) {
	t.Parallel()
	s := newService(t, options{backends: 2})
	c, glance := newCinder(s), openPool(t, s.ceph, s.pools[1])
	root := c.volume(2)
	snap := c.snapshot(root)
	middle := c.clone(root)
	leaf := c.clone(middle)
	c.delete(middle)
	c.delete(c.clone(root)) // of which nothing is left
	ofSnap := c.fromSnapshot(root, snap)
	backedUp := c.volume(1)
	c.backup(backedUp)
	ofImage := c.image(glance)
	volumes := []string{root, leaf, ofSnap, backedUp, ofImage}

	s.start()
	s.ready()
	if code, doc := s.auditCommand("audit", "--backend", "rbd0"); code != 1 || doc.Audits[0].Audit.Drift != 6 {
		t.Fatalf("before: exit %d, %+v", code, doc)
	}
	before, images := c.pool.data(t), c.pool.images(t)
	want := map[string]string{
		"volume-" + middle + ".deleted":        "manage-as-deleted ",
		"volume-" + root + "@snapshot-" + snap: "manage-snapshot ",
	}
	for _, id := range volumes {
		want["volume-"+id] = "manage "
	}
	with := func(done string) map[string]string {
		all := map[string]string{}
		for name, action := range want {
			all[name] = action + done
		}
		return all
	}
	if diff := cmp.Diff(with("false"), s.manageAll(0, "--plan")); diff != "" {
		t.Errorf("the plan (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(images, c.pool.images(t)); diff != "" {
		t.Errorf("the plan has changed something: %s", diff)
	}
	if diff := cmp.Diff(with("true"), s.manageAll(0, "--owner", "p1")); diff != "" {
		t.Errorf("what was done (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, c.pool.data(t)); diff != "" {
		t.Errorf("the data (-before +after):\n%s", diff)
	}
	after := c.pool.images(t)
	for _, id := range volumes {
		v := s.shown(id)
		if v.Status != volume.Available || v.ProjectID != "p1" || v.ImageID != images["volume-"+id] || after["volume-"+id] != v.ImageID {
			t.Errorf("volume %+v, image %s", v, after["volume-"+id])
		}
	}
	s.command(0, "available", "snapshot", "show", snap)
	s.command(0, "", "audit", "--backend", "rbd0", "--deep")
	if again := s.manageAll(0); len(again) != 0 {
		t.Errorf("a second time: %v", again)
	}
	c.goes(s, root, snap, leaf, ofSnap, backedUp, ofImage)
}

// goes deletes the volumes one by one, and looks at what goes with each.
func (c *cinder) goes(s *service, root, snap, leaf, ofSnap, backedUp, ofImage string) {
	t := s.t
	t.Helper()
	if names := c.pool.inspect(t, root).snapshots; len(names) != 2 {
		t.Errorf("snapshots of the root: %v", names)
	}
	s.deleteVolume(leaf)
	s.quiet() // the purge of the leaf, then that of what was kept for it, then its snapshot
	if names := c.pool.inspect(t, root).snapshots; !slices.Equal(names, []string{"snapshot-" + snap}) || len(s.trash(0)) > 0 {
		t.Errorf("after the last clone: snapshots %v, trash %v", names, s.trash(0))
	}
	s.command(0, "", "audit", "--backend", "rbd0")
	s.createVolume(rpc.CreateVolumeRequest{SnapshotID: snap})
	for _, id := range []string{ofSnap, backedUp, ofImage} {
		s.deleteVolume(id)
	}
	for v, err := range s.client.Volumes(t.Context(), rpc.ListVolumesRequest{Host: s.backend(0)}) {
		if err != nil {
			t.Fatal(err)
		}
		s.command(0, "deleted", "volume", "delete", "--cascade", v.ID)
	}
	s.quiet()
	if left := c.pool.objects(t, "rbd_id.", "rbd_header.", "rbd_data."); len(left) > 0 {
		t.Errorf("left in the pool: %v", left)
	}
}

// What is flattened gives up what was kept for it, too.
func TestFlattenOfWhatCinderCloned(t *testing.T) {
	s := newService(t, options{})
	c := newCinder(s)
	root := c.volume(1)
	clone := c.clone(root)
	s.start()
	s.ready()
	s.manageAll(0)
	s.command(0, "available", "volume", "flatten", clone)
	s.quiet()
	if names := c.pool.inspect(t, root).snapshots; len(names) != 0 {
		t.Errorf("snapshots of the root: %v", names)
	}
	s.command(0, "", "audit")
	s.deleteVolume(root)
	s.quiet()
	c.pool.written(t, clone)
}

// An image of any name and size becomes a volume, and stays when it is forgotten; one
// that cannot be managed says why.
func TestManageOneImage(t *testing.T) {
	s := started(t, options{})
	p := openPool(t, s.ceph, s.pools[0])
	p.create(t, theirs, 3<<29)
	img, err := rbd.OpenImage(p.io, theirs, rbd.NoSnapshot)
	if err == nil {
		_, err = img.CreateSnapshot("by-hand")
	}
	if err != nil {
		t.Fatal(err)
	}
	s.command(1, "volume in use", "volume", "manage", theirs, "--backend", "rbd0")
	s.command(0, "volume in use", "volume", "manageable", "--backend", "rbd0")
	if err := img.Close(); err != nil {
		t.Fatal(err)
	}
	id := p.images(t)[theirs]
	s.command(1, "which is 2 GiB and not 1", "volume", "manage", theirs, "--backend", "rbd0", "--size", "1")
	s.command(1, "does not hold one id", "volume", "manage", theirs, "--backend", "rbd0", "--keep-id")
	s.command(1, "this is for operators", "volume", "manage", theirs, "--backend", "rbd0", "--project", "p1")
	if got := p.images(t); len(got) != 1 || got[theirs] != id {
		t.Errorf("after what was refused: %v", got)
	}
	s.command(0, "available", "volume", "manage", theirs, "--backend", "rbd0", "--name", "mine")
	page, err := s.client.ListVolumes(t.Context(), rpc.ListVolumesRequest{})
	if err != nil || len(page.Volumes) != 1 {
		t.Fatalf("%+v, %v", page, err)
	}
	v := page.Volumes[0]
	if v.Size != 2 || v.ImageID != id || p.images(t)["volume-"+v.ID] != id || p.inspect(t, v.ID).size != 2*volume.GiB {
		t.Errorf("volume %+v, images %v", v, p.images(t))
	}
	s.command(0, "by-hand", "snapshot", "manageable", "--volume", "mine")
	s.command(0, "available", "snapshot", "manage", "by-hand", "--volume", "mine", "--name", "shot")
	s.command(0, "", "audit")
	s.command(0, "already managed", "volume", "manageable", "--backend", "rbd0", "--sort-key", "size", "--sort-dir", "desc")
	names := p.inspect(t, v.ID).snapshots

	s.command(0, "deleted", "snapshot", "unmanage", "shot")
	s.command(0, "deleted", "volume", "unmanage", "mine")
	s.command(0, "", "audit")
	if got := p.images(t); got["volume-"+v.ID] != id || !slices.Equal(p.inspect(t, v.ID).snapshots, names) {
		t.Errorf("what was forgotten: %v, %v", got, p.inspect(t, v.ID).snapshots)
	}
	s.command(0, "was left to others", "volume", "why", v.ID)
	s.command(0, "available", "volume", "manage", "volume-"+v.ID, "--backend", "rbd0", "--keep-id")
	s.command(0, "available", "snapshot", "manage", names[0], "--volume", v.ID, "--keep-id")
	if !strings.Contains(names[0], "snapshot-") {
		t.Errorf("snapshots %v", names)
	}
	s.command(0, "", "audit", "--deep")
}
