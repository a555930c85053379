package worker

import (
	"context"
	"maps"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// update_volume and update_snapshot have no steps: all that they change is written
// with their end. They come at any time, and claim nothing.

func (w *Worker) updateVolume() operation.Method[rpc.UpdateVolumeRequest] {
	relabel := func(tx operation.Tx, op *volume.Operation, r *rpc.UpdateVolumeRequest) (volume.Volume, error) {
		v, err := w.ourVolume(tx, op, r.VolumeID, "volume_id")
		if err == nil {
			set(&v.Bootable, r.Bootable)
			err = merge(&r.Labels, &v.Name, &v.Description, &v.Metadata)
		}
		return v, err
	}
	return operation.Method[rpc.UpdateVolumeRequest]{
		Name: rpc.MethodUpdateVolume, Since: "1.1", Resource: volume.VolumeResource, Lane: operation.Control,
		Accept: func(tx operation.Tx, op *volume.Operation, r *rpc.UpdateVolumeRequest) error {
			op.Resource.ID = r.VolumeID
			_, err := relabel(tx, op, r)
			return err
		},
		Finish: func(tx operation.Tx, t *operation.Task, r *rpc.UpdateVolumeRequest, err error) error {
			if err != nil {
				return nil
			}
			op := t.Operation()
			v, err := relabel(tx, &op, r)
			if err == nil {
				err = tx.LabelVolume(&v)
			}
			if err == nil {
				t.Leave(v)
			}
			return err
		},
	}
}

func (w *Worker) updateSnapshot() operation.Method[rpc.UpdateSnapshotRequest] {
	relabel := func(tx operation.Tx, op *volume.Operation, r *rpc.UpdateSnapshotRequest) (volume.Snapshot, error) {
		s, _, err := w.ourSnapshot(tx, op, r.SnapshotID, "snapshot_id")
		if err == nil {
			err = merge(&r.Labels, &s.Name, &s.Description, &s.Metadata)
		}
		return s, err
	}
	return operation.Method[rpc.UpdateSnapshotRequest]{
		Name: rpc.MethodUpdateSnapshot, Since: "1.1", Resource: volume.SnapshotResource, Lane: operation.Control,
		Accept: func(tx operation.Tx, op *volume.Operation, r *rpc.UpdateSnapshotRequest) error {
			op.Resource.ID = r.SnapshotID
			_, err := relabel(tx, op, r)
			return err
		},
		Finish: func(tx operation.Tx, t *operation.Task, r *rpc.UpdateSnapshotRequest, err error) error {
			if err != nil {
				return nil
			}
			op := t.Operation()
			s, err := relabel(tx, &op, r)
			if err == nil {
				err = tx.LabelSnapshot(&s)
			}
			if err == nil {
				t.Leave(s)
			}
			return err
		},
	}
}

// merge puts the labels in their places, those that a request has.
func merge(l *rpc.Labels, name, description *string, metadata *map[string]string) error {
	if l.Name != nil {
		*name = *l.Name
	}
	if l.Description != nil {
		*description = *l.Description
	}
	merged := maps.Clone(*metadata)
	if merged == nil {
		merged = map[string]string{}
	}
	for key, value := range l.Metadata {
		if value == nil {
			delete(merged, key)
		} else {
			merged[key] = *value
		}
	}
	*metadata = merged
	if len(merged) > maxMetadata {
		return fault.New(fault.Invalid, "metadata would have %d entries, at most %d are kept", len(merged), maxMetadata).WithField("metadata")
	}
	return nil
}

// checkLabels refuses labels that would break a table, a log or a terminal, and a
// request without any that asks for nothing else.
func checkLabels(l *rpc.Labels, more bool) error {
	if l.Name == nil && l.Description == nil && len(l.Metadata) == 0 && !more {
		return fault.New(fault.Invalid, "nothing is to be changed").WithField("name").WithHint("give a name, a description or metadata")
	}
	var name, description string
	var metadata map[string]string
	if err := merge(l, &name, &description, &metadata); err != nil {
		return err
	}
	return checkText(name, description, metadata)
}

func (w *Worker) handleUpdateVolume(ctx context.Context, r rpc.UpdateVolumeRequest) (rpc.VolumeReply, error) {
	if err := firstOf(checkID("volume_id", r.VolumeID), checkLabels(&r.Labels, r.Bootable != nil)); err != nil {
		return rpc.VolumeReply{}, err
	}
	end, err := w.submit(ctx, rpc.MethodUpdateVolume, r)
	return w.volumeReply(ctx, end, err)
}

func (w *Worker) handleUpdateSnapshot(ctx context.Context, r rpc.UpdateSnapshotRequest) (rpc.SnapshotReply, error) {
	if err := firstOf(checkID("snapshot_id", r.SnapshotID), checkLabels(&r.Labels, false)); err != nil {
		return rpc.SnapshotReply{}, err
	}
	end, err := w.submit(ctx, rpc.MethodUpdateSnapshot, r)
	return w.snapshotReply(ctx, end, err)
}
