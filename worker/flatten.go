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

// flattening is the state of the flattens.
type flattening struct {
	rpc.FlattenVolumeRequest
	Image volume.Ref `json:"image,omitzero"`
	// Supersedes is the flatten in the background that this one takes the place of.
	Supersedes string `json:"supersedes,omitempty"`
	// Parent is what the image was a clone of when it was taken over from cinder-volume.
	Parent *volume.ImageParent `json:"parent,omitempty"`

	drop *dropping // what the clone held in such a parent
}

func flattenRequest(id string) rpc.FlattenVolumeRequest {
	return rpc.FlattenVolumeRequest{VolumeID: id}
}

// flattenResource is what two flattens of one volume compete for. The volume
// itself is claimed shared: it can be used, snapshotted and grown meanwhile.
const flattenResource volume.ResourceType = "flatten"

// flattenVolume makes a clone independent of its parent. It can be interrupted
// at any time and goes on where it was.
func (w *Worker) flattenVolume() operation.Method[flattening] {
	m := w.flatten(rpc.MethodFlattenVolume)
	accept := m.Accept
	m.Accept = func(tx operation.Tx, op *volume.Operation, f *flattening) error {
		if err := supersedeFlatten(tx, f); err != nil {
			return err
		}
		return accept(tx, op, f)
	}
	m.Steps = append([]operation.Step[flattening]{{
		Name: "supersede", Free: true, When: func(f *flattening) bool { return f.Supersedes != "" },
		Run: func(ctx context.Context, _ *operation.Task, f *flattening) error { return w.sendOff(ctx, f.Supersedes) },
	}}, m.Steps...)
	return m
}

// supersedeFlatten takes the claims from a flatten of the volume that nobody asked for.
func supersedeFlatten(tx operation.Tx, f *flattening) error {
	later, err := tx.OperationOn(volume.Resource{Type: volume.VolumeResource, ID: f.VolumeID}, methodFlattenLater)
	if errors.Is(err, fault.NotFound) {
		return nil
	}
	f.Supersedes = later.ID
	return errors.Join(err, tx.Release(later.ID))
}

// flattenInBackground is the flatten that nobody asked for.
func (w *Worker) flattenInBackground() operation.Method[flattening] {
	m := w.flatten(methodFlattenLater)
	m.Since, m.Background = flattenLaterSince, true
	return m
}

func (w *Worker) flatten(name string) operation.Method[flattening] {
	return operation.Method[flattening]{
		Name: name, Resource: volume.VolumeResource, Lane: operation.Flatten, Target: operation.Shared,
		Accept: func(tx operation.Tx, op *volume.Operation, f *flattening) error {
			v, err := w.ourVolume(tx, op, f.VolumeID, "volume_id")
			if err != nil {
				return err
			}
			if err := usable(&v); err != nil {
				return err
			}
			op.Resource.ID = v.ID
			f.Image, f.Parent = v.Ref(w.cfg.VolumeNameTemplate), v.AdoptedParent
			return tx.Claim(op.ID, volume.Resource{Type: flattenResource, ID: v.ID}, operation.Exclusive)
		},
		Steps: []operation.Step[flattening]{{
			Name: "flatten", Interruptible: true,
			Run: func(ctx context.Context, t *operation.Task, f *flattening) (err error) {
				if err := w.driver.FlattenVolume(ctx, f.Image, t.Progress); err != nil {
					return err
				}
				f.drop, err = w.lineage(ctx, f.Parent)
				return err
			},
		}},
		Undo: func(ctx context.Context, t *operation.Task, f *flattening, _ error) error {
			return w.mend(ctx, t, f.Image)
		},
		Finish: func(_ operation.Tx, t *operation.Task, f *flattening, err error) error {
			dropLineage(t, f.drop, err)
			return nil
		},
	}
}

// mend makes sure that a volume can be used as it is, after a process that died in the
// middle of its flatten.
func (w *Worker) mend(ctx context.Context, t *operation.Task, v volume.Ref) error {
	mender, able := driver.As[driver.Mender](w.driver)
	if !able || !t.Repeat() {
		return nil
	}
	return mender.MendFlattened(ctx, v)
}
