package worker

import (
	"context"
	"errors"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/volume"
)

const (
	// brokenRetry is how soon what cleans up is tried again after it failed for a
	// reason which does not go away by itself soon.
	brokenRetry = 5 * time.Minute
	// blockedRetry is how soon a purge looks again for clones that went away
	// without an operation of ours; the end of one wakes it.
	blockedRetry = time.Minute
)

// purgeVolume gives the space of a deleted volume back, once its time to be kept is
// over and nothing depends on it any more. It never gives up: an entry in the trash
// that nobody works on would be lost space. Until it begins, an undelete can take its
// place.
func (w *Worker) purgeVolume() operation.Method[deletion] {
	return operation.Method[deletion]{
		Name: methodPurge, Resource: volume.VolumeResource, Lane: operation.Bulk, Target: operation.Exclusive, Patient: true,
		Accept: acceptPurge,
		Steps: []operation.Step[deletion]{
			{Name: "keep", Free: true, Interruptible: true, Run: w.keep},
			{Name: "purge", Interruptible: true, Run: func(ctx context.Context, t *operation.Task, d *deletion) (err error) {
				if err := w.driver.PurgeVolume(ctx, d.Image, t.Progress); err != nil {
					return waitOut(err)
				}
				d.drop, err = w.lineage(ctx, d.Parent)
				return waitOut(err)
			}},
		},
		Finish: finishPurge,
	}
}

// acceptPurge refuses to remove what the tables do not say is the volume's.
func acceptPurge(tx operation.Tx, op *volume.Operation, d *deletion) error {
	op.Resource.ID = d.VolumeID
	v, err := tx.DeletedVolume(d.VolumeID)
	if err == nil && v.ImageID != d.Image.ImageID {
		err = fault.New(fault.Conflict, "the image of volume %s has the id %q, not %q", v.ID, v.ImageID, d.Image.ImageID)
	}
	return err
}

// keep waits until nobody can have the volume back any more. What ends it earlier is
// an undelete.
func (w *Worker) keep(ctx context.Context, t *operation.Task, d *deletion) error {
	if d.KeepUntil.IsZero() {
		return nil
	}
	if left := time.Until(d.KeepUntil); left > 0 {
		return fault.New(fault.Busy, "volume %s is kept until %s", d.VolumeID, d.KeepUntil.Format(time.RFC3339)).
			WithRetryAfter(left).WithHint("to have it back: volumectl volume undelete %s", d.VolumeID)
	}
	return w.beginPurge(context.WithoutCancel(ctx), t.Operation().ID, d.VolumeID)
}

// purgeResource is what a purge claims when it begins to remove what could be had
// back until then.
const purgeResource volume.ResourceType = "purge"

// beginPurge decides between a purge and an undelete, in one transaction: whoever has
// the claim of the volume wins. Kind: Cancelled for the purge that loses.
func (w *Worker) beginPurge(ctx context.Context, operationID, volumeID string) error {
	err := w.store.Write(ctx, w.fence, func(tx operation.Tx) error {
		if _, err := tx.DeletedVolume(volumeID); err != nil {
			return err
		}
		if err := tx.Claim(operationID, volume.Resource{Type: volume.VolumeResource, ID: volumeID}, operation.Exclusive); err != nil {
			return err
		}
		return tx.Claim(operationID, volume.Resource{Type: purgeResource, ID: volumeID}, operation.Exclusive)
	})
	if errors.Is(err, fault.Busy) || errors.Is(err, fault.NotFound) {
		return fault.New(fault.Cancelled, "volume %s has been restored", volumeID)
	}
	return err
}

func finishPurge(tx operation.Tx, t *operation.Task, d *deletion, err error) error {
	if err != nil {
		return nil // an undelete; or a defect, and the entry stays for an operator
	}
	v, lost := tx.DeletedVolume(d.VolumeID)
	if lost != nil {
		return lost
	}
	v.ImageID = "" // the image of this id is no more
	dropLineage(t, d.drop, err)
	return tx.UpdateVolume(&v, volume.Deleted)
}

// waitOut makes the error of what cleans up one that is waited out.
func waitOut(err error) error {
	switch f := fault.Of(err); fault.KindOf(err) {
	case fault.Busy:
		if f.RetryAfter == 0 {
			return f.WithRetryAfter(blockedRetry)
		}
		return err
	case "", fault.Unavailable, fault.Cancelled:
		return err
	default:
		return untilItWorks(f).WithRetryAfter(brokenRetry)
	}
}

// untilItWorks makes of an error one that is waited out, with the same words.
func untilItWorks(f *fault.Error) *fault.Error {
	again := fault.New(fault.Unavailable, "%w", f)
	again.BlockedBy, again.Hint = f.BlockedBy, f.Hint
	return again
}
