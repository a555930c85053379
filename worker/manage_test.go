package worker_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/driver/mem"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/store/storetest"
	"github.com/volumed/volumed/volume"
)

// Names that cinder-volume gives.
func silent(id string) string    { return "volume-" + id + ".deleted" }
func cloneSnap(id string) string { return "volume-" + id + ".clone_snap" }

// manage takes an image over.
func (s *site) manage(r rpc.ManageExistingRequest) volume.Volume {
	s.Helper()
	return must[rpc.VolumeReply](s)(s.operator().ManageExisting(s.Context(), s.host, r, wait())).Volume
}

// unmanage forgets a volume.
func (s *site) unmanage(id string) {
	s.Helper()
	r := rpc.DeleteVolumeRequest{VolumeID: id, UnmanageOnly: true}
	if v := must[rpc.VolumeReply](s)(s.operator().DeleteVolume(s.Context(), s.host, r, wait())).Volume; !v.Unmanaged() || v.ImageID != "" {
		s.Errorf("unmanaged: %+v", v)
	}
}

func (s *site) imageOf(name string) string {
	s.Helper()
	return must[volume.Image](s)(s.world.Look(name)).ID
}

// An image becomes a volume like any other, is left to others again, and comes back
// under the same id.
func TestManageAndUnmanage(t *testing.T) {
	s := newSite(t)
	s.startAuditor()
	id := s.world.Add("theirs", 3)
	v := s.manage(rpc.ManageExistingRequest{
		SourceName: "theirs", SourceID: id, ProjectID: "p1", UserID: "u2", Name: "mine", Description: "was theirs", Size: 3, Bootable: true,
		Metadata: map[string]string{"k": "v"},
	})
	want := volume.Volume{
		ID: v.ID, ProjectID: "p1", UserID: "u2", Name: "mine", Description: "was theirs", Size: 3, Status: volume.Available,
		PreviousStatus: volume.Managing, AttachStatus: volume.Detached, Host: s.host + "#pool", AvailabilityZone: "zone1",
		Metadata: map[string]string{"k": "v"}, Bootable: true, ImageID: id, CreatedAt: v.CreatedAt, UpdatedAt: v.UpdatedAt, LaunchedAt: v.LaunchedAt,
	}
	if diff := cmp.Diff(want, v); diff != "" || v.LaunchedAt.IsZero() {
		t.Errorf("the volume (-want +got):\n%s", diff)
	}
	if got := s.imageOf(image(v)); got != id {
		t.Errorf("the image is %s, was %s", got, id)
	}
	snap := s.snapshot(v)
	_, err := s.operator().DeleteVolume(t.Context(), s.host, rpc.DeleteVolumeRequest{VolumeID: v.ID, UnmanageOnly: true}, wait())
	if f := wantKind(t, err, fault.Conflict, ""); !strings.Contains(f.Hint, "unmanage its snapshots") {
		t.Errorf("hint %q", f.Hint)
	}
	_, err = s.DeleteVolume(t.Context(), s.host, rpc.DeleteVolumeRequest{VolumeID: v.ID, UnmanageOnly: true}, wait())
	_ = wantKind(t, err, fault.Invalid, "project")

	must[rpc.VolumeReply](t)(s.operator().DeleteVolume(t.Context(), s.host, rpc.DeleteVolumeRequest{VolumeID: v.ID, UnmanageOnly: true, Cascade: true}, wait()))
	if now := must[volume.Image](t)(s.world.Look(image(v))); now.ID != id || len(now.Snapshots) != 1 {
		t.Errorf("the image that was left: %+v", now)
	}
	if r := s.inspect(false); r.Drift != 0 || r.Notes != 1 || r.findings[0].Kind != volume.ForeignImage {
		t.Errorf("audit: %+v", r.findings)
	}
	why := must[rpc.WhyReply](t)(s.operator().Why(t.Context(), rpc.WhyRequest{VolumeID: v.ID}))
	if len(why.Causes) != 1 || !strings.Contains(why.Causes[0].Text, "unmanaged") {
		t.Errorf("why: %+v", why)
	}
	_, err = s.operator().ManageExisting(t.Context(), s.host, rpc.ManageExistingRequest{SourceName: image(v), VolumeID: v.ID, ProjectID: "p2"}, wait())
	_ = wantKind(t, err, fault.Conflict, "volume_id")
	_, err = s.UndeleteVolume(t.Context(), s.host, rpc.UndeleteVolumeRequest{VolumeID: v.ID}, wait())
	if f := wantKind(t, err, fault.Conflict, ""); !strings.Contains(f.Message, "unmanaged") {
		t.Error(f)
	}
	back := s.manage(rpc.ManageExistingRequest{SourceName: image(v), VolumeID: v.ID, Name: "again"})
	if back.ProjectID != "p1" || back.UserID != "u2" || back.ID != v.ID || back.ImageID != id || back.Status != volume.Available || back.Name != "again" || back.Deleted() || back.Metadata["k"] != "v" || !back.Bootable {
		t.Errorf("managed again: %+v", back)
	}
	again := must[rpc.SnapshotReply](t)(s.operator().ManageExistingSnapshot(t.Context(), s.host, rpc.ManageExistingSnapshotRequest{
		VolumeID: v.ID, SourceName: "snapshot-" + snap.ID, SnapshotID: snap.ID,
	}, wait())).Snapshot
	if again.ID != snap.ID || again.Status != volume.Available || again.ProjectID != "p1" || again.VolumeSize != 3 {
		t.Errorf("the snapshot: %+v", again)
	}
	if r := s.inspect(false); len(r.findings) != 0 {
		t.Errorf("audit: %+v", r.findings)
	}
}

