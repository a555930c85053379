package audit

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/volumed/volumed/volume"
)

// Plan gives the findings that can be repaired their steps, numbered from 1: those that
// change the backend, then those that change rows, each in the order of the findings.
// t and images are what the findings were found in.
func Plan(findings []volume.Finding, t Tables, images []volume.Image, now time.Time) {
	p := &planner{comparison: newComparison(t, images), now: now, images: map[string]*volume.Image{}}
	for _, rows := range []bool{false, true} {
		for i := range findings {
			f := &findings[i]
			if f.Note || f.Repair != nil {
				continue
			}
			if r := p.plan(f); r != nil && changesRow(r) == rows {
				p.steps++
				r.Step, f.Repair = p.steps, r
			}
		}
	}
}

// changesRow reports whether a step changes a row. Such steps come last: a row that one
// of them has changed is not any more what the others were planned for.
func changesRow(r *volume.Repair) bool {
	return r.Action == volume.SetSize || r.Action == volume.SetStatus
}

// planner is one Plan at work.
type planner struct {
	*comparison
	now    time.Time
	steps  int
	images map[string]*volume.Image // by id, as the steps so far leave them
}

// plan returns the step for a finding, nil if there is none.
func (p *planner) plan(f *volume.Finding) *volume.Repair {
	row := p.rows[f.VolumeID]
	if row == nil {
		return nil
	}
	if f.Kind == volume.ImageMissing {
		return p.mark(f, row, &volume.Image{ID: f.Image.ImageID, Name: f.Image.Name}, volume.Nowhere)
	}
	img := p.image(f.Image.ImageID)
	switch f.Kind {
	case volume.RowStuck:
		return p.unstick(f, row, img)
	case volume.SnapshotMissing:
		return p.markSnapshot(f, img, volume.Error)
	}
	if img == nil || row.ImageID != img.ID {
		return nil // not proven to be ours
	}
	switch f.Kind {
	case volume.ImageRenamed:
		return p.rename(f, row, img)
	case volume.SizeDiffers:
		return p.resize(f, row, img)
	case volume.RowMissing, volume.StrayTrash:
		return p.remove(f, row, img)
	case volume.StraySnapshot, volume.StrayCloneSnapshot:
		return p.removeSnapshot(f, row, img)
	case volume.StraySetting:
		r := p.step(f, volume.RemoveSetting, img, row)
		r.Key, r.Reason = f.Key, "the volume does not want the setting"
		return r
	case volume.StrayLock:
		r := p.step(f, volume.RemoveLock, img, row)
		r.Lock, r.Reason = f.Lock, "whoever took the lock is gone"
		return r
	default:
		return nil
	}
}

// image returns the image as the steps so far leave it, nil for one that is not there.
func (p *planner) image(id string) *volume.Image {
	if img := p.images[id]; img != nil {
		return img
	}
	found := p.byID[id]
	if found == nil {
		return nil
	}
	img := *found
	img.Snapshots = slices.Clone(img.Snapshots)
	p.images[id] = &img
	return &img
}

// step returns a step on the image, with its precondition.
func (p *planner) step(f *volume.Finding, action volume.RepairAction, img *volume.Image, row *volume.Volume) *volume.Repair {
	r := &volume.Repair{Action: action, VolumeID: f.VolumeID, Before: volume.Precondition{Place: volume.Nowhere}}
	if img != nil {
		r.Image = img.Ref()
		r.Before = volume.Precondition{Place: placeOf(img), Size: img.Size, Snapshots: snapshotHash(img)}
	}
	if row != nil {
		r.Before.RowUpdatedAt = row.UpdatedAt
	}
	return r
}

// mark sets the status of a volume without an image.
func (p *planner) mark(f *volume.Finding, row *volume.Volume, img *volume.Image, place volume.Place) *volume.Repair {
	if !row.Status.CanBecome(volume.Error) {
		return nil
	}
	r := p.step(f, volume.SetStatus, nil, row)
	r.Image, r.Before.Place = img.Ref(), place
	r.To, r.Reason = string(volume.Error), "the volume has no image; nobody shall build on it"
	return r
}

// unstick sets the status that the operation, which is lost, would have failed with.
func (p *planner) unstick(f *volume.Finding, row *volume.Volume, img *volume.Image) *volume.Repair {
	if f.SnapshotID != "" {
		to := volume.Error
		if s := p.snapshotRowOf(f); s != nil {
			switch s.Status {
			case volume.Deleting:
				to = volume.ErrorDeleting
			case volume.Restoring: // it was only read
				to = volume.Available
			case volume.Unmanaging: // nothing was touched
				to = s.PreviousStatus
			}
		}
		return p.markSnapshot(f, img, to)
	}
	to := map[volume.Status]volume.Status{
		volume.Creating: volume.Error, volume.Downloading: volume.Error, volume.Deleting: volume.ErrorDeleting, volume.Extending: volume.ErrorExtend,
		volume.Reverting: volume.Error, volume.Uploading: row.PreviousStatus,
		volume.Retyping: row.PreviousStatus, volume.Maintenance: row.PreviousStatus,
		volume.Managing: volume.ErrorManaging, volume.Unmanaging: row.PreviousStatus,
	}[row.Status]
	if !row.Status.CanBecome(to) {
		return nil
	}
	r := p.step(f, volume.SetStatus, img, row)
	if img == nil {
		r.Image = f.Image
	}
	r.To, r.Reason = string(to), "no operation will end this status"
	return r
}

