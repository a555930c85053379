package audit_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/volumed/volumed/audit"
	"github.com/volumed/volumed/volume"
)

// Ids of volumes, snapshots and operations.
const (
	v1 = "11111111-0000-4000-8000-000000000001"
	v2 = "11111111-0000-4000-8000-000000000002"
	v3 = "11111111-0000-4000-8000-000000000003"
	s1 = "22222222-0000-4000-8000-000000000001"
	s2 = "22222222-0000-4000-8000-000000000002"
	o1 = "33333333-0000-4000-8000-000000000001"
)

const (
	host = "node1@rbd0"
	gib  = int64(volume.GiB)
)

var (
	changed = time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	noon    = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
)

// world is a small world without drift, which each test changes in one point.
type world struct {
	audit.Tables
	images []volume.Image
}

// newWorld has the volumes v1, with the snapshot s1, and v2, a clone of it, and in the
// trash the deleted v3, which operation o1 purges.
func newWorld() *world {
	return &world{
		Tables: audit.Tables{
			Host: host, Pool: "volumes", VolumeNames: "volume-%s", SnapshotNames: "snapshot-%s", Addrs: []string{"10.0.0.1:0/1"},
			Volumes: []volume.Volume{
				{ID: v1, Host: host + "#volumes", Size: 2, Status: volume.Available, ImageID: "i1", UpdatedAt: changed},
				{ID: v2, Host: host + "#volumes", Size: 3, Status: volume.Available, ImageID: "i2", SnapshotID: s1, UpdatedAt: changed},
			},
			Snapshots: []volume.Snapshot{{ID: s1, VolumeID: v1, Status: volume.Available, UpdatedAt: changed}},
			Trashed: []volume.Volume{
				{ID: v3, Host: host + "#volumes", Size: 1, Status: volume.Deleted, ImageID: "i3", DeletedAt: changed, UpdatedAt: changed},
			},
			Operations: []volume.Operation{{
				ID: o1, Method: "purge_volume", Status: volume.Waiting, Resource: volume.Resource{Type: volume.VolumeResource, ID: v3},
			}},
			PastVolumes: map[string]volume.Volume{}, PastSnapshots: map[string]volume.Snapshot{},
		},
		images: []volume.Image{
			{ID: "i1", Name: "volume-" + v1, Size: 2 * gib, Snapshots: []volume.ImageSnapshot{{ID: 7, Name: "snapshot-" + s1, Size: 2 * gib}}},
			{ID: "i2", Name: "volume-" + v2, Size: 3 * gib, Parent: &volume.ImageParent{ImageID: "i1", SnapshotID: 7}},
			{ID: "i3", Name: "volume-" + v3, Size: gib, Trashed: true},
		},
	}
}

func (w *world) remove(id string) {
	w.images = slices.DeleteFunc(w.images, func(img volume.Image) bool { return img.ID == id })
}

func (w *world) snapshot(name string, protected bool) {
	img := &w.images[0]
	img.Snapshots = append(img.Snapshots, volume.ImageSnapshot{ID: uint64(10 + len(img.Snapshots)), Name: name, Size: 2 * gib, Protected: protected})
}

func (w *world) operate(method, id string) {
	w.Operations = append(w.Operations, volume.Operation{
		ID: o1, Method: method, Status: volume.Running, Resource: volume.Resource{Type: volume.VolumeResource, ID: id},
	})
}

