package worker

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// creation is the state of the operations that make a volume.
type creation struct {
	rpc.CreateVolumeRequest
	// VolumeID is generated when the request is accepted: that the image of
	// this name is ours is proven by this id, and by nothing on the cluster.
	VolumeID string `json:"volume_id,omitempty"`
	// From is the snapshot on the backend that the volume is cloned from.
	From volume.SnapshotRef `json:"from,omitzero"`
	// OriginID is the volume that From is a snapshot of.
	OriginID string `json:"origin_id,omitempty"`
	// TypeID is the type that was asked for, and Settings what it wants. Configure tells
	// that the image may have others when it is made.
	TypeID    string          `json:"type_id,omitempty"`
	Settings  volume.Settings `json:"settings,omitzero"`
	Configure bool            `json:"configure,omitempty"`

	made  volume.Location
	facts map[string]string // of the image it was made of
	cache lookup            // of that image

	// deep tells that the chain has to become shorter first, apart that the volume is
	// flattened before anybody is told of it; see depth.go.
	deep, apart bool
	drop        *dropping // what the source held in a parent that cinder-volume made it from
	// later tells that the services that live can read flattens in the background.
	later bool

	// Of a clone: the batch that it joined last, whether it is in there still, and
	// whether there may be a snapshot of its own.
	batch        *batch
	joined, took bool
	relief       relief // what it has begun to make room for that
}

func (w *Worker) createVolume() operation.Method[creation] {
	return operation.Method[creation]{
		Name: rpc.MethodCreateVolume, Resource: volume.VolumeResource, Lane: operation.Work, Target: operation.Exclusive, Creates: true,
		Accept: func(tx operation.Tx, op *volume.Operation, c *creation) error { return w.insertVolume(tx, op, c, nil) },
		Steps: []operation.Step[creation]{{
			Name: "create",
			Run: func(ctx context.Context, t *operation.Task, c *creation) (err error) {
				if c.made, err = w.driver.CreateVolume(ctx, w.spec(t, c)); err != nil {
					return err
				}
				return w.setUpCreated(ctx, t, c)
			},
		}},
		Undo: w.removeCreated, Finish: w.finishCreate,
	}
}

func (w *Worker) createFromSnapshot() operation.Method[creation] {
	return operation.Method[creation]{
		Name: methodCreateFromSnapshot, Resource: volume.VolumeResource, Lane: operation.Work, Target: operation.Exclusive, Creates: true,
		Accept: w.acceptFromSnapshot,
		Steps:  append([]operation.Step[creation]{{Name: "clone", Run: w.cloneSnapshot}}, w.keepShallow()...),
		Undo:   w.undoClone,
		Finish: func(tx operation.Tx, t *operation.Task, c *creation, err error) error {
			if err := w.finishCreate(tx, t, c, err); err != nil {
				return err
			}
			return w.flattenLater(tx, t, c, err)
		},
	}
}

func (w *Worker) acceptFromSnapshot(tx operation.Tx, op *volume.Operation, c *creation) error {
	s, v, err := w.ourSnapshot(tx, op, c.SnapshotID, "snapshot_id")
	if err != nil {
		return err
	}
	if s.Status != volume.Available {
		return fault.New(fault.Conflict, "snapshot %s is %s; it must be available", s.ID, s.Status).WithField("snapshot_id")
	}
	if err := c.sizeOf("snapshot "+s.ID, s.VolumeSize); err != nil {
		return err
	}
	c.From, c.OriginID = s.Ref(v.Ref(w.cfg.VolumeNameTemplate), w.cfg.SnapshotNameTemplate), v.ID
	if err := tx.Claim(op.ID, volume.Resource{Type: volume.SnapshotResource, ID: s.ID}, operation.Shared); err != nil {
		return err
	}
	return w.insertVolume(tx, op, c, &v)
}

// sizeOf takes the size of the source where the request gave none, and refuses
// one below it.
func (c *creation) sizeOf(source string, size int64) error {
	switch {
	case c.Size == 0:
		c.Size = size
	case c.Size < size:
		return fault.New(fault.Invalid, "size %d GiB is below the %d GiB of %s", c.Size, size, source).WithField("size")
	}
	return nil
}

