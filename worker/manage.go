package worker

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// adoption is the state of the operations that take an image over.
type adoption struct {
	rpc.ManageExistingRequest
	// TypeID is the type that was asked for. It stays as it is, since the row has it.
	TypeID string `json:"type_id,omitempty"`

	image volume.Image // as it was found by this attempt
	size  int64        // GiB
	depth int          // how many images it depends on, one above the other
	left  bool         // what was done could not be undone
}

// manageExisting makes a volume of an image that others have made: it gets the name of
// the volume, and is grown to whole GiB. Nothing is copied. The id of the image is in
// the row before the image is touched, so that it is known again under either name.
func (w *Worker) manageExisting() operation.Method[adoption] {
	return operation.Method[adoption]{
		Name: rpc.MethodManageExisting, Since: "1.1", Resource: volume.VolumeResource, Lane: operation.Work, Target: operation.Exclusive,
		Accept: w.acceptManage,
		Steps: []operation.Step[adoption]{
			{Name: "inspect", Run: func(ctx context.Context, t *operation.Task, a *adoption) error {
				if err := w.inspectManaged(ctx, t, a); err != nil {
					return err
				}
				return w.measureManaged(ctx, a)
			}},
			{Name: "rename", Run: func(ctx context.Context, _ *operation.Task, a *adoption) error {
				return w.adopter().RenameVolume(ctx, volume.Ref{Name: a.SourceName, ImageID: a.image.ID}, w.nameOf(a.VolumeID))
			}},
			{Name: "grow", Run: func(ctx context.Context, _ *operation.Task, a *adoption) error {
				if a.image.Size == a.size*volume.GiB {
					return nil
				}
				return w.driver.ExtendVolume(ctx, volume.Ref{Name: w.nameOf(a.VolumeID), ImageID: a.image.ID}, a.size)
			}},
			{Name: "configure", When: func(a *adoption) bool { return a.TypeID != "" }, Run: w.configureManaged},
		},
		Undo: w.undoManage, Finish: w.finishManage,
	}
}

// nameOf is the name of the image of the volume.
func (w *Worker) nameOf(volumeID string) string {
	v := volume.Volume{ID: volumeID}
	return v.Ref(w.cfg.VolumeNameTemplate).Name
}

func (w *Worker) acceptManage(tx operation.Tx, op *volume.Operation, a *adoption) error {
	if err := w.adopts(); err != nil {
		return err
	}
	if a.VolumeID == "" {
		a.VolumeID = uuid.NewString()
	}
	op.Resource.ID = a.VolumeID
	if err := w.unmanaged(tx, a); err != nil {
		return err
	}
	var kind volume.Type
	if a.VolumeType != "" {
		var err error
		if kind, err = w.typeFor(tx, a.VolumeType, "volume_type"); err != nil {
			return err
		}
	}
	a.TypeID = kind.ID
	return w.insertManaged(tx, a, &kind)
}

// configureManaged gives the image what its type wants, which may depend on its size.
func (w *Worker) configureManaged(ctx context.Context, _ *operation.Task, a *adoption) error {
	kind, err := w.store.Type(ctx, a.TypeID)
	if err != nil {
		return err
	}
	return w.configure(ctx, volume.Ref{Name: w.nameOf(a.VolumeID), ImageID: a.image.ID}, kind.Settings(a.size))
}

// unmanaged refuses an image that has the name of a volume in the tables.
func (w *Worker) unmanaged(tx operation.Tx, a *adoption) error {
	id, named := volume.IDIn(w.cfg.VolumeNameTemplate, a.SourceName)
	if !named || id == a.VolumeID {
		return nil
	}
	v, err := tx.Volume(id)
	switch {
	case errors.Is(err, fault.NotFound):
		return nil
	case err != nil:
		return err
	}
	return alreadyManaged(&v)
}

// alreadyManaged is the error for an image that a volume has.
func alreadyManaged(v *volume.Volume) *fault.Error {
	f := fault.New(fault.Conflict, "already managed: it is the image of volume %s of %s", v.ID, volume.ParseHost(v.Host).Service()).
		WithField("source_name")
	if v.Deleted() {
		return f.WithHint("that volume is deleted, and its image will be removed: volumectl volume why %s", v.ID)
	}
	return f
}

