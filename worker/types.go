package worker

import (
	"context"
	"encoding/json"
	"maps"

	"github.com/google/uuid"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// typedSince is the version of the records in which volumes have types.
const typedSince = "1.1"

// typeStore answers about volume types.
type typeStore interface {
	// Type returns a type by its id or, where no type has that, by its name.
	Type(ctx context.Context, idOrName string) (volume.Type, error)
	Types(ctx context.Context, f volume.TypeFilter) ([]volume.Type, string, error)
	// AllTypes are all of them by their ids.
	AllTypes(ctx context.Context) (map[string]volume.Type, error)
}

// handleTypes registers what is about volume types. They are nobody's in particular, so
// any worker writes them.
func (w *Worker) handleTypes(s *rpc.Server) {
	rpc.Handle(s, rpc.Any, rpc.MethodListTypes, soon(w.listTypes))
	rpc.Handle(s, rpc.Any, rpc.MethodGetType, soon(w.getType))
	rpc.Handle(s, rpc.Any, rpc.MethodCreateType, w.createType)
	rpc.Handle(s, rpc.Any, rpc.MethodUpdateType, w.updateType)
	rpc.Handle(s, rpc.Any, rpc.MethodDeleteType, w.deleteType)
}

func (w *Worker) listTypes(ctx context.Context, r rpc.ListTypesRequest) (rpc.TypesReply, error) {
	types, next, err := w.store.Types(ctx, volume.TypeFilter{Page: volume.Page(r.Page), Name: r.Name})
	return rpc.TypesReply{VolumeTypes: types, Next: next}, err
}

func (w *Worker) getType(ctx context.Context, r rpc.TypeRequest) (rpc.TypeReply, error) {
	if err := checkTypeName("volume_type", r.VolumeType); err != nil {
		return rpc.TypeReply{}, err
	}
	t, err := w.store.Type(ctx, r.VolumeType)
	if err != nil {
		return rpc.TypeReply{}, named(err, "volume_type")
	}
	return rpc.TypeReply{VolumeType: t}, nil
}

func (w *Worker) createType(ctx context.Context, r rpc.CreateTypeRequest) (rpc.TypeReply, error) {
	t := volume.Type{
		Name: r.Name, Description: r.Description, ExtraSpecs: r.ExtraSpecs, QoS: r.QoS, Consumer: consumer(r.Consumer, r.QoS),
	}
	if err := firstOf(checkTypeName("name", r.Name), checkType(&t)); err != nil {
		return rpc.TypeReply{}, err
	}
	return w.enactType(ctx, rpc.MethodCreateType, r, func(tx operation.Tx, op *volume.Operation) (any, error) {
		row := t
		row.ID = uuid.NewString()
		op.Resource.ID = row.ID
		err := tx.InsertType(&row)
		return row, err
	})
}

// consumer is who enforces limits if nobody is named.
func consumer(asked volume.Consumer, qos map[string]string) volume.Consumer {
	if asked == "" && len(qos) > 0 {
		return volume.BackEnd
	}
	return asked
}

func (w *Worker) updateType(ctx context.Context, r rpc.UpdateTypeRequest) (rpc.TypeReply, error) {
	if err := checkTypeName("volume_type", r.VolumeType); err != nil {
		return rpc.TypeReply{}, err
	}
	if r.Name != nil {
		if err := checkTypeName("name", *r.Name); err != nil {
			return rpc.TypeReply{}, err
		}
	}
	return w.enactType(ctx, rpc.MethodUpdateType, r, func(tx operation.Tx, op *volume.Operation) (any, error) {
		row, volumes, err := tx.TypeToChange(r.VolumeType)
		if err != nil {
			return nil, named(err, "volume_type")
		}
		op.Resource.ID = row.ID
		next := changedType(row, r)
		if !sameEffect(&row, &next) {
			if volumes > 0 {
				return nil, fault.New(fault.Conflict, "%d volumes have the type %s: what it does to them cannot be changed", volumes, row.Name).
					WithField("volume_type").WithHint("make another type, and retype the volumes")
			}
			if err := unawaited(tx, op, &row); err != nil {
				return nil, err
			}
		}
		if err := checkType(&next); err != nil {
			return nil, err
		}
		err = tx.UpdateType(&next)
		return next, err
	})
}

// changedType returns the type with what the request names.
func changedType(t volume.Type, r rpc.UpdateTypeRequest) volume.Type {
	set(&t.Name, r.Name)
	set(&t.Description, r.Description)
	set(&t.Consumer, r.Consumer)
	t.ExtraSpecs, t.QoS = merged(t.ExtraSpecs, r.ExtraSpecs, r.Unset), merged(t.QoS, r.QoS, r.Unset)
	t.Consumer = consumer(t.Consumer, t.QoS)
	return t
}

// merged returns the specs with some set and some taken away.
func merged(specs, set map[string]string, unset []string) map[string]string {
	next := map[string]string{}
	maps.Copy(next, specs)
	maps.Copy(next, set)
	for _, key := range unset {
		delete(next, key)
	}
	return next
}

// sameEffect reports whether two types do the same to volumes.
func sameEffect(a, b *volume.Type) bool {
	return maps.Equal(a.ExtraSpecs, b.ExtraSpecs) && maps.Equal(a.QoS, b.QoS) && a.Consumer == b.Consumer
}

func set[T any](to, value *T) {
	if value != nil {
		*to = *value
	}
}

func (w *Worker) deleteType(ctx context.Context, r rpc.TypeRequest) (rpc.TypeReply, error) {
	if err := checkTypeName("volume_type", r.VolumeType); err != nil {
		return rpc.TypeReply{}, err
	}
	return w.enactType(ctx, rpc.MethodDeleteType, r, func(tx operation.Tx, op *volume.Operation) (any, error) {
		row, volumes, err := tx.TypeToChange(r.VolumeType)
		if err != nil {
			return nil, named(err, "volume_type")
		}
		if volumes > 0 {
			return nil, fault.New(fault.Conflict, "%d volumes have the type %s", volumes, row.Name).WithField("volume_type").
				WithHint("retype or delete them first; a deleted volume counts until it is purged")
		}
		if err := unawaited(tx, op, &row); err != nil {
			return nil, err
		}
		op.Resource.ID = row.ID
		return row, tx.DeleteType(row.ID)
	})
}

// awaitType keeps a type as it is until the operation has ended, which gives it to a
// volume only then.
func awaitType(tx operation.Tx, op *volume.Operation, t *volume.Type) error {
	return tx.Claim(op.ID, volume.Resource{Type: volume.TypeResource, ID: t.ID}, operation.Shared)
}

// unawaited refuses a type that volumes are about to get.
func unawaited(tx operation.Tx, op *volume.Operation, t *volume.Type) error {
	holders, err := tx.Holders(op.ID, volume.Resource{Type: volume.TypeResource, ID: t.ID})
	if err == nil && len(holders) > 0 {
		err = fault.New(fault.Busy, "%d volumes are about to get the type %s", len(holders), t.Name).WithField("volume_type").
			WithBlockers(holders...).WithHint("send the request again when these operations have ended")
	}
	return err
}

// enactType carries out a change of a type, and answers with the type as it was then.
func (w *Worker) enactType(ctx context.Context, method string, args any, change func(operation.Tx, *volume.Operation) (any, error)) (reply rpc.TypeReply, err error) {
	if err := forOperators(ctx); err != nil {
		return reply, err
	}
	call := rpc.CallFrom(ctx)
	op, err := w.engine.Enact(ctx, operation.Enactment{
		Request: operation.Request{
			RequestID: call.RequestID, ProjectID: call.ProjectID, UserID: call.UserID,
			Method: method, Args: args, Deadline: call.Deadline, TraceParent: call.TraceParent,
		},
		Resource: volume.TypeResource, Change: change,
	})
	if err != nil {
		return reply, err
	}
	reply.Operation = &op
	return reply, json.Unmarshal(op.Result, &reply.VolumeType)
}

// checkTypeName refuses a name that no type can have.
func checkTypeName(field, name string) error {
	if name == "" {
		return fault.New(fault.Invalid, "%s is missing", field).WithField(field)
	}
	return printable(field, name)
}

// checkType refuses what does not fit a table, or makes no sense.
func checkType(t *volume.Type) error {
	for field, specs := range map[string]map[string]string{"extra_specs": t.ExtraSpecs, "qos_specs": t.QoS} {
		if err := checkText("", t.Description, specs); err != nil {
			f := fault.Of(err)
			if f.Field == "metadata" {
				f.Field = field
			}
			return f
		}
	}
	return t.Check()
}
