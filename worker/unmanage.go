package worker

import (
	"errors"
	"time"

	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/volume"
)

// unmanageVolume takes the rows of a volume and its snapshots away, and leaves the image
// to others as it is. The claim on the volume waits for clones that are being made of it;
// beyond that there is nothing to do.
func (w *Worker) unmanageVolume() operation.Method[deletion] {
	return operation.Method[deletion]{
		Name: methodUnmanage, Since: "1.1", Resource: volume.VolumeResource, Lane: operation.Control, Target: operation.Exclusive,
		Accept: func(tx operation.Tx, op *volume.Operation, d *deletion) error {
			v, err := w.ourVolume(tx, op, d.VolumeID, "volume_id")
			if err != nil {
				return err
			}
			op.Resource.ID, d.Before = v.ID, v.Status
			if err := detached(tx, &v); err != nil {
				return err
			}
			if err := d.takeSnapshots(tx, op, volume.Unmanaging); err != nil {
				return err
			}
			return move(tx, &v, volume.Unmanaging)
		},
		Finish: finishUnmanage,
	}
}

// finishUnmanage forgets the id of the image: a record that had it would say that the
// image is to be removed.
func finishUnmanage(tx operation.Tx, t *operation.Task, d *deletion, err error) error {
	v, lost := tx.Volume(d.VolumeID)
	if lost != nil {
		return lost
	}
	v.PreviousStatus = volume.Unmanaging
	if v.Status = d.Before; err == nil {
		v.Status, v.ImageID, v.AdoptedParent = volume.Deleted, "", nil
		v.TerminatedAt = time.Now().UTC().Truncate(time.Microsecond)
	}
	return errors.Join(leave(tx, t, &v, volume.Unmanaging), d.finishSnapshots(tx, volume.Unmanaging, err == nil))
}

// unmanageSnapshot does the same for a snapshot.
func (w *Worker) unmanageSnapshot() operation.Method[unsnapshotting] {
	return operation.Method[unsnapshotting]{
		Name: methodUnmanageSnapshot, Since: "1.1", Resource: volume.SnapshotResource, Lane: operation.Control, Target: operation.Exclusive,
		Accept: func(tx operation.Tx, op *volume.Operation, s *unsnapshotting) error {
			row, v, err := w.ourSnapshot(tx, op, s.SnapshotID, "snapshot_id")
			if err != nil {
				return err
			}
			op.Resource.ID, s.Before = row.ID, row.Status
			if err := tx.Claim(op.ID, volume.Resource{Type: volume.VolumeResource, ID: v.ID}, operation.Shared); err != nil {
				return err
			}
			return moveSnapshot(tx, &row, volume.Unmanaging)
		},
		Finish: func(tx operation.Tx, t *operation.Task, s *unsnapshotting, err error) error {
			row, lost := tx.Snapshot(s.SnapshotID)
			if lost != nil {
				return lost
			}
			if row.Status = s.Before; err == nil {
				row.Status = volume.Deleted
			}
			return leaveSnapshot(tx, t, &row, volume.Unmanaging)
		},
	}
}