// An image that gets a type gets what the type wants at its size, and nothing else.
func TestManageWithAType(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.startAuditor()
	gold := must[rpc.TypeReply](t)(s.operator().CreateType(t.Context(), rpc.CreateTypeRequest{
		Name: "gold", QoS: map[string]string{"total_iops_sec_per_gb": "10"}, ExtraSpecs: map[string]string{volume.SpecMultiattach: "<is> True"},
	}, wait())).VolumeType
	s.world.Add("theirs", 3)
	d := mem.New(s.world)
	for key := range d.SettingsMetadata(volume.Settings{Limits: map[string]int64{"read_bytes_sec": 1}}) {
		s.did(s.world.SetMetadata("theirs", key, "7"))
	}
	reached, release := p.faulty.Hold("ConfigureVolume", 1)
	defer release()
	r := rpc.ManageExistingRequest{SourceName: "theirs", ProjectID: "p1", VolumeType: "gold"}
	accepted := must[rpc.VolumeReply](t)(s.operator().ManageExisting(t.Context(), s.host, r, rpc.CallOptions{}))
	receive(t, "the image is configured", reached)
	_, err := s.operator().DeleteType(t.Context(), rpc.TypeRequest{VolumeType: "gold"}, rpc.CallOptions{})
	_ = wantKind(t, err, fault.Conflict, "volume_type")
	release()
	s.until("it is managed", func() bool { return s.status(accepted.Volume.ID) == volume.Available })
	v := s.record(accepted.Volume.ID)
	if v.VolumeTypeID != gold.ID || !v.Multiattach {
		t.Errorf("%+v", v)
	}
	s.settings(v, map[string]int64{"total_iops_sec": 30})
	if r := s.inspect(false); len(r.findings) != 0 {
		t.Errorf("audit: %+v", r.findings)
	}
}

// A chain that is longer than volumes may depend on is shortened in the background; one
// that is not is left as it is.
func TestManageDeepChain(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.bare()
	p.cfg.MaxCloneDepth = 2
	p.start()
	s.world.Add("depth-0", 1)
	for n := range 3 {
		parent, child := fmt.Sprint("depth-", n), fmt.Sprint("depth-", n+1)
		s.did(s.world.AddSnapshot(parent, "snap", true))
		s.world.Add(child, 1)
		s.did(s.world.SetParent(child, parent, "snap"))
	}
	deepest := s.manage(rpc.ManageExistingRequest{SourceName: "depth-3", ProjectID: "p1"})
	allowed := s.manage(rpc.ManageExistingRequest{SourceName: "depth-2", ProjectID: "p1"})
	s.idle()
	if s.depth(deepest) != 0 || s.depth(allowed) != 2 {
		t.Errorf("depths %d and %d", s.depth(deepest), s.depth(allowed))
	}
	s.onlySuccesses()
}