func (p *planner) snapshotRowOf(f *volume.Finding) *volume.Snapshot {
	for _, s := range p.snapshots[f.VolumeID] {
		if s.ID == f.SnapshotID {
			return s
		}
	}
	return nil
}

// markSnapshot sets the status of a snapshot.
func (p *planner) markSnapshot(f *volume.Finding, img *volume.Image, to volume.Status) *volume.Repair {
	s := p.snapshotRowOf(f)
	if s == nil || img == nil || !s.Status.SnapshotCanBecome(to) {
		return nil
	}
	r := p.step(f, volume.SetStatus, img, nil)
	r.SnapshotID, r.Before.RowUpdatedAt = s.ID, s.UpdatedAt
	r.To, r.Reason = string(to), "the snapshot is not on the image"
	if f.Kind == volume.RowStuck {
		r.Reason = "no operation will end this status"
	}
	return r
}

// rename gives the image its name back, if it is free.
func (p *planner) rename(f *volume.Finding, row *volume.Volume, img *volume.Image) *volume.Repair {
	to := row.Ref(p.VolumeNames).Name
	if p.byName[to] != nil {
		return nil
	}
	r := p.step(f, volume.RenameImage, img, row)
	r.To, r.Reason = to, "users find the volume under this name only"
	img.Name = to
	return r
}

// resize makes the row follow the image, which holds the data; but an image that was
// shrunk is grown again, since volumes never shrink.
func (p *planner) resize(f *volume.Finding, row *volume.Volume, img *volume.Image) *volume.Repair {
	switch {
	case img.Size < row.Size*volume.GiB:
		r := p.step(f, volume.GrowImage, img, row)
		r.Size, r.Reason = row.Size, "the image is smaller than the volume"
		img.Size = row.Size * volume.GiB
		return r
	case img.Size%volume.GiB == 0:
		r := p.step(f, volume.SetSize, img, row)
		r.Size, r.Reason = img.Size/volume.GiB, "the image has grown, and volumes never shrink"
		return r
	default:
		return nil
	}
}

// remove removes the image of a deleted volume, from the pool or from the trash.
func (p *planner) remove(f *volume.Finding, row *volume.Volume, img *volume.Image) *volume.Repair {
	if !row.Deleted() || img.KeepUntil.After(p.now) {
		return nil
	}
	r := p.step(f, volume.RemoveImage, img, row)
	r.Reason = fmt.Sprintf("the volume was deleted at %s", row.DeletedAt.UTC().Format(time.RFC3339))
	if img.Trashed {
		r.Action = volume.PurgeImage
	}
	r.Bytes = img.Size
	return r
}

// removeSnapshot removes a snapshot that the tables prove to be ours.
func (p *planner) removeSnapshot(f *volume.Finding, row *volume.Volume, img *volume.Image) *volume.Repair {
	s := img.Snapshot(f.Snapshot)
	if s == nil || !p.provenSnapshot(f, row) || p.children[volume.ImageParent{ImageID: img.ID, SnapshotID: s.ID}] > 0 && s.Protected {
		return nil
	}
	r := p.step(f, volume.RemoveSnapshot, img, row)
	taken := *s
	r.Snapshot, r.Bytes, r.Reason = &taken, s.Size, "the snapshot was deleted"
	if f.Kind == volume.StrayCloneSnapshot {
		r.Reason = "the clone that it was taken for is made, or will never be"
	}
	img.Snapshots = slices.DeleteFunc(img.Snapshots, func(other volume.ImageSnapshot) bool { return other.ID == taken.ID })
	return r
}

// provenSnapshot reports whether the tables prove that a snapshot is this service's:
// it was one of the volume, or was taken for a clone of ours. Only this service names
// snapshots after its operations.
func (p *planner) provenSnapshot(f *volume.Finding, row *volume.Volume) bool {
	if f.Kind == volume.StraySnapshot {
		return f.SnapshotID != "" && p.volumeOf[f.SnapshotID] == row.ID
	}
	dest, ofCinder := volume.IDIn(p.VolumeNames+volume.CloneSnapSuffix, f.Snapshot)
	return !ofCinder || p.rows[dest] != nil
}

func placeOf(img *volume.Image) volume.Place {
	if img.Trashed {
		return volume.InTrash
	}
	return volume.InPool
}

// snapshotHash tells one list of snapshots from another.
func snapshotHash(img *volume.Image) string {
	list := slices.Clone(img.Snapshots)
	slices.SortFunc(list, func(a, b volume.ImageSnapshot) int { return cmp.Compare(a.ID, b.ID) })
	h := sha256.New()
	for _, s := range list {
		fmt.Fprintf(h, "%d %q\n", s.ID, s.Name)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}
