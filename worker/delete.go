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

// deletion is the state of delete_volume and of the purge that follows it. As long
// as that waits, it is also what an undelete is told of the volume.
type deletion struct {
	rpc.DeleteVolumeRequest
	Image volume.Ref `json:"image,omitzero"`
	// Before is the status that the volume was deleted in, Snapshots are those that
	// go with it.
	Before    volume.Status   `json:"before,omitempty"`
	Snapshots []takenSnapshot `json:"snapshots,omitempty"`
	// Keep is how long the volume can be restored, KeepUntil the end of that time:
	// zero for one that is not kept.
	Keep      time.Duration `json:"keep,omitempty"`
	KeepUntil time.Time     `json:"keep_until,omitzero"`

	// Parent is what the image was a clone of when it was taken over from cinder-volume.
	Parent *volume.ImageParent `json:"parent,omitempty"`

	gone volume.Location
	drop *dropping // what the purge of such a clone ends
}

// takenSnapshot is a snapshot that a delete has taken along.
type takenSnapshot struct {
	ID     string        `json:"id"`
	Before volume.Status `json:"before"`
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
				d.gone, err = w.driver.DeleteVolume(ctx, d.Image, d.Keep)
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
	d.Image, d.Before, d.Keep, d.Parent = v.Ref(w.cfg.VolumeNameTemplate), v.Status, w.cfg.DeletedKeep, v.AdoptedParent
	if v.ProjectID == volume.CacheProject {
		d.Keep, d.Cascade = 0, true
		if err := tx.DropCachedImage(v.ID); err != nil {
			return err
		}
	}
	if err := detached(tx, &v); err != nil {
		return err
	}
	if err := d.takeSnapshots(tx, op, volume.Deleting); err != nil {
		return err
	}
	if v.Status == volume.ErrorManaging {
		return fault.New(fault.Conflict, "volume %s is %s: its image was not taken over, and is not removed", v.ID, v.Status).
			WithHint("take the row away: volumectl volume unmanage %s", v.ID)
	}
	return move(tx, &v, volume.Deleting)
}

// detached refuses a volume that a host may still write to.
func detached(tx operation.Tx, v *volume.Volume) error {
	attached, err := tx.Attachments(v.ID)
	if err == nil && attached > 0 {
		err = fault.New(fault.Busy, "volume %s has %d attachments", v.ID, attached).WithHint("detach it first")
	}
	return err
}

// takeSnapshots has the snapshots of the volume go with it, if that was asked for, and
// refuses a volume that has some otherwise.
func (d *deletion) takeSnapshots(tx operation.Tx, op *volume.Operation, status volume.Status) error {
	snapshots, err := tx.Snapshots(d.VolumeID)
	if err != nil || len(snapshots) == 0 {
		return err
	}
	if !d.Cascade {
		blockers := make([]string, len(snapshots))
		for i, s := range snapshots {
			blockers[i] = "snapshot " + s.ID
		}
		f := fault.New(fault.Conflict, "volume %s has %d snapshots", d.VolumeID, len(snapshots)).WithBlockers(blockers...)
		if d.UnmanageOnly {
			return f.WithHint("unmanage its snapshots first, or with it (cascade)")
		}
		return f.WithHint("delete its snapshots first, or with it (cascade); clones of them do not matter")
	}
	d.Snapshots = make([]takenSnapshot, len(snapshots)) // anew: this may run again
	for i := range snapshots {
		s := &snapshots[i]
		d.Snapshots[i] = takenSnapshot{s.ID, s.Status}
		if op.ProjectID != "" && s.ProjectID != op.ProjectID { // which does not exist to this one
			return fault.New(fault.Conflict, "volume %s has a snapshot of another project", d.VolumeID).
				WithHint("an operator can delete it: a request without a project may touch all")
		}
		if err := unused(tx, op, s); err != nil {
			return err
		}
		if err := moveSnapshot(tx, s, status); err != nil {
			return err
		}
	}
	return nil
}

// unused refuses a snapshot of which volumes are being made.
func unused(tx operation.Tx, op *volume.Operation, s *volume.Snapshot) error {
	holders, err := tx.Holders(op.ID, volume.Resource{Type: volume.SnapshotResource, ID: s.ID})
	if err == nil && len(holders) > 0 {
		err = fault.New(fault.Busy, "snapshot %s is used by %d operations", s.ID, len(holders)).
			WithBlockers(holders...).WithHint("delete the volume again when they have ended")
	}
	return err
}

func (w *Worker) finishDelete(tx operation.Tx, t *operation.Task, d *deletion, err error) error {
	v, lost := tx.Volume(d.VolumeID)
	if lost != nil {
		return lost
	}
	switch {
	case err == nil:
		v.Status, v.TerminatedAt = volume.Deleted, time.Now().UTC().Truncate(time.Microsecond)
		if d.gone.ImageID != "" {
			v.ImageID = d.gone.ImageID
			if d.Keep > 0 {
				d.KeepUntil = v.TerminatedAt.Add(d.Keep)
			}
			t.Follow(w.purgeAfter(t.Operation(), &v, *d))
		}
	case errors.Is(err, fault.Busy), errors.Is(err, fault.Conflict), errors.Is(err, fault.Cancelled):
		v.Status = v.PreviousStatus // nothing was touched
	default:
		v.Status = volume.ErrorDeleting
	}
	v.PreviousStatus = volume.Deleting
	return errors.Join(leave(tx, t, &v, volume.Deleting), d.finishSnapshots(tx, volume.Deleting, err == nil))
}

// finishSnapshots brings those that go with the volume to rest: deleted, or as they
// were.
func (d *deletion) finishSnapshots(tx operation.Tx, from volume.Status, gone bool) error {
	for _, taken := range d.Snapshots {
		s, err := tx.Snapshot(taken.ID)
		if err != nil {
			return err
		}
		if s.PreviousStatus, s.Status = from, volume.Deleted; !gone {
			s.Status = taken.Before
		}
		if err := tx.UpdateSnapshot(&s, from); err != nil {
			return err
		}
	}
	return nil
}

// purgeAfter is the request for the purge of a deleted volume. It shares the ids
// of its project's requests, so it takes one that nobody can have used before.
func (w *Worker) purgeAfter(op volume.Operation, v *volume.Volume, d deletion) operation.Request {
	d.DeleteVolumeRequest = rpc.DeleteVolumeRequest{VolumeID: v.ID}
	d.Image = v.Ref(w.cfg.VolumeNameTemplate)
	return operation.Request{
		RequestID: "purge-" + uuid.NewString(), ProjectID: op.ProjectID, UserID: op.UserID, TraceParent: op.TraceParent,
		Method: methodPurge, Args: d,
	}
}
