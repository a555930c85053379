package worker

import (
	"context"
	"errors"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// reversion is the state of revert_to_snapshot.
type reversion struct {
	rpc.RevertToSnapshotRequest
	Snapshot volume.SnapshotRef `json:"snapshot,omitzero"`
	Size     int64              `json:"size,omitempty"` // GiB, of the volume, which stays
	Before   volume.Status      `json:"before,omitempty"`

	begun bool // an earlier attempt may have written
}

// revertToSnapshot gives a volume the content of any of its snapshots. A rollback
// that has begun is brought to its end, however often it takes: a volume that is
// rolled back in half has no content that means anything. So it cannot be cancelled
// any more then, and is not refused for what happens meanwhile.
func (w *Worker) revertToSnapshot() operation.Method[reversion] {
	return operation.Method[reversion]{
		Name: rpc.MethodRevertToSnapshot, Since: "1.1", Resource: volume.VolumeResource, Lane: operation.Bulk, Target: operation.Exclusive,
		Overwrites: true,
		Accept:     w.acceptRevert,
		Steps:      []operation.Step[reversion]{{Name: "rollback", Run: w.rollback}},
		Finish:     w.finishRevert,
	}
}

func (w *Worker) acceptRevert(tx operation.Tx, op *volume.Operation, r *reversion) error {
	v, err := w.ourVolume(tx, op, r.VolumeID, "volume_id")
	if err != nil {
		return err
	}
	s, _, err := w.ourSnapshot(tx, op, r.SnapshotID, "snapshot_id")
	switch {
	case err != nil:
		return err
	case s.VolumeID != v.ID:
		return fault.New(fault.Invalid, "snapshot %s is one of volume %s, not of %s", s.ID, s.VolumeID, v.ID).
			WithField("snapshot_id").WithHint("to copy it: create a volume from the snapshot")
	case v.Status == volume.Error && v.ImageID == "":
		return fault.New(fault.Conflict, "volume %s was never made", v.ID).WithHint("delete it")
	}
	op.Resource.ID = v.ID
	r.Snapshot, r.Size, r.Before = s.Ref(v.Ref(w.cfg.VolumeNameTemplate), w.cfg.SnapshotNameTemplate), v.Size, v.Status
	if err := detached(tx, &v); err != nil {
		return err
	}
	if err := moveSnapshot(tx, &s, volume.Restoring); err != nil {
		return fault.Of(err).WithField("snapshot_id")
	}
	return move(tx, &v, volume.Reverting)
}

// rollback rolls the volume back. What the backend refuses is an outcome; once an
// earlier attempt may have begun, whatever can go away by itself is waited out.
func (w *Worker) rollback(ctx context.Context, t *operation.Task, r *reversion) error {
	reverter, err := driver.Ability[driver.Reverter](w.driver, "revert volumes")
	if err != nil {
		return err
	}
	if r.begun, err = w.overwrite(ctx, t.Operation()); err != nil {
		return err
	}
	err = driver.Surround(ctx, w.driver, "RevertToSnapshot", r.Snapshot.String(), t.Progress, func(p driver.Progress) error {
		return reverter.RevertToSnapshot(ctx, r.Snapshot, r.Size, p)
	})
	switch kind := fault.KindOf(err); {
	case kind == fault.Exhausted:
		return untilItWorks(fault.Of(err)).WithRetryAfter(brokenRetry)
	case kind == fault.Busy && r.begun:
		return unlessOpen(err)
	case kind == "", kind == fault.Unavailable, kind == fault.Cancelled, r.refused(err):
		return err
	default:
		return fault.Of(err).WithHint("repeat the revert: volumectl volume revert %s --snapshot %s", r.VolumeID, r.SnapshotID)
	}
}

// refused reports whether the volume is as it was: nothing was begun, or the backend has
// refused to begin.
func (r *reversion) refused(err error) bool {
	switch fault.KindOf(err) {
	case fault.Cancelled:
		return true
	case fault.NotFound, fault.Busy, fault.Invalid, fault.Conflict, fault.Unsupported:
		return !r.begun
	default:
		return false
	}
}

func (w *Worker) finishRevert(tx operation.Tx, t *operation.Task, r *reversion, err error) error {
	v, lost := tx.Volume(r.VolumeID)
	if lost != nil {
		return lost
	}
	s, lost := tx.Snapshot(r.SnapshotID)
	if lost != nil {
		return lost
	}
	switch {
	case err == nil:
		v.Status = volume.Available
	case r.refused(err):
		v.Status = r.Before
	default:
		v.Status = volume.Error
	}
	v.PreviousStatus, s.Status = volume.Reverting, volume.Available
	return errors.Join(leave(tx, t, &v, volume.Reverting), tx.UpdateSnapshot(&s, volume.Restoring))
}

func (w *Worker) handleRevert(ctx context.Context, r rpc.RevertToSnapshotRequest) (rpc.VolumeReply, error) {
	if err := firstOf(checkID("volume_id", r.VolumeID), checkID("snapshot_id", r.SnapshotID)); err != nil {
		return rpc.VolumeReply{}, err
	}
	end, err := w.submit(ctx, rpc.MethodRevertToSnapshot, r)
	return w.volumeReply(ctx, end, err)
}
