package worker

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// snapshotting is the state of create_snapshot.
type snapshotting struct {
	rpc.CreateSnapshotRequest
	SnapshotID string             `json:"snapshot_id,omitempty"`
	Image      volume.SnapshotRef `json:"image,omitzero"`
}

func (w *Worker) createSnapshot() operation.Method[snapshotting] {
	return operation.Method[snapshotting]{
		Name: rpc.MethodCreateSnapshot, Resource: volume.SnapshotResource, Lane: operation.Control, Target: operation.Exclusive, Creates: true,
		Accept: w.acceptSnapshot,
		Steps: []operation.Step[snapshotting]{{
			Name: "snapshot",
			Run: func(ctx context.Context, _ *operation.Task, s *snapshotting) error {
				err := w.driver.CreateSnapshot(ctx, s.Image)
				if errors.Is(err, driver.ErrTooManySnapshots) {
					w.thinOut(ctx, s.Image.Volume) // for the next
				}
				return err
			},
		}},
		Undo: func(ctx context.Context, _ *operation.Task, s *snapshotting, _ error) error {
			if err := w.confirm(ctx); err != nil {
				return err
			}
			return w.driver.DeleteSnapshot(ctx, s.Image)
		},
		Finish: w.finishSnapshot,
	}
}

func (w *Worker) acceptSnapshot(tx operation.Tx, op *volume.Operation, s *snapshotting) error {
	v, err := w.ourVolume(tx, op, s.VolumeID, "volume_id")
	if err != nil {
		return err
	}
	if err := usable(&v); err != nil {
		return err
	}
	if s.SnapshotID == "" {
		s.SnapshotID = uuid.NewString()
	}
	row := volume.Snapshot{
		ID: s.SnapshotID, VolumeID: v.ID, ProjectID: v.ProjectID, UserID: op.UserID, Name: s.Name,
		Description: s.Description, Status: volume.Creating, Progress: "0%", VolumeSize: v.Size, Metadata: s.Metadata,
	}
	s.Image = row.Ref(v.Ref(w.cfg.VolumeNameTemplate), w.cfg.SnapshotNameTemplate)
	op.Resource.ID = s.SnapshotID
	if err := claimSource(tx, op, v.ID); err != nil {
		return err
	}
	return tx.InsertSnapshot(&row)
}

func (w *Worker) finishSnapshot(tx operation.Tx, t *operation.Task, s *snapshotting, err error) error {
	row, lost := tx.Snapshot(s.SnapshotID)
	if lost != nil {
		return lost
	}
	switch {
	case err == nil:
		row.Status, row.Progress = volume.Available, "100%"
	case errors.Is(err, fault.Cancelled):
		row.Status = volume.Deleted
	default:
		row.Status = volume.Error
	}
	return leaveSnapshot(tx, t, &row, volume.Creating)
}

// unsnapshotting is the state of delete_snapshot.
type unsnapshotting struct {
	rpc.DeleteSnapshotRequest
	Image  volume.SnapshotRef `json:"image,omitzero"`
	Before volume.Status      `json:"before,omitempty"`
}

func (w *Worker) deleteSnapshot() operation.Method[unsnapshotting] {
	return operation.Method[unsnapshotting]{
		Name: rpc.MethodDeleteSnapshot, Resource: volume.SnapshotResource, Lane: operation.Control, Target: operation.Exclusive,
		Accept: w.acceptDeleteSnapshot,
		Steps: []operation.Step[unsnapshotting]{{
			Name: "remove",
			Run: func(ctx context.Context, _ *operation.Task, s *unsnapshotting) error {
				return w.driver.DeleteSnapshot(ctx, s.Image)
			},
		}},
		Finish: w.finishDeleteSnapshot,
	}
}

func (w *Worker) acceptDeleteSnapshot(tx operation.Tx, op *volume.Operation, s *unsnapshotting) error {
	row, v, err := w.ourSnapshot(tx, op, s.SnapshotID, "snapshot_id")
	if err != nil {
		return err
	}
	op.Resource.ID = row.ID
	s.Image, s.Before = row.Ref(v.Ref(w.cfg.VolumeNameTemplate), w.cfg.SnapshotNameTemplate), row.Status
	if err := tx.Claim(op.ID, volume.Resource{Type: volume.VolumeResource, ID: v.ID}, operation.Shared); err != nil {
		return err
	}
	return moveSnapshot(tx, &row, volume.Deleting)
}

func (w *Worker) finishDeleteSnapshot(tx operation.Tx, t *operation.Task, s *unsnapshotting, err error) error {
	row, lost := tx.Snapshot(s.SnapshotID)
	if lost != nil {
		return lost
	}
	switch {
	case err == nil:
		row.Status = volume.Deleted
	case errors.Is(err, fault.Busy), errors.Is(err, fault.Cancelled):
		row.Status = s.Before
	default:
		row.Status = volume.ErrorDeleting
	}
	return leaveSnapshot(tx, t, &row, volume.Deleting)
}
