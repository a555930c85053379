package worker

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// restoration is the state of undelete_volume.
type restoration struct {
	rpc.UndeleteVolumeRequest
	// PurgeID is the purge that the undelete takes the place of, Deletion what that
	// one knew.
	PurgeID  string   `json:"purge_id,omitempty"`
	Deletion deletion `json:"deletion,omitzero"`
}

// undeleteVolume brings back a deleted volume that is kept, with the snapshots that
// were deleted with it. It takes the claim of the volume from the purge that waits
// for the end of that time, unless the purge has begun. Until it has ended the volume
// stays deleted: there is nothing that others could do with it.
func (w *Worker) undeleteVolume() operation.Method[restoration] {
	return operation.Method[restoration]{
		Name: rpc.MethodUndeleteVolume, Resource: volume.VolumeResource, Lane: operation.Work, Target: operation.Exclusive,
		Accept: w.acceptUndelete,
		Steps: []operation.Step[restoration]{
			{Name: "supersede", Free: true, Run: w.supersede},
			{Name: "restore", Run: w.restore},
		},
		Finish: w.finishUndelete,
	}
}

func (w *Worker) acceptUndelete(tx operation.Tx, op *volume.Operation, r *restoration) error {
	v, err := w.ourDeleted(tx, op, r.VolumeID)
	if err != nil {
		return err
	}
	op.Resource.ID = v.ID
	if v.Unmanaged() {
		return fault.New(fault.Conflict, "volume %s was not deleted but unmanaged: its image was left to others", v.ID).
			WithHint("take it over again: volumectl volume manage")
	}
	if v.ImageID == "" {
		return fault.New(fault.Conflict, "volume %s has been purged: its data is gone", v.ID).WithHint("restore a backup")
	}
	purge, err := tx.OperationOn(op.Resource, methodPurge)
	if errors.Is(err, fault.NotFound) {
		return unkept(tx, op, &v)
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(purge.Args, &r.Deletion); err != nil {
		return fault.New(fault.Internal, "arguments of operation %s: %w", purge.ID, err)
	}
	if r.Deletion.KeepUntil.IsZero() {
		return fault.New(fault.Conflict, "volume %s was deleted for good: deferred deletion was off, its data is going", v.ID).
			WithHint("restore a backup; enable_deferred_deletion and deferred_deletion_delay keep what is deleted from then on")
	}
	r.PurgeID = purge.ID
	return takeOver(tx, op, r)
}

// ourDeleted returns the record of a deleted volume of this service that the
// operation's project may restore.
func (w *Worker) ourDeleted(tx operation.Tx, op *volume.Operation, id string) (volume.Volume, error) {
	v, err := tx.DeletedVolume(id)
	if errors.Is(err, fault.NotFound) {
		live, lost := w.ourVolume(tx, op, id, "volume_id")
		if lost != nil {
			return volume.Volume{}, lost
		}
		return live, notDeleted(&live)
	}
	if err == nil && op.ProjectID != "" && v.ProjectID != op.ProjectID {
		err = absent(volume.VolumeResource, id)
	}
	if err != nil {
		return volume.Volume{}, named(err, "volume_id")
	}
	return v, firstOf(w.here(&v, "volume_id"), offLimits(op, &v, "volume_id"))
}

func notDeleted(v *volume.Volume) error {
	f := fault.New(fault.Conflict, "volume %s is not deleted, it is %s", v.ID, v.Status)
	if v.Status == volume.Deleting {
		return f.WithHint("wait for the end of its delete: volumectl volume why %s", v.ID)
	}
	return f.WithHint("there is nothing to restore")
}

// unkept is the error for a volume whose image nobody keeps: something else is at
// work on it, or a defect has left it.
func unkept(tx operation.Tx, op *volume.Operation, v *volume.Volume) error {
	if err := tx.Claim(op.ID, op.Resource, operation.Exclusive); err != nil {
		return err
	}
	return fault.New(fault.Conflict, "volume %s is deleted, and no operation keeps it", v.ID).
		WithHint("an operator can see with volumectl audit what is left of it")
}

// takeOver takes the claim of the volume from the purge, unless that has begun.
func takeOver(tx operation.Tx, op *volume.Operation, r *restoration) error {
	err := tx.Claim(op.ID, volume.Resource{Type: purgeResource, ID: r.VolumeID}, operation.Exclusive)
	if errors.Is(err, fault.Busy) && slices.Contains(fault.Of(err).BlockedBy, r.PurgeID) {
		return fault.New(fault.Conflict, "volume %s was kept until %s, and its purge has begun: its data is gone",
			r.VolumeID, r.Deletion.KeepUntil.Format(time.RFC3339)).WithBlockers(r.PurgeID).WithHint("restore a backup")
	}
	if err != nil {
		return err
	}
	return tx.Release(r.PurgeID)
}

// supersede sees the purge end, which can do nothing any more.
func (w *Worker) supersede(ctx context.Context, _ *operation.Task, r *restoration) error {
	return w.sendOff(ctx, r.PurgeID)
}

// sendOff sees an operation end whose claims another has taken.
func (w *Worker) sendOff(ctx context.Context, id string) error {
	_, err := w.engine.Cancel(ctx, id)
	if err != nil && !errors.Is(err, fault.Conflict) && !errors.Is(err, fault.NotFound) { // it has ended, long ago
		return err
	}
	op, err := w.engine.Wait(ctx, id)
	if errors.Is(err, fault.NotFound) {
		return nil
	}
	if err == nil && !op.Status.Terminal() {
		err = fault.New(fault.Unavailable, "operation %s has not ended", op.ID).WithBlockers(op.ID)
	}
	return err
}

// restore takes the image out of the trash. Where that was not refused outright it
// goes on until it is done: a volume must not stay half restored.
func (w *Worker) restore(ctx context.Context, _ *operation.Task, r *restoration) error {
	err := w.driver.UndeleteVolume(ctx, r.Deletion.Image)
	switch fault.KindOf(err) {
	case fault.Exhausted, fault.Internal, fault.Unsupported:
		return untilItWorks(fault.Of(err))
	default:
		return err
	}
}

func (w *Worker) finishUndelete(tx operation.Tx, t *operation.Task, r *restoration, err error) error {
	v, lost := tx.DeletedVolume(r.VolumeID)
	if lost != nil {
		return lost
	}
	if err != nil {
		return w.resumePurge(tx, t, &v, r)
	}
	v.PreviousStatus, v.TerminatedAt = volume.Deleted, time.Time{}
	switch v.Status = r.Deletion.Before; v.Status {
	case volume.Error, volume.ErrorExtend:
	default:
		v.Status = volume.Available // also what a delete had failed on: that is over
	}
	return errors.Join(leave(tx, t, &v, volume.Deleted), r.Deletion.reviveSnapshots(tx))
}

// reviveSnapshots brings the snapshots that were deleted with the volume back to what
// they were.
func (d *deletion) reviveSnapshots(tx operation.Tx) error {
	for _, taken := range d.Snapshots {
		s, err := tx.DeletedSnapshot(taken.ID)
		if err != nil {
			return err
		}
		s.PreviousStatus, s.Status = volume.Deleted, taken.Before
		if err := tx.UpdateSnapshot(&s, volume.Deleted); err != nil {
			return err
		}
	}
	return nil
}

// resumePurge has the volume kept as before: by the same purge if it has not been told
// to end, else by a new one.
func (w *Worker) resumePurge(tx operation.Tx, t *operation.Task, v *volume.Volume, r *restoration) error {
	op := t.Operation()
	purge, err := tx.OperationOn(op.Resource, methodPurge)
	switch {
	case errors.Is(err, fault.NotFound), err == nil && (purge.ID != r.PurgeID || purge.CancelRequested):
		t.Follow(w.purgeAfter(op, v, r.Deletion))
		return nil
	case err != nil:
		return err
	}
	if err := tx.Release(op.ID); err != nil {
		return err
	}
	return tx.Claim(purge.ID, op.Resource, operation.Exclusive)
}

func (w *Worker) handleUndeleteVolume(ctx context.Context, r rpc.UndeleteVolumeRequest) (rpc.VolumeReply, error) {
	if err := checkID("volume_id", r.VolumeID); err != nil {
		return rpc.VolumeReply{}, err
	}
	end, err := w.submit(ctx, rpc.MethodUndeleteVolume, r)
	return w.volumeReply(ctx, end, err)
}
