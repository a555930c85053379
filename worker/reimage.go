package worker

import (
	"context"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// reimaging is the state of reimage.
type reimaging struct {
	rpc.ReimageRequest
	Target volume.Ref `json:"target,omitzero"`
	Size   int64      `json:"size,omitempty"` // GiB

	facts map[string]string
}

// reimage replaces what a volume holds by an image. What it held is gone as soon as the
// first byte is written, so a failure from then on leaves the volume in error, and so
// does a cancel; it can be reimaged again.
func (w *Worker) reimage() operation.Method[reimaging] {
	return operation.Method[reimaging]{
		Name: rpc.MethodReimage, Since: "1.1", Resource: volume.VolumeResource, Lane: operation.Bulk, Target: operation.Exclusive,
		Overwrites: true,
		Accept:     w.acceptReimage,
		Steps: []operation.Step[reimaging]{{Name: "import", Interruptible: true, Run: func(ctx context.Context, t *operation.Task, r *reimaging) error {
			in, err := w.receive(ctx, t, r.Image, r.Size, true)
			if err != nil {
				return err
			}
			defer in.close()
			if err := w.unwatched(ctx, t, r.Target); err != nil {
				return err
			}
			if _, err := w.overwrite(ctx, t.Operation()); err != nil {
				return err
			}
			r.facts = in.facts
			return w.fill(ctx, t, r.Target, in)
		}}},
		Finish: w.finishReimage,
	}
}

func (w *Worker) acceptReimage(tx operation.Tx, op *volume.Operation, r *reimaging) error {
	if _, err := driver.Ability[driver.Writer](w.driver, fillVolumes); err != nil {
		return err
	}
	v, err := w.ourVolume(tx, op, r.VolumeID, "volume_id")
	if err != nil {
		return err
	}
	attached, err := tx.Attachments(v.ID)
	switch {
	case err != nil:
		return err
	case attached > 0:
		return fault.New(fault.Busy, "volume %s has %d attachments", v.ID, attached).WithHint("detach it first")
	case v.ImageID == "":
		return fault.New(fault.Conflict, "volume %s has never been made", v.ID).WithHint("delete it, and make another")
	}
	op.Resource.ID = v.ID
	r.Target, r.Size = v.Ref(w.cfg.VolumeNameTemplate), v.Size
	return move(tx, &v, volume.Downloading)
}

func (w *Worker) finishReimage(tx operation.Tx, t *operation.Task, r *reimaging, err error) error {
	v, lost := tx.Volume(r.VolumeID)
	if lost != nil {
		return lost
	}
	before := v.PreviousStatus
	overwritten, lost := isOverwritten(tx, v.ID)
	if lost != nil {
		return lost
	}
	v.PreviousStatus = volume.Downloading
	switch {
	case err == nil:
		v.Status, v.Bootable, v.ImageMetadata = volume.Available, true, r.facts
	case overwritten:
		v.Status, v.Bootable, v.ImageMetadata = volume.Error, false, nil
	default:
		v.Status = before
	}
	return leave(tx, t, &v, volume.Downloading)
}