// What cannot be taken over is refused with a reason, and nothing is left.
func TestManageRefuses(t *testing.T) {
	s := newSite(t)
	s.startAuditor()
	taken := s.create(rpc.CreateVolumeRequest{Size: 1})
	kept := s.world.Add("trashed", 1)
	s.did(s.world.MoveToTrash("trashed"))
	for _, name := range []string{"open", "member", "broken", "free", "volume-x.deleted", silent(idFor("silent")), silent(idFor("kept"))} {
		s.world.Add(name, 1)
	}
	release := must[func()](t)(s.world.Watch("open", "10.0.0.9:0/1"))
	defer release()
	s.did(s.world.SetGroup("member", "g"))
	s.did(s.world.Break("broken", "no header"))
	s.did(s.world.AddSnapshot(silent(idFor("kept")), "by-hand", false))
	before := s.world.Images()
	type request = rpc.ManageExistingRequest
	tests := map[string]struct {
		request
		kind  fault.Kind
		field string
		words string
	}{
		"nothing there":       {request{SourceName: "none"}, fault.NotFound, "source_name", "no such image"},
		"another id":          {request{SourceName: "free", SourceID: "other"}, fault.Conflict, "source_id", "has the id"},
		"trashed":             {request{SourceName: "trashed", SourceID: kept}, fault.Conflict, "", "in the trash"},
		"open":                {request{SourceName: "open"}, fault.Busy, "", "volume in use"},
		"in a group":          {request{SourceName: "member"}, fault.Busy, "", "member of a group"},
		"broken":              {request{SourceName: "broken"}, fault.Conflict, "", "no header"},
		"other size":          {request{SourceName: "free", Size: 2}, fault.Invalid, "size", "not 2"},
		"silent":              {request{SourceName: silent(idFor("silent"))}, fault.Conflict, "source_name", "marked as deleted"},
		"no silent":           {request{SourceName: "free", AsDeleted: true}, fault.Invalid, "source_name", "no image of a deleted"},
		"silent without id":   {request{SourceName: "volume-x.deleted", AsDeleted: true}, fault.Invalid, "source_name", "no image of a deleted"},
		"silent, other id":    {request{SourceName: silent(idFor("silent")), AsDeleted: true, VolumeID: idFor("x")}, fault.Invalid, "volume_id", "was"},
		"silent, kept":        {request{SourceName: silent(idFor("kept")), AsDeleted: true}, fault.Conflict, "", "by-hand"},
		"managed":             {request{SourceName: image(taken)}, fault.Conflict, "source_name", "already managed"},
		"managed, its own id": {request{SourceName: image(taken), VolumeID: taken.ID}, fault.Exists, "volume_id", "already"},
		"id taken":            {request{SourceName: "free", VolumeID: taken.ID}, fault.Exists, "volume_id", "already"},
		"no id":               {request{SourceName: "free", VolumeID: "x"}, fault.Invalid, "volume_id", "not a UUID"},
		"no name":             {request{}, fault.Invalid, "source_name", "empty"},
		"hostile name":        {request{SourceName: "a/b"}, fault.Invalid, "source_name", "holds"},
		"no such type":        {request{SourceName: "free", VolumeType: "none"}, fault.NotFound, "volume_type", "none"},
		"deleted, with type":  {request{SourceName: silent(idFor("silent")), AsDeleted: true, VolumeType: "none"}, fault.Invalid, "volume_type", "no type"},
		"hostile text":        {request{SourceName: "free", Name: "\x1b"}, fault.Invalid, "name", "control character"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := s.operator().ManageExisting(t.Context(), s.host, tc.request, wait())
			if f := wantKind(t, err, tc.kind, tc.field); !strings.Contains(f.Message, tc.words) {
				t.Errorf("%q lacks %q", f.Message, tc.words)
			}
		})
	}
	_, err := s.ManageExisting(t.Context(), s.host, request{SourceName: "free"}, wait())
	_ = wantKind(t, err, fault.Invalid, "project")
	if diff := cmp.Diff(before, s.world.Images()); diff != "" {
		t.Errorf("images (-before +after):\n%s", diff)
	}
	live, _, err := s.db.Volumes(t.Context(), volume.VolumeFilter{Host: s.host})
	if err != nil || len(live) != 1 {
		t.Errorf("volumes: %+v, %v", live, err)
	}
	s.auditClaims()
}

