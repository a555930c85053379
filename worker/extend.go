package worker

import (
	"context"
	"errors"
	"maps"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// extension is the state of extend_volume.
type extension struct {
	rpc.ExtendVolumeRequest
	Image volume.Ref `json:"image,omitzero"`
	// Settings are what the type wants at the new size, nil if that is what it wanted.
	Settings *volume.Settings `json:"settings,omitempty"`
}

// extendVolume grows a volume, attached or not.
func (w *Worker) extendVolume() operation.Method[extension] {
	return operation.Method[extension]{
		Name: rpc.MethodExtendVolume, Resource: volume.VolumeResource, Lane: operation.Work, Target: operation.Shared,
		Accept: w.acceptExtend,
		Steps: []operation.Step[extension]{{
			Name: "extend",
			Run: func(ctx context.Context, _ *operation.Task, x *extension) error {
				if err := w.driver.ExtendVolume(ctx, x.Image, x.NewSize); err != nil || x.Settings == nil {
					return err
				}
				return w.configure(ctx, x.Image, *x.Settings)
			},
		}},
		Finish: w.finishExtend,
	}
}

func (w *Worker) acceptExtend(tx operation.Tx, op *volume.Operation, x *extension) error {
	v, err := w.ourVolume(tx, op, x.VolumeID, "volume_id")
	if err != nil {
		return err
	}
	if x.NewSize <= v.Size {
		return fault.New(fault.Invalid, "new size %d GiB is not above the present %d GiB", x.NewSize, v.Size).WithField("new_size")
	}
	op.Resource.ID = v.ID
	x.Image = v.Ref(w.cfg.VolumeNameTemplate)
	copies, err := tx.Holders(op.ID, volume.Resource{Type: sizeResource, ID: v.ID})
	if err != nil {
		return err
	}
	if len(copies) > 0 {
		return fault.New(fault.Busy, "volume %s is being copied at its present size by %d operations", v.ID, len(copies)).
			WithBlockers(copies...).WithHint("extend it when they have ended")
	}
	if err := x.settings(tx, &v); err != nil {
		return err
	}
	return move(tx, &v, volume.Extending)
}

// settings looks whether the type of the volume wants something else at the new size. After
// an extend that failed nobody knows what the image has.
func (x *extension) settings(tx operation.Tx, v *volume.Volume) error {
	before, err := settingsOf(tx, v, v.Size)
	if err != nil {
		return err
	}
	after, err := settingsOf(tx, v, x.NewSize)
	if x.Settings = nil; err == nil && (v.Status == volume.ErrorExtend || !maps.Equal(before.Limits, after.Limits)) && !after.IsZero() {
		x.Settings = &after
	}
	return err
}

func (w *Worker) finishExtend(tx operation.Tx, t *operation.Task, x *extension, err error) error {
	v, lost := tx.Volume(x.VolumeID)
	if lost != nil {
		return lost
	}
	switch {
	case err == nil:
		attached, err := tx.Attachments(v.ID)
		if err != nil {
			return err
		}
		v.Status, v.Size = afterExtend(v.PreviousStatus, attached), x.NewSize
	case errors.Is(err, fault.Cancelled):
		v.Status = v.PreviousStatus
	default:
		v.Status = volume.ErrorExtend
	}
	v.PreviousStatus = volume.Extending
	return leave(tx, t, &v, volume.Extending)
}

// afterExtend is where a volume rests after it has grown. As before, that is; but
// after an earlier extend that failed only the attachments tell.
func afterExtend(before volume.Status, attached int) volume.Status {
	if before == volume.InUse || attached > 0 {
		return volume.InUse
	}
	return volume.Available
}
