package e2e

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/volumed/volumed/internal/testenv"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// Every kind of drift, made by hand on the cluster, is found; what may be repaired is,
// which the cluster's own tools show; and nothing that is not this service's is touched.
func TestDriftIsFoundAndRepaired(t *testing.T) {
	t.Parallel()
	s := started(t, options{})
	if code, doc := s.auditCommand("audit"); code != 0 || len(doc.Audits) != 1 || doc.Audits[0].Audit.Drift != 0 {
		t.Fatalf("exit %d in a new pool: %+v", code, doc)
	}
	d := s.makeDrift()
	foreign := d.tellForeign()

	code, doc := s.auditCommand("audit", "--backend", "rbd0", "--deep")
	if diff := cmp.Diff(d.found, kindsOf(doc)); code != 1 || diff != "" {
		t.Fatalf("exit %d (-want +got):\n%s", code, diff)
	}
	code, doc = s.auditCommand("audit", "repair", "--plan", "--deep")
	if code != 0 || len(doc.Audits) != 1 {
		t.Fatalf("plan: exit %d, %+v", code, doc)
	}
	for i, f := range doc.Audits[0].Findings {
		if f.Repair == nil || f.Repair.Step != i+1 || f.Repair.Reason == "" {
			t.Errorf("step %d: %+v", i+1, f.Repair)
		}
	}
	if code, _ := s.auditCommand("audit", "repair", "--apply", doc.Audits[0].Audit.ID); code != 0 {
		t.Fatalf("apply: exit %d", code)
	}
	s.quiet()
	d.check()
	if diff := cmp.Diff(foreign, d.tellForeign()); diff != "" {
		t.Errorf("foreign images were touched: %s", diff)
	}
	d.watcher.end()
	s.eventually("the watcher is forgotten", func() error {
		if out := s.ceph.RBD(t, "status", d.pool+"volume-"+d.watched.ID); strings.Contains(out, "watcher=") {
			return errors.New(out)
		}
		return nil
	})
	_, doc = s.auditCommand("audit", "--deep")
	if diff := cmp.Diff(d.stays, kindsOf(doc)); diff != "" {
		t.Errorf("after the repair (-want +got):\n%s", diff)
	}
}

// A plan is refused when the cluster has changed under it, by the name of the step.
func TestPlanIsOvertaken(t *testing.T) {
	s := started(t, options{})
	v := s.createVolume(rpc.CreateVolumeRequest{Size: 1})
	image := s.pools[0] + "/volume-" + v.ID
	s.ceph.RBD(t, "snap", "create", image+"@volumed-clone-"+uuid.NewString())
	_, doc := s.auditCommand("audit", "repair", "--plan")
	s.ceph.RBD(t, "snap", "create", image+"@later")
	code, out := s.volumectl("audit", "repair", "--apply", doc.Audits[0].Audit.ID)
	if code != 1 || !strings.Contains(out, "step 1 ") || !strings.Contains(out, "overtaken") {
		t.Errorf("exit %d: %s", code, out)
	}
	if names := s.snapshots(v.ID); len(names) != 2 {
		t.Errorf("snapshots %v", names)
	}
}

// drift is what makeDrift has made.
type drift struct {
	*service
	pool         string // with a slash
	found, stays []string

	lost, grown, shrunk, tagged, locked, watched volume.Volume
	source, orphan, broken                       volume.Volume
	trashed                                      string // image id
	removed                                      []volume.Volume
	unsnapped                                    volume.Snapshot
	watcher                                      *watcher
}

