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

// deletion is the state of delete_volume and of the purge that follows it.
type deletion struct {
	rpc.DeleteVolumeRequest
	Image volume.Ref `json:"image,omitzero"`

	gone volume.Location
}

// deleteVolume takes a volume out of reach in constant time; its space comes
// back by the purge that follows.
func (w *Worker) deleteVolume() operation.Method[deletion] {
	return operation.Method[deletion]{
		Name: rpc.MethodDeleteVolume, Resource: volume.VolumeResource, Lane: operation.Work, Target: operation.Exclusive,
		Accept: w.acceptDelete,
		Steps: []operation.Step[deletion]{{
			Name: "trash",
			Run: func(ctx context.Context, _ *operation.Task, d *deletion) (err error) {
				d.gone, err = w.driver.DeleteVolume(ctx, d.Image, w.cfg.DeletedKeep)
				return err
			},
		}},
		Finish: w.finishDelete,
	}
}

func (w *Worker) acceptDelete(tx operation.Tx, op *volume.Operation, d *deletion) error {
	v, err := w.ourVolume(tx, op, d.VolumeID, "volume_id")
	if err != nil {
		return err
	}
	op.Resource.ID = v.ID
	d.Image = v.Ref(w.cfg.VolumeNameTemplate)
	if err := deletable(tx, &v); err != nil {
		return err
	}
	return move(tx, &v, volume.Deleting)
}

// deletable refuses what would take something along that somebody still needs.
func deletable(tx operation.Tx, v *volume.Volume) error {
	attached, err := tx.Attachments(v.ID)
	if err != nil {
		return err
	}
	if attached > 0 {
		return fault.New(fault.Busy, "volume %s has %d attachments", v.ID, attached).WithHint("detach it first")
	}
	snapshots, err := tx.Snapshots(v.ID)
	if err != nil {
		return err
	}
	if len(snapshots) > 0 {
		blockers := make([]string, len(snapshots))
		for i, s := range snapshots {
			blockers[i] = "snapshot " + s.ID
		}
		return fault.New(fault.Conflict, "volume %s has %d snapshots", v.ID, len(snapshots)).
			WithBlockers(blockers...).WithHint("delete its snapshots first; clones of them do not matter")
	}
	return nil
}

func (w *Worker) finishDelete(tx operation.Tx, t *operation.Task, d *deletion, err error) error {
	v, lost := tx.Volume(d.VolumeID)
	if lost != nil {
		return lost
	}
	switch {
	case err == nil:
		v.Status, v.TerminatedAt = volume.Deleted, time.Now().UTC()
		if d.gone.ImageID != "" {
			v.ImageID = d.gone.ImageID
			t.Follow(w.purgeAfter(t.Operation(), &v))
		}
	case errors.Is(err, fault.Busy), errors.Is(err, fault.Conflict), errors.Is(err, fault.Cancelled):
		v.Status = v.PreviousStatus // nothing was touched
	default:
		v.Status = volume.ErrorDeleting
	}
	v.PreviousStatus = volume.Deleting
	return tx.UpdateVolume(&v, volume.Deleting)
}

// purgeAfter is the request for the purge of a deleted volume. It shares the ids
// of its project's requests, so it takes one that nobody can have used before.
func (w *Worker) purgeAfter(op volume.Operation, v *volume.Volume) operation.Request {
	return operation.Request{
		RequestID: "purge-" + uuid.NewString(), ProjectID: op.ProjectID, UserID: op.UserID, TraceParent: op.TraceParent,
		Method: methodPurge,
		Args: deletion{
			DeleteVolumeRequest: rpc.DeleteVolumeRequest{VolumeID: v.ID},
			Image:               v.Ref(w.cfg.VolumeNameTemplate),
		},
	}
}

const (
	// brokenRetry is how soon what cleans up is tried again after it failed for a
	// reason which does not go away by itself soon.
	brokenRetry = 5 * time.Minute
	// blockedRetry is how soon a purge looks again for clones that went away
	// without an operation of ours; the end of one wakes it.
	blockedRetry = time.Minute
)

// purgeVolume gives the space of a deleted volume back, once nothing depends on
// it any more. It never gives up: an entry in the trash that nobody works on
// would be lost space.
func (w *Worker) purgeVolume() operation.Method[deletion] {
	return operation.Method[deletion]{
		Name: methodPurge, Resource: volume.VolumeResource, Lane: operation.Bulk, Target: operation.Exclusive, Patient: true,
		Accept: func(tx operation.Tx, op *volume.Operation, d *deletion) error {
			op.Resource.ID = d.VolumeID
			_, err := tx.DeletedVolume(d.VolumeID)
			return err
		},
		Steps: []operation.Step[deletion]{{
			Name: "purge",
			Run: func(ctx context.Context, t *operation.Task, d *deletion) error {
				return waitOut(t, w.driver.PurgeVolume(ctx, d.Image, t.Progress))
			},
		}},
		Finish: func(tx operation.Tx, _ *operation.Task, d *deletion, err error) error {
			if err != nil {
				return nil // a defect; the entry stays for an operator
			}
			v, lost := tx.DeletedVolume(d.VolumeID)
			if lost != nil {
				return lost
			}
			v.ImageID = "" // the image of this id is no more
			return tx.UpdateVolume(&v, volume.Deleted)
		},
	}
}

// waitOut makes the error of what cleans up one that is waited out.
func waitOut(t *operation.Task, err error) error {
	switch f := fault.Of(err); fault.KindOf(err) {
	case fault.Busy:
		// The first time nobody wakes it yet: what it waits for was not known.
		if f.RetryAfter == 0 && t.Repeat() {
			return f.WithRetryAfter(blockedRetry)
		}
		return err
	case "", fault.Unavailable, fault.Cancelled:
		return err
	default:
		return fault.New(fault.Unavailable, "%w", err).WithRetryAfter(brokenRetry)
	}
}