func TestCompareAndPlan(t *testing.T) {
	const drift, note = false, true
	type finding struct {
		kind   volume.Drift
		note   bool
		action volume.RepairAction // empty for none
	}
	tests := map[string]struct {
		change func(w *world)
		want   []finding
	}{
		"no drift": {func(*world) {}, nil},

		"image missing":           {func(w *world) { w.remove("i2") }, []finding{{volume.ImageMissing, drift, volume.SetStatus}}},
		"image missing, reserved": {func(w *world) { w.remove("i2"); w.Volumes[1].Status = volume.Reserved }, []finding{{volume.ImageMissing, drift, ""}}},
		"image missing, in error": {func(w *world) { w.remove("i2"); w.Volumes[1].Status = volume.Error }, nil},
		"image missing, deleting": {func(w *world) { w.remove("i2"); w.operate("delete_volume", v2) }, []finding{{volume.Unsettled, note, ""}}},
		"renamed":                 {func(w *world) { w.images[1].Name = "other" }, []finding{{volume.ImageRenamed, drift, volume.RenameImage}}},
		"renamed, and replaced": {func(w *world) {
			w.images[1].Name = "other"
			w.images = append(w.images, volume.Image{ID: "x", Name: "volume-" + v2, Size: 3 * gib})
		}, []finding{{volume.ImageRenamed, drift, ""}, {volume.ImageReplaced, drift, ""}}},
		"replaced":                 {func(w *world) { w.images[1] = volume.Image{ID: "x", Name: "volume-" + v2} }, []finding{{volume.ImageReplaced, drift, ""}}},
		"trashed":                  {func(w *world) { w.images[1].Trashed = true }, []finding{{volume.ImageTrashed, drift, ""}}},
		"trashed, delete failed":   {func(w *world) { w.images[1].Trashed = true; w.Volumes[1].Status = volume.ErrorDeleting }, nil},
		"broken":                   {func(w *world) { w.images[1] = volume.Image{ID: "i2", Name: "volume-" + v2, Broken: "b"} }, []finding{{volume.ImageBroken, drift, ""}}},
		"id never recorded":        {func(w *world) { w.Volumes[1].ImageID = "" }, nil},
		"larger":                   {func(w *world) { w.images[1].Size = 5 * gib }, []finding{{volume.SizeDiffers, drift, volume.SetSize}}},
		"larger, no whole GiB":     {func(w *world) { w.images[1].Size = 5*gib + 1 }, []finding{{volume.SizeDiffers, drift, ""}}},
		"larger, extend failed":    {func(w *world) { w.images[1].Size = 5 * gib; w.Volumes[1].Status = volume.ErrorExtend }, nil},
		"smaller":                  {func(w *world) { w.images[1].Size = gib }, []finding{{volume.SizeDiffers, drift, volume.GrowImage}}},
		"smaller, extending":       {func(w *world) { w.images[1].Size = gib; w.operate("extend_volume", v2) }, []finding{{volume.Unsettled, note, ""}}},
		"smaller, id not recorded": {func(w *world) { w.images[1].Size = gib; w.Volumes[1].ImageID = "" }, []finding{{volume.SizeDiffers, drift, ""}}},
		"flattened":                {func(w *world) { w.images[1].Parent = nil }, nil},
		"other parent":             {func(w *world) { w.images[1].Parent.ImageID = "i3" }, []finding{{volume.ParentDiffers, drift, ""}}},
		"parent elsewhere":         {func(w *world) { w.images[1].Parent.Pool = "pool id 9" }, []finding{{volume.ParentDiffers, drift, ""}}},
		"parent, as adopted": {func(w *world) {
			w.Volumes[1].SnapshotID, w.Volumes[1].AdoptedParent = "", &volume.ImageParent{ImageID: "i1", SnapshotID: 7}
		}, nil},
		"parent, other than adopted": {func(w *world) {
			w.Volumes[1].SnapshotID, w.Volumes[1].AdoptedParent = "", &volume.ImageParent{ImageID: "i1", SnapshotID: 8}
		}, []finding{{volume.ParentDiffers, drift, ""}}},
		"parent of none": {func(w *world) { w.Volumes[1].SnapshotID = "" }, []finding{{volume.ParentDiffers, drift, ""}}},
		"image elsewhere": {func(w *world) {
			w.Volumes[1].SnapshotID, w.images[1].Parent.Pool = "", "pool id 9"
			w.Volumes[1].ImageMetadata = map[string]string{volume.ImageURL: "rbd://fsid/images/debian/snap"}
		}, nil},
		"image of this pool": {func(w *world) {
			w.Volumes[1].SnapshotID = ""
			w.Volumes[1].ImageMetadata = map[string]string{volume.ImageURL: "rbd://fsid/images/debian/snap"}
		}, []finding{{volume.ParentDiffers, drift, ""}}},
		"parent is in the cache": {func(w *world) {
			w.Volumes[1].SnapshotID, w.Volumes[0].ProjectID = "", volume.CacheProject
		}, nil},
		"parent was in the cache": {func(w *world) {
			w.Volumes[1].SnapshotID, w.images[1].Parent.ImageID, w.Trashed[0].ProjectID = "", "i3", volume.CacheProject
		}, nil},
		"parent is in the cache, not a source": {func(w *world) {
			w.Volumes[1].SnapshotID, w.Volumes[1].SourceVolID, w.Trashed[0].ProjectID = "", v1, volume.CacheProject
			w.images[1].Parent.ImageID = "i3"
		}, []finding{{volume.ParentDiffers, drift, ""}}},
		"parent is a deleted one": {func(w *world) {
			w.Volumes[1].SnapshotID, w.Volumes[1].SourceVolID, w.images[1].Parent.ImageID = "", v3, "i3"
		}, nil},
		"parent by name": {func(w *world) {
			w.Volumes[1].SnapshotID, w.Volumes[1].SourceVolID, w.images[1].Parent.ImageID = "", v3, "i3"
			w.PastVolumes[v3], w.Trashed = volume.Volume{ID: v3}, nil
		}, nil},
		"deleted snapshot as source": {func(w *world) {
			w.Volumes[1].SnapshotID, w.PastSnapshots[s2] = s2, volume.Snapshot{ID: s2, VolumeID: v1}
		}, nil},

		"stuck in creating":    {func(w *world) { w.Volumes[1].Status = volume.Creating; w.remove("i2") }, []finding{{volume.RowStuck, drift, volume.SetStatus}}},
		"stuck in extending":   {func(w *world) { w.Volumes[1].Status = volume.Extending; w.images[1].Size = 9 * gib }, []finding{{volume.RowStuck, drift, volume.SetStatus}}},
		"stuck in downloading": {func(w *world) { w.Volumes[1].Status = volume.Downloading }, []finding{{volume.RowStuck, drift, volume.SetStatus}}},
		"stuck in uploading": {func(w *world) {
			w.Volumes[1].Status, w.Volumes[1].PreviousStatus = volume.Uploading, volume.InUse
		}, []finding{{volume.RowStuck, drift, volume.SetStatus}}},
		"creating":           {func(w *world) { w.Volumes[1].Status = volume.Creating; w.operate("create_volume", v2) }, nil},
		"snapshot missing":   {func(w *world) { w.images[0].Snapshots = nil }, []finding{{volume.SnapshotMissing, drift, volume.SetStatus}}},
		"snapshot stuck":     {func(w *world) { w.Snapshots[0].Status = volume.Deleting }, []finding{{volume.RowStuck, drift, volume.SetStatus}}},
		"snapshot in error":  {func(w *world) { w.images[0].Snapshots, w.Snapshots[0].Status = nil, volume.Error }, nil},
		"stray snapshot":     {func(w *world) { w.snapshot("by-hand", false) }, []finding{{volume.StraySnapshot, drift, ""}}},
		"unknown snapshot":   {func(w *world) { w.snapshot("snapshot-"+s2, false) }, []finding{{volume.StraySnapshot, drift, ""}}},
		"deleted snapshot":   {func(w *world) { w.snapshot("snapshot-"+s2, false); w.PastSnapshots[s2] = volume.Snapshot{VolumeID: v1} }, []finding{{volume.StraySnapshot, drift, volume.RemoveSnapshot}}},
		"another's snapshot": {func(w *world) { w.snapshot("snapshot-"+s2, false); w.PastSnapshots[s2] = volume.Snapshot{VolumeID: v2} }, []finding{{volume.StraySnapshot, drift, ""}}},
		"stuck in managing":  {func(w *world) { w.Volumes[1].Status = volume.Managing; w.images[1].Name = "theirs" }, []finding{{volume.RowStuck, drift, volume.SetStatus}}},
		"not taken over":     {func(w *world) { w.Volumes[1].Status = volume.ErrorManaging; w.images[1].Name = "theirs" }, nil},
		"stuck in unmanaging": {func(w *world) {
			w.Volumes[1].Status, w.Volumes[1].PreviousStatus = volume.Unmanaging, volume.Available
		}, []finding{{volume.RowStuck, drift, volume.SetStatus}}},
		"snapshot stuck in unmanaging": {func(w *world) {
			w.Snapshots[0].Status, w.Snapshots[0].PreviousStatus = volume.Unmanaging, volume.Available
		}, []finding{{volume.RowStuck, drift, volume.SetStatus}}},
		"unmanaged snapshot": {func(w *world) {
			w.snapshot("snapshot-"+s2, false)
			w.PastSnapshots[s2] = volume.Snapshot{VolumeID: v1, DeletedAt: noon, PreviousStatus: volume.Unmanaging}
		}, []finding{{volume.StraySnapshot, note, ""}}},
		"backup":              {func(w *world) { w.snapshot("backup."+s2+".snap.1700000000.1", false) }, []finding{{volume.StraySnapshot, note, ""}}},
		"clone snapshot":      {func(w *world) { w.snapshot("volumed-clone-"+s2, false) }, []finding{{volume.StrayCloneSnapshot, drift, volume.RemoveSnapshot}}},
		"clone running":       {func(w *world) { w.snapshot("volumed-clone-"+o1, false) }, nil},
		"clone of format 1":   {func(w *world) { w.snapshot("volumed-clone-"+s2, true); w.images[1].Parent.SnapshotID = 11 }, nil},
		"protected, no clone": {func(w *world) { w.snapshot("volumed-clone-"+s2, true) }, []finding{{volume.StrayCloneSnapshot, drift, volume.RemoveSnapshot}}},
		"clone_snap":          {func(w *world) { w.snapshot("volume-"+s2+".clone_snap", false) }, []finding{{volume.StrayCloneSnapshot, drift, ""}}},
		"clone_snap of ours":  {func(w *world) { w.snapshot("volume-"+v3+".clone_snap", false); w.Operations = nil }, []finding{{volume.StrayCloneSnapshot, drift, volume.RemoveSnapshot}, {volume.StrayTrash, drift, volume.PurgeImage}}},
		"clone_snap, used":    {func(w *world) { w.snapshot("volume-"+v2+".clone_snap", true); w.images[1].Parent.SnapshotID = 11 }, nil},

		"trash, no purge": {func(w *world) { w.Operations = nil }, []finding{{volume.StrayTrash, drift, volume.PurgeImage}}},
		"trash, kept":     {func(w *world) { w.Operations, w.images[2].KeepUntil = nil, noon.Add(time.Hour) }, []finding{{volume.StrayTrash, drift, ""}}},
		"trash, no row":   {func(w *world) { w.Trashed, w.Operations = nil, nil }, []finding{{volume.StrayTrash, drift, ""}}},
		"restored":        {func(w *world) { w.images[2].Trashed, w.Operations = false, nil }, []finding{{volume.RowMissing, drift, volume.RemoveImage}}},
		"row missing":     {func(w *world) { w.images = append(w.images, volume.Image{ID: "x", Name: "volume-" + s2}) }, []finding{{volume.RowMissing, drift, ""}}},
		"silent parent":   {func(w *world) { w.images = append(w.images, volume.Image{ID: "x", Name: "volume-" + s2 + ".deleted"}) }, []finding{{volume.RowMissing, drift, ""}}},
		"of another service": {func(w *world) {
			w.Volumes[1].Host = "node1@rbd1#volumes"
			w.PastVolumes[v2] = w.Volumes[1]
			w.Volumes = w.Volumes[:1]
		}, nil},
		"copied by another service": {func(w *world) {
			v := w.Volumes[1]
			v.Host, v.ImageID, v.MigrationStatus = "node1@rbd1#volumes", "there", volume.Migrating
			w.PastVolumes[v2], w.Volumes = v, w.Volumes[:1]
		}, nil},
		"left by another service": {func(w *world) {
			v := w.Volumes[1]
			v.Host, v.ImageID, v.MigrationStatus = "node1@rbd1#volumes", "there", volume.MigrationError
			w.PastVolumes[v2], w.Volumes = v, w.Volumes[:1]
		}, []finding{{volume.RowMissing, drift, ""}}},
		"in another pool": {func(w *world) { w.Volumes[1].Host = host + "#other"; w.remove("i2") }, nil},
		"unmanaged": {func(w *world) {
			v := w.Volumes[1]
			v.ImageID, v.Status, v.PreviousStatus, v.DeletedAt = "", volume.Deleted, volume.Unmanaging, noon
			w.PastVolumes[v2], w.Volumes = v, w.Volumes[:1]
		}, []finding{{volume.ForeignImage, note, ""}}},
		"foreign":              {func(w *world) { w.images = append(w.images, volume.Image{ID: "x", Name: "theirs"}) }, []finding{{volume.ForeignImage, drift, ""}}},
		"foreign in the trash": {func(w *world) { w.images = append(w.images, volume.Image{ID: "x", Name: "theirs", Trashed: true}) }, []finding{{volume.ForeignImage, drift, ""}}},
		"foreign, shared pool": {func(w *world) {
			w.SharedPool = true
			w.images = append(w.images, volume.Image{ID: "x", Name: "theirs"})
		}, []finding{{volume.ForeignImage, note, ""}}},

		"setting":          {func(w *world) { w.images[1].Metadata = map[string]string{"conf_rbd_qos_iops_limit": "5", "note": "x"} }, []finding{{volume.StraySetting, drift, volume.RemoveSetting}}},
		"lock of the dead": {func(w *world) { w.images[1].Locks = []volume.ImageLock{{Client: "client.1", Addr: "10.0.0.9:0/9"}} }, []finding{{volume.StrayLock, drift, volume.RemoveLock}}},
		"lock, managed":    {func(w *world) { w.images[1].Locks = []volume.ImageLock{{Addr: "10.0.0.9:0/9", Managed: true}} }, []finding{{volume.StrayLock, note, ""}}},
		"watcher and its lock": {func(w *world) {
			w.images[1].Watchers = []string{"10.0.0.9:0/9"}
			w.images[1].Locks = []volume.ImageLock{{Addr: "10.0.0.9:0/9"}}
		}, []finding{{volume.StrayWatcher, drift, ""}}},
		"watcher of an in-use":  {func(w *world) { w.images[1].Watchers, w.Volumes[1].Status = []string{"10.0.0.9:0/9"}, volume.InUse }, nil},
		"watcher of a service":  {func(w *world) { w.images[1].Watchers = []string{"10.0.0.1:0/1"} }, nil},
		"replaced in the trash": {func(w *world) { w.images[2].ID = "x" }, []finding{{volume.Unsettled, note, ""}}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			tc.change(w)
			findings := audit.Compare(w.Tables, w.images)
			audit.Plan(findings, w.Tables, w.images, noon)
			var got []finding
			for _, f := range findings {
				is := finding{kind: f.Kind, note: f.Note}
				if f.Repair != nil {
					is.action = f.Repair.Action
					if err := audit.Holds(f.Repair, w.look(f.Repair), changed); err != nil {
						t.Errorf("a plan does not hold in the world it was made for: %v", err)
					}
				}
				if f.Message == "" {
					t.Errorf("%s has no message", f.Kind)
				}
				if !f.Note && f.Repair == nil && f.Hint == "" && f.Kind != volume.ForeignImage && name != "image missing, reserved" && name != "trash, kept" && name != "smaller, id not recorded" {
					t.Errorf("%s has neither a repair nor a hint", f.Kind)
				}
				got = append(got, is)
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(finding{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// look returns what an inspection before the step finds.
func (w *world) look(r *volume.Repair) (found []volume.Image) {
	at := audit.Look(r)
	for _, img := range w.images {
		if img.ID == at.ImageID || !img.Trashed && img.Name == at.Name {
			found = append(found, img)
		}
	}
	return found
}