// insertVolume writes the row of the new volume, which is made from the source, nil for
// none.
func (w *Worker) insertVolume(tx operation.Tx, op *volume.Operation, c *creation, source *volume.Volume) error {
	if err := w.chooseType(tx, c, source); err != nil {
		return err
	}
	if c.VolumeID == "" {
		c.VolumeID = uuid.NewString()
	}
	op.Resource.ID = c.VolumeID
	zone := c.AvailabilityZone
	if zone == "" {
		zone = w.cfg.AvailabilityZone
	}
	row := volume.Volume{
		ID: c.VolumeID, ProjectID: op.ProjectID, UserID: op.UserID, Name: c.Name, Description: c.Description,
		Size: c.Size, Status: volume.Creating, AttachStatus: volume.Detached, AvailabilityZone: zone,
		Host:       volume.ParseHost(w.cfg.Host).WithPool(w.cfg.Pool).String(),
		SnapshotID: c.SnapshotID, SourceVolID: c.SourceVolID, Metadata: c.Metadata,
		VolumeTypeID: c.TypeID, Multiattach: c.Settings.Multiattach,
	}
	if source != nil {
		row.Bootable, row.ImageMetadata = source.Bootable, source.ImageMetadata
	}
	return tx.InsertVolume(&row)
}

// spec says to the driver what to make.
func (w *Worker) spec(t *operation.Task, c *creation) volume.Spec {
	v := volume.Volume{ID: c.VolumeID}
	return volume.Spec{Ref: v.Ref(w.cfg.VolumeNameTemplate), Size: c.Size, Repeat: t.Repeat()}
}

// setUpCreated gives the new image what its type wants, and takes away what it has
// inherited. It is part of the step that makes the image: a step of its own would wait
// for another turn.
func (w *Worker) setUpCreated(ctx context.Context, t *operation.Task, c *creation) error {
	if !c.Configure {
		return nil
	}
	ref := w.spec(t, c).Ref
	ref.ImageID = c.made.ImageID
	return w.configure(ctx, ref, c.Settings)
}

// removeCreated removes the image that the operation made, if it made one.
func (w *Worker) removeCreated(ctx context.Context, t *operation.Task, c *creation, cause error) error {
	if errors.Is(cause, fault.Exists) {
		return nil // the image of that name is not ours
	}
	if err := w.confirm(ctx); err != nil {
		return err
	}
	ref := w.spec(t, c).Ref
	ref.ImageID = c.made.ImageID
	return unlessOpen(w.discard(ctx, ref))
}

// discard removes an image of which nobody was told.
func (w *Worker) discard(ctx context.Context, ref volume.Ref) error {
	gone, err := w.driver.DeleteVolume(ctx, ref, 0)
	if err != nil || gone.ImageID == "" {
		return err
	}
	ref.ImageID = gone.ImageID
	return w.driver.PurgeVolume(ctx, ref, nil)
}

// unlessOpen makes the error for an image that is open one that is waited out: the only
// one that can have it open is a process before this one, which is dead.
func unlessOpen(err error) error {
	if fault.KindOf(err) == fault.Busy {
		return untilItWorks(fault.Of(err)).WithRetryAfter(openRetry)
	}
	return err
}

// openRetry is how soon to look again whether an image is still open.
const openRetry = 2 * time.Second

// finishCreate brings the volume to rest.
func (w *Worker) finishCreate(tx operation.Tx, t *operation.Task, c *creation, err error) error {
	v, lost := tx.Volume(c.VolumeID)
	if lost != nil {
		return lost
	}
	dropLineage(t, c.drop, nil) // whatever became of the clone
	from := v.Status            // downloading, perhaps
	v.PreviousStatus = from
	switch {
	case err == nil:
		v.Status, v.ImageID, v.LaunchedAt = volume.Available, c.made.ImageID, time.Now().UTC().Truncate(time.Microsecond)
		if c.Image != nil {
			v.Bootable, v.ImageMetadata = true, c.facts
		}
	case errors.Is(err, fault.Cancelled):
		v.Status = volume.Deleted
	default:
		v.Status = volume.Error
	}
	return leave(tx, t, &v, from)
}
