package audit

import (
	"fmt"
	"strings"

	"github.com/volumed/volumed/volume"
)

// snapshotsOf compares the snapshots of a volume with those of its image.
func (c *comparison) snapshotsOf(v *volume.Volume, img *volume.Image) {
	ref := v.Ref(c.VolumeNames)
	expected := map[string]bool{}
	for _, s := range c.snapshots[v.ID] {
		name := s.Ref(ref, c.SnapshotNames).Name
		expected[name] = true
		c.snapshotRow(s, img, name)
	}
	for _, s := range img.Snapshots {
		if !expected[s.Name] {
			c.stray(v, img, s)
		}
	}
}

// snapshotRow compares a row with the image.
func (c *comparison) snapshotRow(s *volume.Snapshot, img *volume.Image, name string) {
	f := volume.Finding{VolumeID: s.VolumeID, SnapshotID: s.ID, Image: img.Ref(), Snapshot: name}
	switch {
	case s.Status.Transient() && c.busy[s.ID] == nil:
		f.Kind, f.Message = volume.RowStuck, fmt.Sprintf("the snapshot is %s and no operation is at work on it", s.Status)
	case s.Status == volume.Available && img.Snapshot(name) == nil:
		f.Kind, f.Message = volume.SnapshotMissing, "the snapshot is available and not on the image"
		f.Hint = "it is lost; delete it"
	default:
		return
	}
	c.found(f)
}

// stray tells of a snapshot that no row expects.
func (c *comparison) stray(v *volume.Volume, img *volume.Image, s volume.ImageSnapshot) {
	f := volume.Finding{Kind: volume.StraySnapshot, VolumeID: v.ID, Image: img.Ref(), Snapshot: s.Name}
	remove := fmt.Sprintf("remove it by hand if nobody needs it: rbd snap rm %s/%s@%s", c.Pool, img.Name, s.Name)
	operation, ofClone := strings.CutPrefix(s.Name, clonePrefix)
	dest, ofCinder := volume.IDIn(c.VolumeNames+volume.CloneSnapSuffix, s.Name)
	switch id, ours := volume.IDIn(c.SnapshotNames, s.Name); {
	case ofClone || ofCinder:
		if ofClone && c.running[operation] || ofCinder && c.busy[dest] != nil || c.inUse(img, s) {
			return
		}
		f.Kind, f.Message = volume.StrayCloneSnapshot, "the snapshot was taken for a clone, and neither an operation nor a clone needs it"
		if ofCinder {
			f.Hint = remove
		}
	case c.unmanaged(id):
		f.Note, f.SnapshotID, f.Message = true, id, "the snapshot was unmanaged, and left on the image"
	case volume.IsBackupSnapshot(s.Name):
		f.Note, f.Message = true, "the snapshot belongs to a backup"
	case ours:
		f.SnapshotID, f.Hint = id, remove
		f.Message = "the snapshot has the name of one of a service, and there is no row of it"
		if c.volumeOf[id] == v.ID {
			f.Message, f.Hint = "the snapshot was deleted, and is still on the image", ""
		}
	default:
		f.Message, f.Hint = "nobody of this service took the snapshot", remove
	}
	c.found(f)
}

// unmanaged reports whether the snapshot of the id was left to others.
func (c *comparison) unmanaged(id string) bool {
	s := c.PastSnapshots[id]
	return s.Unmanaged()
}

// inUse reports whether clones hold a snapshot that was taken for them: those of
// format 1 do for as long as they live, and it is protected.
func (c *comparison) inUse(img *volume.Image, s volume.ImageSnapshot) bool {
	return s.Protected && c.children[volume.ImageParent{ImageID: img.ID, SnapshotID: s.ID}] > 0
}