// An image that is known under another name by its id cannot be taken over twice.
func TestManageWhatIsManagedUnderAnotherName(t *testing.T) {
	s := newSite(t)
	s.startAuditor()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	s.did(s.world.Rename(image(v), "renamed"))
	_, err := s.operator().ManageExisting(t.Context(), s.host, rpc.ManageExistingRequest{SourceName: "renamed"}, wait())
	if f := wantKind(t, err, fault.Conflict, "source_name"); !strings.Contains(f.Message, v.ID) {
		t.Error(f)
	}
	if r := s.inspect(false); !slices.Equal(r.kinds(), []string{"image_renamed"}) {
		t.Errorf("audit: %+v", r.findings)
	}
}

// idFor is an id that belongs to a word.
func idFor(word string) string { return uuid.NewSHA1(uuid.Nil, []byte(word)).String() }

// cinderPool makes what cinder-volume leaves: a volume with a clone, which has a clone,
// the one in the middle deleted; and one of which a clone was deleted.
func (s *site) cinderPool() (root, middle, leaf string) {
	s.Helper()
	root, middle, leaf = idFor("root"), idFor("middle"), idFor("leaf")
	s.world.Add("volume-"+root, 2)
	s.did(s.world.AddSnapshot("volume-"+root, cloneSnap(middle), true))
	s.did(s.world.AddSnapshot("volume-"+root, "snapshot-"+idFor("snapshot"), true))
	s.world.Add(silent(middle), 2)
	s.did(s.world.SetParent(silent(middle), "volume-"+root, cloneSnap(middle)))
	s.did(s.world.AddSnapshot(silent(middle), cloneSnap(leaf), true))
	s.world.Add("volume-"+leaf, 2)
	s.did(s.world.SetParent("volume-"+leaf, silent(middle), cloneSnap(leaf)))
	return root, middle, leaf
}

// What cinder-volume left is taken over in any order, and goes when its last clone does.
func TestManageLineage(t *testing.T) {
	for name, order := range map[string][]int{"parents first": {0, 1, 2}, "clones first": {2, 1, 0}} {
		for how, end := range map[string]func(s *site, leaf volume.Volume){
			"delete": func(s *site, leaf volume.Volume) { s.remove(leaf) },
			"flatten": func(s *site, leaf volume.Volume) {
				must[rpc.VolumeReply](s)(s.FlattenVolume(s.Context(), s.host, rpc.FlattenVolumeRequest{VolumeID: leaf.ID}, wait()))
			},
		} {
			t.Run(name+", "+how, func(t *testing.T) {
				s := newSite(t)
				s.world.SetCloneFormat(1)
				s.startAuditor()
				root, middle, leaf := s.cinderPool()
				requests := []rpc.ManageExistingRequest{
					{SourceName: "volume-" + root, VolumeID: root, ProjectID: "p1"},
					{SourceName: silent(middle), AsDeleted: true, ProjectID: "p1"},
					{SourceName: "volume-" + leaf, VolumeID: leaf, ProjectID: "p1"},
				}
				managed := map[string]volume.Volume{}
				for _, at := range order {
					v := s.manage(requests[at])
					managed[v.ID] = v
				}
				if v := managed[middle]; v.Status != volume.Deleted || v.ImageID == "" {
					t.Errorf("the silent parent: %+v", v)
				}
				must[rpc.SnapshotReply](t)(s.operator().ManageExistingSnapshot(t.Context(), s.host, rpc.ManageExistingSnapshotRequest{
					VolumeID: root, SourceName: "snapshot-" + idFor("snapshot"), SnapshotID: idFor("snapshot"),
				}, wait()))
				if r := s.inspect(false); len(r.findings) != 0 {
					t.Errorf("audit: %+v", r.findings)
				}
				end(s, managed[leaf])
				s.until("nothing is left of the clones", func() bool {
					return len(s.world.Trash()) == 0 && len(s.world.Snapshots("volume-"+root)) == 1
				})
				s.until("all operations end", func() bool { return len(s.operations(volume.OperationFilter{Unfinished: true})) == 0 })
				if r := s.inspect(false); len(r.findings) != 0 {
					t.Errorf("audit: %+v", r.findings)
				}
			})
		}
	}
}

