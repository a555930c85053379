package worker

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/volume"
)

// imageResource is what operations that take an image over compete for, by its id.
const imageResource volume.ResourceType = "image"

// inspectManaged finds the image, refuses one that cannot be taken over, and writes into
// the row which it is.
func (w *Worker) inspectManaged(ctx context.Context, t *operation.Task, a *adoption) (err error) {
	defer fault.Wrap(&err, "manage %s", a.SourceName)
	row, err := w.store.Volume(ctx, a.VolumeID)
	if err != nil {
		return err
	}
	if err := w.findManaged(ctx, a, row.ImageID); err != nil {
		return err
	}
	a.size = gib(a.image.Size)
	if row.ImageID != "" && (a.image.Trashed || a.image.Name != a.SourceName) {
		return nil // an earlier attempt of this operation has come further
	}
	if err := w.fit(ctx, a); err != nil {
		return err
	}
	return w.recordManaged(ctx, t.Operation().ID, a)
}

// gib is a size in bytes in GiB, rounded up, at least 1.
func gib(bytes int64) int64 { return max((bytes+volume.GiB-1)/volume.GiB, 1) }

// findManaged looks the image up: by the id that an earlier attempt has recorded, else
// as the request names it.
func (w *Worker) findManaged(ctx context.Context, a *adoption, recorded string) error {
	id := cmp.Or(recorded, a.SourceID)
	found, err := w.adopter().Inspect(ctx, volume.Ref{Name: a.SourceName, ImageID: id}, true)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(found, func(img volume.Image) bool { return img.ID == id || id == "" && img.Name == a.SourceName })
	if at < 0 && len(found) > 0 {
		return fault.New(fault.Conflict, "the image of that name has the id %s, not %s", found[0].ID, id).WithField("source_id")
	}
	if at < 0 {
		return fault.New(fault.NotFound, "there is no such image in pool %s", w.cfg.Pool).WithField("source_name").
			WithHint("what there is: volumectl volume manageable --backend %s", w.cfg.Host)
	}
	a.image = found[at]
	switch a.image.Name {
	case a.SourceName:
		return nil
	case w.nameOf(a.VolumeID):
		if recorded != "" {
			return nil
		}
	}
	return fault.New(fault.Conflict, "the image with the id %s is named %s", id, a.image.Name).WithField("source_name")
}

// measureManaged finds out how deep the image is, since others may have made it deeper than
// volumes are allowed to be. It is taken over all the same, and flattened in the background.
func (w *Worker) measureManaged(ctx context.Context, a *adoption) (err error) {
	if a.image.Parent != nil {
		a.depth, err = w.adopter().Depth(ctx, a.image.Ref())
	}
	return err
}

// fit refuses an image that cannot be taken over as it is.
func (w *Worker) fit(ctx context.Context, a *adoption) error {
	ours, err := w.serviceAddrs(ctx)
	if err != nil {
		return err
	}
	if f := hindrance(&a.image, ours); f != nil {
		return f
	}
	silent := strings.HasSuffix(a.image.Name, volume.SilentSuffix)
	switch {
	case a.AsDeleted:
		if other := keptSnapshot(&a.image, w.cfg.VolumeNameTemplate); other != "" {
			return fault.New(fault.Conflict, "the image has the snapshot %s, which is neither a clone's nor a backup's", other).
				WithHint("rename the image and manage it as a volume, or remove the snapshot")
		}
	case silent:
		return fault.New(fault.Conflict, "volume marked as deleted: cinder-volume keeps the image for the clones of a deleted volume").
			WithField("source_name").WithHint("take it over as a deleted volume: as_deleted, volumectl volume manage --as-deleted")
	}
	if a.Size != 0 && a.Size != a.size {
		return fault.New(fault.Invalid, "the image has %d bytes, which is %d GiB and not %d", a.image.Size, a.size, a.Size).WithField("size")
	}
	return nil
}

// hindrance says why an image cannot be taken over, whatever it is to become; nil if it
// can. ours are the addresses of services, which open images for a moment.
func hindrance(img *volume.Image, ours []string) *fault.Error {
	watchers := slices.DeleteFunc(slices.Clone(img.Watchers), func(addr string) bool { return slices.Contains(ours, addr) })
	switch {
	case img.Trashed:
		return fault.New(fault.Conflict, "in the trash").WithHint("take it out again: rbd trash restore")
	case img.Broken != "":
		return fault.New(fault.Conflict, "broken: %s", img.Broken)
	case img.Migrating:
		return fault.New(fault.Busy, "source or destination of a migration").WithHint("end the migration first: rbd migration")
	case img.Grouped:
		return fault.New(fault.Busy, "member of a group").WithHint("take it out of the group first: rbd group image rm")
	case len(watchers) > 0:
		return fault.New(fault.Busy, "volume in use").WithBlockers(watchers...).
			WithHint("detach it first; a client that died holds it for up to 30 s")
	}
	return nil
}

// keptSnapshot returns a snapshot of the image that somebody may want to keep: one that
// was taken neither for a clone nor by a backup. It is empty for none.
func keptSnapshot(img *volume.Image, template string) string {
	for _, s := range img.Snapshots {
		if _, ofClone := volume.IDIn(template+volume.CloneSnapSuffix, s.Name); !ofClone && !volume.IsBackupSnapshot(s.Name) {
			return s.Name
		}
	}
	return ""
}

// recordManaged writes the image into the row, unless it is another volume's.
func (w *Worker) recordManaged(ctx context.Context, operationID string, a *adoption) error {
	err := w.store.Write(ctx, w.fence, func(tx operation.Tx) error {
		return tx.Claim(operationID, volume.Resource{Type: imageResource, ID: a.image.ID}, operation.Exclusive)
	})
	if err != nil {
		return err
	}
	ids := []string{a.image.ID}
	if p := a.image.Parent; p != nil && p.Pool == "" {
		ids = append(ids, p.ImageID)
	}
	rows, err := w.store.VolumesOfImages(ctx, ids) // nobody else can enter the image now
	if err != nil {
		return err
	}
	source := ""
	for i := range rows {
		switch v := &rows[i]; {
		case v.ID == a.VolumeID:
		case v.ImageID == a.image.ID:
			return alreadyManaged(v)
		default:
			source = v.ID
		}
	}
	return w.store.Write(ctx, w.fence, func(tx operation.Tx) error {
		row, err := tx.Volume(a.VolumeID)
		if err != nil {
			return err
		}
		row.ImageID, row.Size, row.AdoptedParent, row.SourceVolID = a.image.ID, a.size, a.image.Parent, source
		return tx.UpdateVolume(&row, volume.Managing)
	})
}