// makeDrift makes one of each kind, by the rbd command; what that cannot do, by SQL.
func (s *service) makeDrift() *drift {
	t := s.t
	d := &drift{service: s, pool: s.pools[0] + "/"}
	rbd := func(args ...string) { s.ceph.RBD(t, args...) }
	made := func(size int64) (volume.Volume, string) {
		v := s.createVolume(rpc.CreateVolumeRequest{Size: size})
		return v, d.pool + "volume-" + v.ID
	}
	var name string
	d.orphan, name = made(1)
	rbd("rm", "--no-progress", name) // image_missing
	d.lost, name = made(1)
	rbd("mv", name, d.pool+"lost") // image_renamed
	_, name = made(1)
	rbd("rm", "--no-progress", name)
	rbd("create", "--size", "1G", name) // image_replaced
	_, name = made(1)
	rbd("trash", "mv", name) // image_trashed
	d.grown, name = made(1)
	rbd("resize", "--no-progress", "--size", "3G", name) // size_differs
	d.shrunk, name = made(3)
	rbd("resize", "--no-progress", "--size", "1G", "--allow-shrink", name) // size_differs
	rbd("create", "--size", "1G", d.pool+"volume-"+uuid.NewString())       // row_missing
	d.locked, name = made(1)
	rbd("lock", "add", name, "by-hand") // stray_lock
	d.tagged, name = made(1)
	rbd("config", "image", "set", name, "rbd_qos_iops_limit", "100") // stray_setting

	var source string
	d.source, source = made(1)
	gone := s.createSnapshot(d.source.ID)
	reply, err := s.client.DeleteSnapshot(t.Context(), s.backend(0), rpc.DeleteSnapshotRequest{SnapshotID: gone.ID}, wait)
	s.succeeded("delete_snapshot", reply.Operation, err)
	deleted, name := made(1)
	s.deleteVolume(deleted.ID)
	s.quiet()
	rbd("snap", "create", source+"@by-hand")                                // stray_snapshot
	rbd("snap", "create", source+"@snapshot-"+gone.ID)                      // stray_snapshot
	rbd("snap", "create", source+"@volumed-clone-"+uuid.NewString())        // stray_clone_snapshot
	rbd("snap", "create", source+"@volume-"+deleted.ID+".clone_snap")       // stray_clone_snapshot
	rbd("snap", "create", source+"@volume-"+uuid.NewString()+".clone_snap") // stray_clone_snapshot, of a stranger
	rbd("snap", "protect", source+"@volume-"+deleted.ID+".clone_snap")
	d.unsnapped = s.createSnapshot(d.source.ID)
	rbd("snap", "rm", "--no-progress", source+"@snapshot-"+d.unsnapped.ID) // snapshot_missing

	clone := s.createVolume(rpc.CreateVolumeRequest{SourceVolID: d.source.ID})
	s.sql("UPDATE volumes SET source_volid = ? WHERE id = ?", d.tagged.ID, clone.ID) // parent_differs
	rbd("create", "--size", "1G", name)
	d.trashed = s.imageID(name)
	rbd("trash", "mv", name)
	s.sql("UPDATE volumes SET image_id = ? WHERE id = ?", d.trashed, deleted.ID) // stray_trash
	for _, half := range []bool{false, true} {                                   // row_missing, of volumes of ours
		v, name := made(1)
		s.deleteVolume(v.ID)
		s.quiet()
		rbd("create", "--size", "1G", name)
		id := s.imageID(name)
		s.sql("UPDATE volumes SET image_id = ? WHERE id = ?", id, v.ID)
		if half {
			s.behead(id)
		}
		d.removed = append(d.removed, v)
	}
	d.broken, _ = made(1)
	s.behead(d.broken.ImageID) // image_broken
	stranger := d.pool + "volume-" + uuid.NewString()
	rbd("create", "--size", "1G", stranger)
	rbd("trash", "mv", stranger) // stray_trash
	rbd("create", "--size", "1G", d.pool+"theirs")
	rbd("snap", "create", d.pool+"theirs@theirs") // foreign_image

	d.watched, name = made(1)
	d.watcher = s.watch(name) // stray_watcher

	d.found = []string{
		"foreign_image", "image_broken", "image_missing", "image_renamed", "image_replaced", "image_trashed", "parent_differs",
		"row_missing", "row_missing", "row_missing",
		"size_differs", "size_differs", "snapshot_missing", "stray_clone_snapshot", "stray_clone_snapshot", "stray_clone_snapshot",
		"stray_lock", "stray_setting", "stray_snapshot", "stray_snapshot", "stray_trash", "stray_trash", "stray_watcher",
	}
	d.stays = []string{
		"foreign_image", "image_broken", "image_replaced", "image_trashed", "parent_differs", "row_missing", "stray_clone_snapshot", "stray_snapshot", "stray_trash",
	}
	return d
}

