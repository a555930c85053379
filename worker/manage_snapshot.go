package worker

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// snapshotAdoption is the state of manage_existing_snapshot.
type snapshotAdoption struct {
	rpc.ManageExistingSnapshotRequest
	// Image is the snapshot as it is found, To the name that it gets.
	Image volume.SnapshotRef `json:"image,omitzero"`
	To    string             `json:"to,omitempty"`

	size int64 // GiB
}

// manageExistingSnapshot makes a snapshot of one that others have taken of a volume's
// image. It is not protected: that is done when a clone needs it.
func (w *Worker) manageExistingSnapshot() operation.Method[snapshotAdoption] {
	return operation.Method[snapshotAdoption]{
		Name: rpc.MethodManageExistingSnapshot, Since: "1.1", Resource: volume.SnapshotResource, Lane: operation.Control, Target: operation.Exclusive,
		Accept: w.acceptManageSnapshot,
		Steps: []operation.Step[snapshotAdoption]{
			{Name: "inspect", Run: w.inspectSnapshot},
			{Name: "rename", Run: func(ctx context.Context, _ *operation.Task, a *snapshotAdoption) error {
				return w.adopter().RenameSnapshot(ctx, a.Image, a.To)
			}},
		},
		Undo: func(ctx context.Context, _ *operation.Task, a *snapshotAdoption, _ error) error {
			if a.To == a.Image.Name {
				return nil
			}
			if err := w.confirm(ctx); err != nil {
				return err
			}
			err := w.adopter().RenameSnapshot(ctx, volume.SnapshotRef{Volume: a.Image.Volume, Name: a.To}, a.Image.Name)
			if errors.Is(err, fault.NotFound) {
				return nil // it is gone, or was never there
			}
			return err
		},
		Finish: w.finishManageSnapshot,
	}
}

func (w *Worker) acceptManageSnapshot(tx operation.Tx, op *volume.Operation, a *snapshotAdoption) error {
	if err := w.adopts(); err != nil {
		return err
	}
	v, err := w.ourVolume(tx, op, a.VolumeID, "volume_id")
	if err != nil {
		return err
	}
	if err := usable(&v); err != nil {
		return err
	}
	if a.SnapshotID == "" {
		a.SnapshotID = uuid.NewString() // by which its new name is known to be ours
	}
	op.Resource.ID = a.SnapshotID
	if err := w.unmanagedSnapshot(tx, a); err != nil {
		return err
	}
	row := volume.Snapshot{
		ID: a.SnapshotID, VolumeID: v.ID, ProjectID: v.ProjectID, UserID: v.UserID, Name: a.Name, Description: a.Description,
		Status: volume.Creating, Progress: "0%", VolumeSize: v.Size, Metadata: a.Metadata,
	}
	image := v.Ref(w.cfg.VolumeNameTemplate)
	a.Image, a.To = volume.SnapshotRef{Volume: image, Name: a.SourceName}, row.Ref(image, w.cfg.SnapshotNameTemplate).Name
	if err := claimSource(tx, op, v.ID); err != nil {
		return err
	}
	return insertSnapshotAnew(tx, &row)
}

// unmanagedSnapshot refuses a snapshot that is one of the tables', or serves somebody as
// it is.
func (w *Worker) unmanagedSnapshot(tx operation.Tx, a *snapshotAdoption) error {
	if why := w.servesOthers(a.SourceName); why != "" {
		return fault.New(fault.Conflict, "snapshot %s: %s", a.SourceName, why).WithField("source_name")
	}
	id, named := volume.IDIn(w.cfg.SnapshotNameTemplate, a.SourceName)
	if !named || id == a.SnapshotID {
		return nil
	}
	s, err := tx.Snapshot(id)
	if errors.Is(err, fault.NotFound) || err == nil && s.VolumeID != a.VolumeID {
		return nil
	}
	if err == nil {
		err = fault.New(fault.Conflict, "already managed: it is snapshot %s", id).WithField("source_name")
	}
	return err
}

// servesOthers says what a snapshot of that name serves, empty for nothing that is known.
func (w *Worker) servesOthers(name string) string {
	_, ofClone := volume.IDIn(w.cfg.VolumeNameTemplate+volume.CloneSnapSuffix, name)
	switch {
	case ofClone || strings.HasPrefix(name, cloneSnapshotName("")):
		return "used for clone snap"
	case volume.IsBackupSnapshot(name):
		return "used for volume backup"
	}
	return ""
}

