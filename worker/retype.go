package worker

import (
	"context"
	"maps"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// retyping is the state of a retype that leaves the volume where it is.
type retyping struct {
	rpc.RetypeRequest
	Image  volume.Ref `json:"image,omitzero"`
	TypeID string     `json:"type_id,omitempty"`
	// Before and After are what the image has and shall have.
	Before volume.Settings `json:"before,omitzero"`
	After  volume.Settings `json:"after,omitzero"`
}

// retype gives a volume another type: limits change while it is in use.
func (w *Worker) retype() operation.Method[retyping] {
	return operation.Method[retyping]{
		Name: rpc.MethodRetype, Since: typedSince, Resource: volume.VolumeResource, Lane: operation.Work, Target: operation.Shared,
		Accept: w.acceptRetype,
		Steps: []operation.Step[retyping]{
			{Name: "configure", Run: func(ctx context.Context, _ *operation.Task, r *retyping) error {
				return w.configure(ctx, r.Image, r.After)
			}},
			{
				Name: "rebuild", Lane: operation.Bulk, Interruptible: true, When: func(r *retyping) bool { return r.After.Unshare },
				Run: func(ctx context.Context, t *operation.Task, r *retyping) error { return w.rebuildMaps(ctx, t, r.Image) },
			},
		},
		Undo: func(ctx context.Context, t *operation.Task, r *retyping, _ error) error {
			if err := w.confirm(ctx); err != nil {
				return err
			}
			return w.settle(ctx, t, r.Image, r.Before)
		},
		Finish: finishRetype,
	}
}

func (w *Worker) acceptRetype(tx operation.Tx, op *volume.Operation, r *retyping) error {
	v, err := w.ourVolume(tx, op, r.VolumeID, "volume_id")
	if err != nil {
		return err
	}
	op.Resource.ID = v.ID
	next, err := w.typeFor(tx, r.NewType, "new_type")
	if err != nil {
		return err
	}
	before, err := typeOf(tx, &v)
	if err != nil {
		return err
	}
	if err := changeable(&v, before, &next); err != nil {
		return err
	}
	if err := uncopied(tx, op, &v); err != nil {
		return err
	}
	if err := awaitType(tx, op, &next); err != nil {
		return err
	}
	r.Image, r.TypeID = v.Ref(w.cfg.VolumeNameTemplate), next.ID
	r.Before, r.After = before.Settings(v.Size), next.Settings(v.Size)
	r.Before.Unshare, r.After.Unshare = !r.Before.Multiattach && r.After.Multiattach, r.Before.Multiattach && !r.After.Multiattach
	return move(tx, &v, volume.Retyping)
}

// typeOf returns the type that a volume has, nil for none.
func typeOf(tx operation.Tx, v *volume.Volume) (*volume.Type, error) {
	if v.VolumeTypeID == "" {
		return nil, nil
	}
	t, err := tx.Type(v.VolumeTypeID)
	return &t, err
}

// changeable refuses changes that a host which has the volume would not learn of.
func changeable(v *volume.Volume, before, after *volume.Type) error {
	if v.Status != volume.InUse {
		return nil
	}
	why := ""
	switch {
	case before.Settings(v.Size).Multiattach != after.Settings(v.Size).Multiattach:
		why = "whether several hosts may write to it"
	case !maps.Equal(before.FrontEndLimits(v.Size), after.FrontEndLimits(v.Size)):
		why = "the limits that its host enforces, which it is told when it connects,"
	default:
		return nil
	}
	return fault.New(fault.Conflict, "volume %s is in-use, and with the type %s %s would change", v.ID, after.Name, why).
		WithField("new_type").WithHint("detach it first")
}

// uncopied refuses a volume of which volumes are being made: they inherit its settings,
// and were accepted with those that it had.
func uncopied(tx operation.Tx, op *volume.Operation, v *volume.Volume) error {
	copies, err := tx.Holders(op.ID, volume.Resource{Type: sizeResource, ID: v.ID})
	if err != nil {
		return err
	}
	snapshots, err := tx.Snapshots(v.ID)
	if err != nil {
		return err
	}
	for i := range snapshots {
		holders, err := tx.Holders(op.ID, volume.Resource{Type: volume.SnapshotResource, ID: snapshots[i].ID})
		if err != nil {
			return err
		}
		copies = append(copies, holders...)
	}
	if len(copies) > 0 {
		return fault.New(fault.Busy, "volume %s is being copied by %d operations", v.ID, len(copies)).
			WithBlockers(copies...).WithHint("send the request again when they have ended")
	}
	return nil
}

func finishRetype(tx operation.Tx, t *operation.Task, r *retyping, err error) error {
	v, lost := tx.Volume(r.VolumeID)
	if lost != nil {
		return lost
	}
	if err == nil {
		v.VolumeTypeID, v.Multiattach = r.TypeID, r.After.Multiattach
	}
	v.Status, v.PreviousStatus = v.PreviousStatus, volume.Retyping
	return leave(tx, t, &v, volume.Retyping)
}
