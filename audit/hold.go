package audit

import (
	"slices"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// Look returns what to inspect before the step: its image, and for a new name whoever
// has that.
func Look(r *volume.Repair) volume.Ref {
	if r.Action == volume.RenameImage {
		return volume.Ref{Name: r.To, ImageID: r.Image.ImageID}
	}
	return r.Image
}

// Deep reports whether the step needs a deep inspection.
func Deep(r *volume.Repair) bool { return r.Action == volume.RemoveLock }

// Holds returns nil if the world is as the step was planned for: found is what an
// inspection of Look has found, row when the row was last changed. Otherwise it is a
// Conflict that names the step.
func Holds(r *volume.Repair, found []volume.Image, row time.Time) error {
	why := overtaken(r, found, row)
	if why == "" {
		return nil
	}
	return fault.New(fault.Conflict, "step %d (%s of %s) has been overtaken: %s", r.Step, r.Action, r.Image, why).
		WithHint("make a new plan: volumectl audit repair --plan")
}

// overtaken says in what the world differs from the one that the step was planned for.
func overtaken(r *volume.Repair, found []volume.Image, row time.Time) string {
	if !row.Equal(r.Before.RowUpdatedAt) {
		return "the row has been changed since"
	}
	if r.Before.Place == volume.Nowhere {
		if len(found) > 0 {
			return "there is an image now"
		}
		return ""
	}
	at := slices.IndexFunc(found, func(img volume.Image) bool { return img.ID == r.Image.ImageID })
	if at < 0 {
		return "the image is gone"
	}
	img := &found[at]
	switch {
	case placeOf(img) != r.Before.Place:
		return "the image is in the " + string(placeOf(img)) + " now"
	case img.Name != r.Image.Name:
		return "the image is named " + img.Name + " now"
	case img.Size != r.Before.Size:
		return "the image has another size now"
	case snapshotHash(img) != r.Before.Snapshots:
		return "the image has other snapshots now"
	}
	return overtakenIn(r, img, found)
}

// overtakenIn is overtaken for what only some actions ask for.
func overtakenIn(r *volume.Repair, img *volume.Image, found []volume.Image) string {
	switch r.Action {
	case volume.RenameImage:
		if len(found) > 1 {
			return "another image has the name " + r.To + " now"
		}
	case volume.RemoveSetting:
		if _, there := img.Metadata[r.Key]; !there {
			return "the setting is gone"
		}
	case volume.RemoveLock:
		if !slices.Contains(img.Locks, *r.Lock) {
			return "the lock is gone"
		}
		if slices.Contains(img.Watchers, r.Lock.Addr) {
			return "whoever holds the lock has the image open now"
		}
	}
	return ""
}

// Done reports whether the backend is as the step leaves it. It is asked after a
// process has died, which may have done the step without saying so.
func Done(r *volume.Repair, found []volume.Image) bool {
	at := slices.IndexFunc(found, func(img volume.Image) bool { return img.ID == r.Image.ImageID })
	if at < 0 {
		return r.Action == volume.PurgeImage || r.Action == volume.RemoveImage
	}
	img := &found[at]
	switch r.Action {
	case volume.RenameImage:
		return img.Name == r.To
	case volume.GrowImage:
		return img.Size == r.Size*volume.GiB
	case volume.RemoveSnapshot:
		return img.Snapshot(r.Snapshot.Name) == nil
	case volume.RemoveSetting:
		_, there := img.Metadata[r.Key]
		return !there
	case volume.RemoveLock:
		return !slices.Contains(img.Locks, *r.Lock)
	case volume.RemoveImage:
		return img.Trashed
	default:
		return false
	}
}
