package worker

import (
	"context"
	"slices"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// handleReads registers what any worker answers, for all services, from SQL.
func (w *Worker) handleReads(s *rpc.Server) {
	rpc.Handle(s, rpc.Any, rpc.MethodListServices, soon(w.listServices))
	rpc.Handle(s, rpc.Any, rpc.MethodListVolumes, soon(w.listVolumes))
	rpc.Handle(s, rpc.Any, rpc.MethodGetVolume, soon(w.getVolume))
	rpc.Handle(s, rpc.Any, rpc.MethodListSnapshots, soon(w.listSnapshots))
	rpc.Handle(s, rpc.Any, rpc.MethodGetSnapshot, soon(w.getSnapshot))
	rpc.Handle(s, rpc.Any, rpc.MethodListOperations, soon(w.listOperations))
	rpc.Handle(s, rpc.Any, rpc.MethodGetOperation, soon(w.getOperation))
	rpc.Handle(s, rpc.Any, rpc.MethodWhy, soon(w.why))
	w.handleTypes(s)
	w.handleAudits(s)
}

// project returns the project that a list is restricted to: the caller's own,
// or, for a caller without one, the project that it asks for.
func project(ctx context.Context, asked string) string {
	if own := rpc.CallFrom(ctx).ProjectID; own != "" {
		return own
	}
	return asked
}

func (w *Worker) listServices(ctx context.Context, r rpc.ListServicesRequest) (rpc.ServicesReply, error) {
	services, next, err := w.store.Services(ctx, volume.ServiceFilter{Page: volume.Page(r.Page), Host: r.Host})
	if err != nil {
		return rpc.ServicesReply{}, err
	}
	pin, err := w.pin(ctx)
	reply := rpc.ServicesReply{Services: make([]rpc.ServiceInfo, len(services)), Next: next}
	for i, s := range services {
		reply.Services[i] = w.serviceInfo(s)
		reply.Services[i].HoldsBack = slices.Contains(pin.By, s.Host)
	}
	return reply, err
}

// allServices returns every service there is a row of.
func (w *Worker) allServices(ctx context.Context) ([]volume.ServiceState, error) {
	var all []volume.ServiceState
	for f := (volume.ServiceFilter{}); ; {
		services, next, err := w.store.Services(ctx, f)
		all = append(all, services...)
		if f.Marker = next; err != nil || next == "" {
			return all, err
		}
	}
}

// pin returns the version of the records that every service which lives can read. A
// row that nobody writes any more holds nobody back.
func (w *Worker) pin(ctx context.Context) (volume.Pin, error) {
	services, err := w.allServices(ctx)
	down := w.live().ServiceDownTime
	return volume.PinOf(services, func(s volume.ServiceState) bool { return s.Age <= down && s.Phase != volume.Stopped }), err
}

// serviceInfo tells what the row of a service means. A service that has not
// begun yet, or has ended, is down however fresh its row is.
func (w *Worker) serviceInfo(s volume.ServiceState) rpc.ServiceInfo {
	info := rpc.ServiceInfo{Service: s.Service, Status: "enabled", State: volume.Up}
	if s.Disabled {
		info.Status = "disabled"
	}
	if s.Age > w.live().ServiceDownTime || s.Phase == volume.Starting || s.Phase == volume.Stopped {
		info.State = volume.Down
	}
	return info
}

func (w *Worker) listVolumes(ctx context.Context, r rpc.ListVolumesRequest) (rpc.VolumesReply, error) {
	volumes, next, err := w.store.Volumes(ctx, volume.VolumeFilter{
		Page: volume.Page(r.Page), ProjectID: project(ctx, r.ProjectID), Host: r.Host, Status: r.Status, Name: r.Name,
	})
	return rpc.VolumesReply{Volumes: volumes, Next: next}, err
}

func (w *Worker) getVolume(ctx context.Context, r rpc.VolumeIDRequest) (rpc.VolumeReply, error) {
	if err := checkID("volume_id", r.VolumeID); err != nil {
		return rpc.VolumeReply{}, err
	}
	v, err := w.visibleVolume(ctx, r.VolumeID)
	return rpc.VolumeReply{Volume: v}, err
}

// visibleVolume returns a volume that the caller's project may see.
func (w *Worker) visibleVolume(ctx context.Context, id string) (volume.Volume, error) {
	v, err := w.store.Volume(ctx, id)
	if err == nil && !visible(ctx, v.ProjectID) {
		err = absent(volume.VolumeResource, id)
	}
	if err != nil {
		return volume.Volume{}, named(err, "volume_id")
	}
	return v, nil
}

// visible reports whether the caller may see what belongs to the project. A
// caller without a project is an operator.
func visible(ctx context.Context, owner string) bool {
	own := rpc.CallFrom(ctx).ProjectID
	return own == "" || own == owner
}

func (w *Worker) listSnapshots(ctx context.Context, r rpc.ListSnapshotsRequest) (rpc.SnapshotsReply, error) {
	snapshots, next, err := w.store.Snapshots(ctx, volume.SnapshotFilter{
		Page: volume.Page(r.Page), ProjectID: project(ctx, r.ProjectID), VolumeID: r.VolumeID, Status: r.Status, Name: r.Name,
	})
	return rpc.SnapshotsReply{Snapshots: snapshots, Next: next}, err
}

func (w *Worker) getSnapshot(ctx context.Context, r rpc.SnapshotIDRequest) (rpc.SnapshotReply, error) {
	if err := checkID("snapshot_id", r.SnapshotID); err != nil {
		return rpc.SnapshotReply{}, err
	}
	s, err := w.store.Snapshot(ctx, r.SnapshotID)
	if err == nil && !visible(ctx, s.ProjectID) {
		err = absent(volume.SnapshotResource, r.SnapshotID)
	}
	if err != nil {
		return rpc.SnapshotReply{}, named(err, "snapshot_id")
	}
	return rpc.SnapshotReply{Snapshot: s}, nil
}

func (w *Worker) listOperations(ctx context.Context, r rpc.ListOperationsRequest) (rpc.OperationsReply, error) {
	ops, next, err := w.store.Operations(ctx, volume.OperationFilter{
		Page: volume.Page(r.Page), ProjectID: project(ctx, r.ProjectID), Backend: r.Backend, Status: r.Status, Method: r.Method,
		ResourceID: r.ResourceID, Unfinished: r.Unfinished,
	})
	return rpc.OperationsReply{Operations: ops, Next: next}, err
}

func (w *Worker) getOperation(ctx context.Context, r rpc.OperationRequest) (rpc.OperationReply, error) {
	op, err := w.operationOf(ctx, r.OperationID)
	return rpc.OperationReply{Operation: op}, err
}

// operationOf returns an operation that the caller's project may see.
func (w *Worker) operationOf(ctx context.Context, id string) (volume.Operation, error) {
	if err := checkID("operation_id", id); err != nil {
		return volume.Operation{}, err
	}
	op, err := w.known(ctx, id)
	if err == nil && !visible(ctx, op.ProjectID) {
		err = fault.New(fault.NotFound, "there is no operation %s", id)
	}
	if err != nil {
		return volume.Operation{}, named(err, "operation_id")
	}
	return op, nil
}