// insertSnapshotAnew writes the row of a snapshot. Where there is the record of one of
// that id and volume, it is that snapshot again.
func insertSnapshotAnew(tx operation.Tx, row *volume.Snapshot) error {
	err := tx.InsertSnapshot(row)
	if !errors.Is(err, fault.Exists) {
		return err
	}
	record, err := tx.DeletedSnapshot(row.ID)
	switch {
	case errors.Is(err, fault.NotFound):
		return fault.New(fault.Exists, "there is a snapshot %s already", row.ID).WithField("snapshot_id")
	case err != nil:
		return err
	case record.VolumeID != row.VolumeID:
		return fault.New(fault.Conflict, "snapshot %s was one of another volume", row.ID).
			WithField("snapshot_id").WithHint("give the snapshot another id")
	case len(row.Metadata) > 0:
		return fault.New(fault.Invalid, "snapshot %s was here before, and has its metadata still", row.ID).
			WithField("metadata").WithHint("leave the metadata out")
	}
	row.PreviousStatus, row.Metadata, row.CreatedAt = record.Status, record.Metadata, record.CreatedAt
	return tx.UpdateSnapshot(row, volume.Deleted)
}

// inspectSnapshot reads how large the snapshot is, under its old or its new name.
func (w *Worker) inspectSnapshot(ctx context.Context, t *operation.Task, a *snapshotAdoption) (err error) {
	defer fault.Wrap(&err, "manage snapshot %s", a.Image)
	found, err := w.adopter().Inspect(ctx, a.Image.Volume, false)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(found, func(img volume.Image) bool { return img.ID == a.Image.Volume.ImageID && !img.Trashed })
	if at < 0 {
		return fault.New(fault.NotFound, "there is no image of volume %s", a.VolumeID).WithField("volume_id")
	}
	img := &found[at]
	if img.Broken != "" {
		return fault.New(fault.Conflict, "broken: %s", img.Broken).WithField("volume_id")
	}
	s := img.Snapshot(a.SourceName)
	if s == nil && t.Repeat() {
		s = img.Snapshot(a.To)
	}
	if s == nil {
		return fault.New(fault.NotFound, "there is no such snapshot").WithField("source_name").
			WithHint("what there is: volumectl snapshot manageable --volume %s", a.VolumeID)
	}
	a.size = gib(s.Size)
	return nil
}

func (w *Worker) finishManageSnapshot(tx operation.Tx, t *operation.Task, a *snapshotAdoption, err error) error {
	row, lost := tx.Snapshot(a.SnapshotID)
	if lost != nil {
		return lost
	}
	if row.Status = volume.Deleted; err == nil {
		row.Status, row.Progress, row.VolumeSize = volume.Available, "100%", a.size
	}
	return leaveSnapshot(tx, t, &row, volume.Creating)
}

func (w *Worker) handleManageExistingSnapshot(ctx context.Context, r rpc.ManageExistingSnapshotRequest) (rpc.SnapshotReply, error) {
	if err := firstOf(
		forOperators(ctx), checkID("volume_id", r.VolumeID), invalidField(driver.CheckName(r.SourceName), "source_name"),
		checkText(r.Name, r.Description, r.Metadata),
	); err != nil {
		return rpc.SnapshotReply{}, err
	}
	if r.SnapshotID != "" {
		if err := w.checkKept(&r); err != nil {
			return rpc.SnapshotReply{}, err
		}
	}
	end, err := w.submit(ctx, rpc.MethodManageExistingSnapshot, r)
	return w.snapshotReply(ctx, end, err)
}

// checkKept refuses an id that the name of the snapshot does not hold already. A snapshot
// that is renamed gets an id that nobody has seen before.
func (w *Worker) checkKept(r *rpc.ManageExistingSnapshotRequest) error {
	if err := checkID("snapshot_id", r.SnapshotID); err != nil {
		return err
	}
	if id, _ := volume.IDIn(w.cfg.SnapshotNameTemplate, r.SourceName); id != r.SnapshotID {
		return fault.New(fault.Invalid, "the name %s does not hold the id %s", r.SourceName, r.SnapshotID).
			WithField("snapshot_id").WithHint("leave the id out: the snapshot gets a new one")
	}
	return nil
}