// insertManaged writes the row of the volume, which is of that kind. Where there is the record of one of that
// id whose image is not ours any more, it is that volume again, of the same project.
func (w *Worker) insertManaged(tx operation.Tx, a *adoption, kind *volume.Type) error {
	zone := a.AvailabilityZone
	if zone == "" {
		zone = w.cfg.AvailabilityZone
	}
	row := volume.Volume{
		ID: a.VolumeID, ProjectID: a.ProjectID, UserID: a.UserID, Name: a.Name, Description: a.Description,
		Status: volume.Managing, AttachStatus: volume.Detached, AvailabilityZone: zone,
		Host: volume.ParseHost(w.cfg.Host).WithPool(w.cfg.Pool).String(), Metadata: a.Metadata, Bootable: a.Bootable,
		VolumeTypeID: kind.ID, Multiattach: kind.Is(volume.SpecMultiattach),
	}
	err := tx.InsertVolume(&row)
	if !errors.Is(err, fault.Exists) {
		return err
	}
	record, err := tx.DeletedVolume(a.VolumeID)
	switch {
	case errors.Is(err, fault.NotFound):
		return fault.New(fault.Exists, "there is a volume %s already", a.VolumeID).WithField("volume_id")
	case err != nil:
		return err
	case record.ImageID != "":
		return fault.New(fault.Conflict, "volume %s was deleted, and its image is not purged yet", a.VolumeID).
			WithField("volume_id").WithHint("give the image another id; or see volumectl volume why %s", a.VolumeID)
	case a.ProjectID != "" && a.ProjectID != record.ProjectID:
		return fault.New(fault.Conflict, "volume %s was one of another project", a.VolumeID).
			WithField("volume_id").WithHint("give the image another id, or the volume to the project that had it")
	case len(a.Metadata) > 0:
		return fault.New(fault.Invalid, "volume %s was here before, and has its metadata still", a.VolumeID).
			WithField("metadata").WithHint("leave the metadata out")
	}
	row.PreviousStatus, row.Metadata, row.CreatedAt = record.Status, record.Metadata, record.CreatedAt
	row.Bootable = row.Bootable || record.Bootable
	if row.ProjectID = record.ProjectID; row.UserID == "" {
		row.UserID = record.UserID
	}
	return tx.UpdateVolume(&row, volume.Deleted)
}

// undoManage gives the image its former name back.
func (w *Worker) undoManage(ctx context.Context, _ *operation.Task, a *adoption, _ error) error {
	return w.undoAdoption(ctx, a, func(ctx context.Context, imageID string) error {
		taken := volume.Ref{Name: w.nameOf(a.VolumeID), ImageID: imageID}
		err := w.adopter().RenameVolume(ctx, taken, a.SourceName)
		if errors.Is(err, fault.Conflict) {
			return nil // another image has that name: this one was never given it
		}
		return err
	})
}

// undoAdoption gives the image back as it was, unless it was not touched or is gone.
func (w *Worker) undoAdoption(ctx context.Context, a *adoption, back func(ctx context.Context, imageID string) error) error {
	row, err := w.store.Volume(ctx, a.VolumeID)
	if err != nil {
		return err
	}
	if row.ImageID == "" {
		return nil
	}
	if err := w.confirm(ctx); err != nil {
		return err
	}
	err = back(ctx, row.ImageID)
	if errors.Is(err, fault.NotFound) {
		return nil
	}
	a.left = err != nil
	return err
}

// finishManage brings the volume to rest: it is there, or nothing of it is. Only where
// the image could not be given back the row tells of it.
func (w *Worker) finishManage(tx operation.Tx, t *operation.Task, a *adoption, err error) error {
	v, lost := tx.Volume(a.VolumeID)
	if lost != nil {
		return lost
	}
	if v.PreviousStatus = volume.Managing; err == nil {
		v.Status, v.LaunchedAt = volume.Available, time.Now().UTC().Truncate(time.Microsecond)
	} else {
		a.giveUp(&v)
	}
	if lost := leave(tx, t, &v, volume.Managing); lost != nil || err != nil || a.depth <= max(w.cfg.MaxCloneDepth, 0) {
		return lost
	}
	return w.followFlatten(tx, t, v.ID)
}

// giveUp makes of the row what is left of it when the image is not taken over.
func (a *adoption) giveUp(v *volume.Volume) {
	if a.left {
		v.Status = volume.ErrorManaging
		return
	}
	v.Status, v.ImageID, v.AdoptedParent, v.SourceVolID = volume.Deleted, "", nil, ""
}

func (w *Worker) handleManageExisting(ctx context.Context, r rpc.ManageExistingRequest) (rpc.VolumeReply, error) {
	if err := w.checkManage(ctx, &r); err != nil {
		return rpc.VolumeReply{}, err
	}
	method := rpc.MethodManageExisting
	if r.AsDeleted {
		method = methodManageDeleted
	}
	end, err := w.submit(ctx, method, r)
	return w.volumeReply(ctx, end, err)
}

func (w *Worker) checkManage(ctx context.Context, r *rpc.ManageExistingRequest) error {
	if err := firstOf(
		forOperators(ctx), invalidField(driver.CheckName(r.SourceName), "source_name"),
		checkText(r.Name, r.Description, r.Metadata),
		printable("availability_zone", r.AvailabilityZone), printable("project_id", r.ProjectID), printable("user_id", r.UserID),
		printable("source_id", r.SourceID), w.checkTyped(ctx, r.VolumeType),
	); err != nil {
		return err
	}
	if r.ProjectID == volume.CacheProject {
		return fault.New(fault.Invalid, "the project %s is the service's own", r.ProjectID).WithField("project_id")
	}
	if r.VolumeID != "" {
		if err := checkID("volume_id", r.VolumeID); err != nil {
			return err
		}
	}
	if r.AsDeleted && r.VolumeType != "" {
		return fault.New(fault.Invalid, "a deleted volume gets no type").WithField("volume_type")
	}
	if r.Size < 0 || r.Size > maxSize {
		return fault.New(fault.Invalid, "size %d GiB is not between 1 and %d", r.Size, int64(maxSize)).WithField("size")
	}
	return nil
}

// invalidField says which field of the request an error of a driver's check is about.
func invalidField(err error, field string) error {
	if f := fault.Of(err); err != nil {
		return f.WithField(field)
	}
	return nil
}