// check looks at the cluster, and at the rows, for what the repair has done.
func (d *drift) check() {
	t := d.t
	t.Helper()
	sizes := map[string]int64{}
	for _, name := range d.images(0) { // ls --long fails with what is broken
		var info struct{ Size int64 }
		if name == "lost" || strings.HasPrefix(name, "volume-") && name != "volume-"+d.broken.ID {
			d.rbdJSON(&info, "info", d.pool+name)
			sizes[name] = info.Size
		}
	}
	if sizes["volume-"+d.lost.ID] == 0 || sizes["lost"] != 0 {
		t.Errorf("the lost image was not found again: %v", sizes)
	}
	for v, want := range map[*volume.Volume]int64{&d.grown: 3, &d.shrunk: 3} {
		now, err := d.client.GetVolume(t.Context(), rpc.VolumeIDRequest{VolumeID: v.ID})
		if err != nil || now.Volume.Size != want || sizes["volume-"+v.ID] != want*volume.GiB {
			t.Errorf("volume %s has %d GiB, image %d bytes, want %d GiB, %v", v.ID, now.Volume.Size, sizes["volume-"+v.ID], want, err)
		}
	}
	images := d.images(0)
	for _, v := range d.removed {
		if slices.Contains(images, "volume-"+v.ID) {
			t.Errorf("the image of the deleted volume %s is still there", v.ID)
		}
	}
	names := d.snapshots(d.source.ID)
	if len(names) != 2 || !slices.Contains(names, "by-hand") {
		t.Errorf("snapshots are %v, want the two of strangers", names)
	}
	if out := d.ceph.RBD(t, "lock", "ls", d.pool+"volume-"+d.locked.ID); strings.Contains(out, "by-hand") {
		t.Errorf("lock: %s", out)
	}
	if out := d.ceph.RBD(t, "image-meta", "ls", d.pool+"volume-"+d.tagged.ID); strings.Contains(out, "conf_") {
		t.Errorf("settings: %s", out)
	}
	if trash := d.trash(0); slices.Contains(trash, d.trashed) || len(trash) != 2 {
		t.Errorf("trash is %v", trash)
	}
	lost, err := d.client.GetVolume(t.Context(), rpc.VolumeIDRequest{VolumeID: d.orphan.ID})
	if err != nil || lost.Volume.Status != volume.Error {
		t.Errorf("the volume without an image is %s, %v", lost.Volume.Status, err)
	}
	snap, err := d.client.GetSnapshot(t.Context(), rpc.SnapshotIDRequest{SnapshotID: d.unsnapped.ID})
	if err != nil || snap.Snapshot.Status != volume.Error {
		t.Errorf("the snapshot that is not on its image is %s, %v", snap.Snapshot.Status, err)
	}
}

// tellForeign tells all that the cluster has of the foreign image.
func (d *drift) tellForeign() string {
	d.t.Helper()
	return d.ceph.RBD(d.t, "info", d.pool+"theirs") + d.ceph.RBD(d.t, "snap", "ls", d.pool+"theirs")
}

// watcher is a process that has an image open.
type watcher struct{ end func() }

// watch has another process open an image, until its end.
func (s *service) watch(image string) *watcher {
	s.t.Helper()
	cmd := exec.Command("rbd", "--conf", s.ceph.Conf, "watch", image)
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	ended := false
	w := &watcher{end: func() {
		if !ended {
			ended = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			_ = stdin.Close()
		}
	}}
	s.t.Cleanup(w.end)
	s.eventually("the watcher is there", func() error {
		if out := s.ceph.RBD(s.t, "status", image); !strings.Contains(out, "watcher=") {
			return errors.New(out)
		}
		return nil
	})
	return w
}

// behead removes the header of an image, as a removal does that dies half way.
func (s *service) behead(id string) {
	s.t.Helper()
	if out, err := exec.Command("rados", "--conf", s.ceph.Conf, "--pool", s.pools[0], "rm", "rbd_header."+id).CombinedOutput(); err != nil {
		s.t.Fatalf("rados rm: %v\n%s", err, out)
	}
}

// imageID is the internal id of an image.
func (s *service) imageID(image string) string {
	s.t.Helper()
	var info struct{ ID string }
	s.rbdJSON(&info, "info", image)
	return info.ID
}

// sql changes the tables behind the back of the service.
func (s *service) sql(query string, args ...any) {
	s.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.state, "volumed.sqlite")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(query, args...); err != nil {
		s.t.Fatal(err)
	}
}

// volumectl runs the client, and returns its exit code and what it wrote on both
// streams.
func (s *service) volumectl(args ...string) (code int, out string) {
	s.t.Helper()
	stdout, stderr, code := s.runVolumectl(args...)
	return code, stdout + stderr
}

func (s *service) runVolumectl(args ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	cmd := exec.Command(testenv.Volumectl(s.t), args...)
	cmd.Env = append(os.Environ(), "NATS_URL="+s.url())
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// auditsFound is what volumectl audit prints.
type auditsFound struct{ Audits []rpc.FindingsReply }

// auditCommand runs volumectl and reads the document that it prints.
func (s *service) auditCommand(args ...string) (code int, doc auditsFound) {
	s.t.Helper()
	stdout, stderr, code := s.runVolumectl(append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(stdout), &doc); err != nil {
		s.t.Fatal(fmt.Errorf("volumectl %v: exit %d: %w in %q; %s", args, code, err, stdout, stderr))
	}
	return code, doc
}

// kindsOf returns the kinds of drift in the document, sorted.
func kindsOf(doc auditsFound) (kinds []string) {
	for _, r := range doc.Audits {
		for _, f := range r.Findings {
			if !f.Note {
				kinds = append(kinds, string(f.Kind))
			}
		}
	}
	slices.Sort(kinds)
	return kinds
}