// The snapshot that cinder-volume took for a clone goes with it, whatever id the clone has
// by then.
func TestManageLineageOfRenamed(t *testing.T) {
	t.Parallel()
	n := newNeighbourhood(t)
	for name, end := range map[string]func(clone volume.Volume){
		"delete": func(clone volume.Volume) { n.remove(clone) },
		"flatten": func(clone volume.Volume) {
			must[rpc.VolumeReply](t)(n.FlattenVolume(t.Context(), n.host, rpc.FlattenVolumeRequest{VolumeID: clone.ID}, wait()))
		},
		"migrate": func(clone volume.Volume) {
			r := rpc.MigrateVolumeRequest{VolumeID: clone.ID, Host: n.there.host}
			must[rpc.VolumeReply](t)(n.operator().MigrateVolume(t.Context(), n.host, r, wait()))
		},
	} {
		for how, keep := range map[string]bool{"its own id": true, "another id": false} {
			root, clone := idFor("root "+name+how), idFor("clone "+name+how)
			n.world.Add("volume-"+root, 1)
			n.did(n.world.AddSnapshot("volume-"+root, cloneSnap(clone), true))
			n.world.Add("volume-"+clone, 1)
			n.did(n.world.SetParent("volume-"+clone, "volume-"+root, cloneSnap(clone)))
			n.manage(rpc.ManageExistingRequest{SourceName: "volume-" + root, VolumeID: root, ProjectID: "p1"})
			r := rpc.ManageExistingRequest{SourceName: "volume-" + clone, ProjectID: "p1"}
			if keep {
				r.VolumeID = clone
			}
			end(n.manage(r))
			n.until(name+", "+how+": the snapshot goes with the clone", func() bool { return len(n.world.Snapshots("volume-"+root)) == 0 })
		}
	}
}

// A snapshot is refused that serves somebody, or is not there.
func TestManageSnapshotRefuses(t *testing.T) {
	s := newSite(t)
	s.startAuditor()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	own := s.snapshot(v)
	for _, name := range []string{cloneSnap(idFor("c")), "volumed-clone-x", "backup." + idFor("b") + ".snap.1.5", "free", "taken"} {
		s.did(s.world.AddSnapshot(image(v), name, true))
	}
	type request = rpc.ManageExistingSnapshotRequest
	for name, tc := range map[string]struct {
		request
		kind  fault.Kind
		field string
	}{
		"clone_snap":  {request{SourceName: cloneSnap(idFor("c"))}, fault.Conflict, "source_name"},
		"our clone's": {request{SourceName: "volumed-clone-x"}, fault.Conflict, "source_name"},
		"backup":      {request{SourceName: "backup." + idFor("b") + ".snap.1.5"}, fault.Conflict, "source_name"},
		"managed":     {request{SourceName: "snapshot-" + own.ID}, fault.Conflict, "source_name"},
		"its own id":  {request{SourceName: "snapshot-" + own.ID, SnapshotID: own.ID}, fault.Exists, "snapshot_id"},
		"other id":    {request{SourceName: "free", SnapshotID: idFor("x")}, fault.Invalid, "snapshot_id"},
		"not there":   {request{SourceName: "none"}, fault.NotFound, "source_name"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.VolumeID = v.ID
			_, err := s.operator().ManageExistingSnapshot(t.Context(), s.host, tc.request, wait())
			_ = wantKind(t, err, tc.kind, tc.field)
		})
	}
	snap := must[rpc.SnapshotReply](t)(s.operator().ManageExistingSnapshot(t.Context(), s.host, request{VolumeID: v.ID, SourceName: "free", Name: "n"}, wait())).Snapshot
	if !slices.Contains(s.world.Snapshots(image(v)), "snapshot-"+snap.ID) || snap.Status != volume.Available || snap.ProjectID != "p1" {
		t.Errorf("%+v of %v", snap, s.world.Snapshots(image(v)))
	}
	s.clone(v)
	must[rpc.SnapshotReply](t)(s.operator().DeleteSnapshot(t.Context(), s.host, rpc.DeleteSnapshotRequest{SnapshotID: snap.ID, UnmanageOnly: true}, wait()))
	if !slices.Contains(s.world.Snapshots(image(v)), "snapshot-"+snap.ID) {
		t.Error("the unmanaged snapshot is gone")
	}
	for _, f := range s.inspect(false).findings {
		if f.SnapshotID == snap.ID && (!f.Note || f.Repair != nil) {
			t.Errorf("the unmanaged snapshot: %+v", f)
		}
	}
}

