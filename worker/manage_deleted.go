package worker

import (
	"context"
	"strings"
	"time"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/volume"
)

// manageDeleted takes over what cinder-volume keeps of a deleted volume for the sake of
// its clones. It becomes what this service keeps of one: a record, the image in the
// trash, and a purge that waits until no clone needs it.
func (w *Worker) manageDeleted() operation.Method[adoption] {
	return operation.Method[adoption]{
		Name: methodManageDeleted, Since: "1.1", Resource: volume.VolumeResource, Lane: operation.Work, Target: operation.Exclusive,
		Accept: w.acceptManageDeleted,
		Steps: []operation.Step[adoption]{
			{Name: "inspect", Run: w.inspectManaged},
			{Name: "trash", Run: func(ctx context.Context, _ *operation.Task, a *adoption) error {
				gone, err := w.driver.DeleteVolume(ctx, volume.Ref{Name: a.SourceName, ImageID: a.image.ID}, 0)
				if err == nil && gone.ImageID == "" {
					err = fault.New(fault.NotFound, "the image %s is gone", a.SourceName)
				}
				return err
			}},
		},
		Undo: func(ctx context.Context, _ *operation.Task, a *adoption, _ error) error {
			return w.undoAdoption(ctx, a, func(ctx context.Context, imageID string) error {
				return w.driver.UndeleteVolume(ctx, volume.Ref{Name: a.SourceName, ImageID: imageID})
			})
		},
		Finish: w.finishManageDeleted,
	}
}

func (w *Worker) acceptManageDeleted(tx operation.Tx, op *volume.Operation, a *adoption) error {
	name, silent := strings.CutSuffix(a.SourceName, volume.SilentSuffix)
	id, named := volume.IDIn(w.cfg.VolumeNameTemplate, name)
	if !silent || !named {
		return fault.New(fault.Invalid, "%s is no image of a deleted volume: those are named %s%s", a.SourceName, w.nameOf("ID"), volume.SilentSuffix).
			WithField("source_name")
	}
	if a.VolumeID != "" && a.VolumeID != id {
		return fault.New(fault.Invalid, "the deleted volume was %s, not %s", id, a.VolumeID).WithField("volume_id")
	}
	a.VolumeID = id
	return w.acceptManage(tx, op, a)
}

func (w *Worker) finishManageDeleted(tx operation.Tx, t *operation.Task, a *adoption, err error) error {
	v, lost := tx.Volume(a.VolumeID)
	if lost != nil {
		return lost
	}
	if v.PreviousStatus = volume.Managing; err == nil {
		v.Status, v.TerminatedAt = volume.Deleted, time.Now().UTC().Truncate(time.Microsecond)
		t.Follow(w.purgeAfter(t.Operation(), &v, deletion{Parent: v.AdoptedParent}))
	} else {
		a.giveUp(&v)
	}
	return leave(tx, t, &v, volume.Managing)
}

// lineage returns what ends the snapshot that cinder-volume has taken of the volume that
// an adopted clone was made from: that lives as long as the clone needs it, and nobody
// else knows of it. It is nil for a clone of something that is not a live volume of this
// service; a deleted one takes its snapshots along when it is purged.
func (w *Worker) lineage(ctx context.Context, parent *volume.ImageParent) (*dropping, error) {
	if parent == nil || parent.Pool != "" {
		return nil, nil
	}
	rows, err := w.store.VolumesOfImages(ctx, []string{parent.ImageID})
	if err != nil {
		return nil, err
	}
	for i := range rows {
		v := &rows[i]
		if v.Deleted() || w.here(v, "") != nil {
			continue
		}
		name, err := w.cloneSnapOf(ctx, parent)
		if err != nil || name == "" {
			return nil, err
		}
		return &dropping{SourceVolID: v.ID, Snapshot: volume.SnapshotRef{Volume: v.Ref(w.cfg.VolumeNameTemplate), Name: name}}, nil
	}
	return nil, nil
}

// cloneSnapOf returns the name of the snapshot if it is there and cinder-volume has taken
// it for a clone. It holds the id that the clone had then, which may have another now.
func (w *Worker) cloneSnapOf(ctx context.Context, parent *volume.ImageParent) (string, error) {
	inventory, err := driver.Ability[driver.Inventory](w.driver, "tell which snapshots an image has")
	if err != nil {
		return "", err
	}
	found, err := inventory.Inspect(ctx, volume.Ref{ImageID: parent.ImageID}, false)
	if err != nil || len(found) == 0 {
		return "", err
	}
	for _, s := range found[0].Snapshots {
		if _, ofClone := volume.IDIn(w.cfg.VolumeNameTemplate+volume.CloneSnapSuffix, s.Name); ofClone && s.ID == parent.SnapshotID {
			return s.Name, nil
		}
	}
	return "", nil
}

// dropLineage has the snapshot removed when the operation has ended.
func dropLineage(t *operation.Task, drop *dropping, err error) {
	if drop != nil && err == nil {
		t.Follow(dropRequest(t.Operation(), *drop))
	}
}
