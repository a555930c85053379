package worker

import (
	"context"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// flattening is the state of flatten_volume.
type flattening struct {
	rpc.FlattenVolumeRequest
	Image volume.Ref `json:"image,omitzero"`
}

// flattenResource is what two flattens of one volume compete for. The volume
// itself is claimed shared: it can be used, snapshotted and grown meanwhile.
const flattenResource volume.ResourceType = "flatten"

// flattenVolume makes a clone independent of its parent. It can be interrupted
// at any time and goes on where it was.
func (w *Worker) flattenVolume() operation.Method[flattening] {
	return operation.Method[flattening]{
		Name: rpc.MethodFlattenVolume, Resource: volume.VolumeResource, Lane: operation.Flatten, Target: operation.Shared,
		Accept: func(tx operation.Tx, op *volume.Operation, f *flattening) error {
			v, err := w.ourVolume(tx, op, f.VolumeID, "volume_id")
			if err != nil {
				return err
			}
			if err := usable(&v); err != nil {
				return err
			}
			op.Resource.ID = v.ID
			f.Image = v.Ref(w.cfg.VolumeNameTemplate)
			return tx.Claim(op.ID, volume.Resource{Type: flattenResource, ID: v.ID}, operation.Exclusive)
		},
		Steps: []operation.Step[flattening]{{
			Name: "flatten", Interruptible: true,
			Run: func(ctx context.Context, t *operation.Task, f *flattening) error {
				return w.driver.FlattenVolume(ctx, f.Image, t.Progress)
			},
		}},
		Undo:   w.mendFlattened,
		Finish: func(operation.Tx, *operation.Task, *flattening, error) error { return nil },
	}
}

// mendFlattened makes sure that the volume can be used as it is, after a process
// that died in the middle.
func (w *Worker) mendFlattened(ctx context.Context, t *operation.Task, f *flattening, _ error) error {
	mender, able := driver.As[driver.Mender](w.driver)
	if !able || !t.Repeat() {
		return nil
	}
	return mender.MendFlattened(ctx, f.Image)
}