// A volume in error_managing tells why, is not deleted with its image, and can be
// forgotten.
func TestErrorManaging(t *testing.T) {
	s := newSite(t)
	p := s.startAuditor()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	s.did(p.end())
	_, err := storetest.Raw(t, s.url).Exec("UPDATE volumes SET status = 'error_managing' WHERE id = ?", v.ID)
	s.did(err)
	s.did(s.world.Rename(image(v), "theirs"))
	s.startAuditor()
	if r := s.inspect(true); len(r.findings) != 0 {
		t.Errorf("audit: %+v", r.findings)
	}
	_, err = s.DeleteVolume(t.Context(), s.host, rpc.DeleteVolumeRequest{VolumeID: v.ID}, wait())
	if f := wantKind(t, err, fault.Conflict, ""); !strings.Contains(f.Hint, "unmanage") {
		t.Error(f.Hint)
	}
	s.unmanage(v.ID)
	if !slices.Equal(s.world.Images(), []string{"theirs"}) {
		t.Errorf("images %v", s.world.Images())
	}
}

// fusedAdopter is the driver of a process with a fuse that takes images over.
type fusedAdopter struct{ fusedDriver }

// adopter is what is below the fuse.
func (d fusedAdopter) adopter() driver.Adopter {
	a, _ := driver.As[driver.Adopter](d.Driver.(*recorder).Driver)
	return a
}

func (d fusedAdopter) Inventory(ctx context.Context, deep bool, each func(volume.Image, int) error) error {
	return d.adopter().Inventory(ctx, deep, each)
}

func (d fusedAdopter) Inspect(ctx context.Context, v volume.Ref, deep bool) ([]volume.Image, error) {
	return d.adopter().Inspect(ctx, v, deep)
}

func (d fusedAdopter) Images(ctx context.Context) ([]volume.Ref, error) {
	return d.adopter().Images(ctx)
}

func (d fusedAdopter) Depth(ctx context.Context, v volume.Ref) (int, error) {
	return d.adopter().Depth(ctx, v)
}

func (d fusedAdopter) Survey(ctx context.Context, refs []volume.Ref, deep bool) ([]volume.Image, error) {
	return d.adopter().Survey(ctx, refs, deep)
}

func (d fusedAdopter) RenameVolume(ctx context.Context, v volume.Ref, to string) error {
	return aroundErr(d.fuse, "RenameVolume", func() error { return d.adopter().RenameVolume(ctx, v, to) })
}

func (d fusedAdopter) RenameSnapshot(ctx context.Context, snap volume.SnapshotRef, to string) error {
	return aroundErr(d.fuse, "RenameSnapshot", func() error { return d.adopter().RenameSnapshot(ctx, snap, to) })
}
