package main

import (
	"context"
	"iter"
	"strings"

	"github.com/google/uuid"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// service returns the service that --backend means: host@backend as it is, or
// the one service that has a backend of that name.
func (a *app) service(ctx context.Context, backend string) (string, error) {
	if strings.Contains(backend, "@") {
		return backend, nil
	}
	var all, fit []string
	for s, err := range a.client.Services(ctx, rpc.ListServicesRequest{}) {
		if err != nil {
			return "", err
		}
		all = append(all, s.Host)
		if volume.ParseHost(s.Host).Backend == backend {
			fit = append(fit, s.Host)
		}
	}
	switch len(fit) {
	case 1:
		return fit[0], nil
	case 0:
		return "", fault.New(fault.NotFound, "no service has a backend %q", backend).
			WithField("backend").WithHint("there are: %s", or(strings.Join(all, ", "), "none"))
	default:
		return "", fault.New(fault.Invalid, "backend %q is not one service", backend).
			WithField("backend").WithHint("name one of: %s", strings.Join(fit, ", "))
	}
}

// volumeID returns the id of the volume that an argument names: by its id, or
// by its name where only one volume has it.
func (a *app) volumeID(ctx context.Context, arg string) (string, error) {
	return find(arg, "volume", a.client.Volumes(ctx, rpc.ListVolumesRequest{Name: arg}), func(v volume.Volume) string { return v.ID })
}

// snapshotID is volumeID for snapshots.
func (a *app) snapshotID(ctx context.Context, arg string) (string, error) {
	return find(arg, "snapshot", a.client.Snapshots(ctx, rpc.ListSnapshotsRequest{Name: arg}), func(s volume.Snapshot) string { return s.ID })
}

func find[T any](arg, what string, named iter.Seq2[T, error], id func(T) string) (string, error) {
	if uuid.Validate(arg) == nil {
		return arg, nil
	}
	var ids []string
	for v, err := range named {
		if err != nil {
			return "", err
		}
		ids = append(ids, id(v))
	}
	switch len(ids) {
	case 1:
		return ids[0], nil
	case 0:
		return "", fault.New(fault.NotFound, "there is no %s %q, neither by id nor by name", what, arg)
	default:
		return "", fault.New(fault.Invalid, "%d %ss have the name %q", len(ids), what, arg).
			WithHint("give the id: %s", strings.Join(ids[:min(len(ids), 5)], ", "))
	}
}

// target is a volume or a snapshot and the service that answers for it.
type target struct{ id, service string }

// volumeTarget finds a volume and its service. A volume that is gone because
// this very request has been carried out before is found by its operation.
func (a *app) volumeTarget(ctx context.Context, arg string, c change) (target, error) {
	id, err := a.volumeID(ctx, arg)
	if err != nil {
		return target{}, err
	}
	reply, err := a.client.GetVolume(ctx, rpc.VolumeIDRequest{VolumeID: id})
	if err != nil {
		return a.repeated(ctx, id, c, err)
	}
	return target{id, rpc.ServiceOf(reply.Volume)}, nil
}

// deletedTarget finds the service of a volume that is deleted, or may be. It has
// only its id: the names of deleted volumes are not looked through.
func (a *app) deletedTarget(ctx context.Context, id string) (target, error) {
	if uuid.Validate(id) != nil {
		return target{}, fault.New(fault.Invalid, "%q is not the id of a volume", id).
			WithHint("deleted volumes are found by id only: volumectl operation list --method delete_volume")
	}
	reply, err := a.client.Why(ctx, rpc.WhyRequest{VolumeID: id})
	if err != nil {
		return target{}, err
	}
	return target{id, rpc.ServiceOf(*reply.Volume)}, nil
}

// snapshotTarget is volumeTarget for snapshots, which live with their volume.
func (a *app) snapshotTarget(ctx context.Context, arg string, c change) (target, error) {
	id, err := a.snapshotID(ctx, arg)
	if err != nil {
		return target{}, err
	}
	reply, err := a.client.GetSnapshot(ctx, rpc.SnapshotIDRequest{SnapshotID: id})
	if err != nil {
		return a.repeated(ctx, id, c, err)
	}
	of, err := a.volumeTarget(ctx, reply.Snapshot.VolumeID, change{})
	return target{id, of.service}, err
}

// repeated finds the service of a resource that is not there, by the operation
// of the request id; without one the error stands.
func (a *app) repeated(ctx context.Context, id string, c change, notThere error) (target, error) {
	if !c.named || fault.KindOf(notThere) != fault.NotFound {
		return target{}, notThere
	}
	for op, err := range a.client.Operations(ctx, rpc.ListOperationsRequest{ResourceID: id}) {
		if err != nil {
			return target{}, err
		}
		if op.RequestID == c.requestID {
			return target{id, op.Backend}, nil
		}
	}
	return target{}, notThere
}

// collect reads a list up to the limit of the flags; 0 is none.
func collect[T any](l list, seq iter.Seq2[T, error]) ([]T, error) {
	all := []T{} // in JSON an empty list, not null
	for v, err := range seq {
		if err != nil {
			return nil, err
		}
		if all = append(all, v); len(all) == l.limit {
			break
		}
	}
	return all, nil
}
