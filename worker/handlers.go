package worker

import (
	"context"
	"maps"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/image"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// What the service says of itself to those who ask the bus for services.
const (
	metadataHost     = "host"
	metadataDatabase = "database"
)

// newServer returns a server with every method of this worker.
func (w *Worker) newServer() *rpc.Server {
	cfg := w.cfg.RPC
	cfg.Service, cfg.Version, cfg.Open = w.cfg.Host, w.cfg.Version, w.opened
	cfg.Metadata = maps.Clone(cfg.Metadata)
	if cfg.Metadata == nil {
		cfg.Metadata = map[string]string{}
	}
	cfg.Metadata[metadataHost], cfg.Metadata[metadataDatabase] = w.cfg.Host, w.store.ID()
	s := rpc.NewServer(w.conn, cfg, w.log)
	rpc.Handle(s, rpc.Service, rpc.MethodCreateVolume, w.handleCreateVolume)
	rpc.Handle(s, rpc.Service, rpc.MethodDeleteVolume, w.handleDeleteVolume)
	rpc.Handle(s, rpc.Service, rpc.MethodUndeleteVolume, w.handleUndeleteVolume)
	rpc.Handle(s, rpc.Service, rpc.MethodExtendVolume, w.handleExtendVolume)
	rpc.Handle(s, rpc.Service, rpc.MethodFlattenVolume, w.handleFlattenVolume)
	rpc.Handle(s, rpc.Service, rpc.MethodRevertToSnapshot, w.handleRevert)
	rpc.Handle(s, rpc.Service, rpc.MethodUpdateVolume, w.handleUpdateVolume)
	rpc.Handle(s, rpc.Service, rpc.MethodUpdateSnapshot, w.handleUpdateSnapshot)
	rpc.Handle(s, rpc.Service, rpc.MethodCopyVolumeToImage, w.handleCopyToImage)
	rpc.Handle(s, rpc.Service, rpc.MethodReimage, w.handleReimage)
	rpc.Handle(s, rpc.Service, rpc.MethodRetype, w.handleRetype)
	rpc.Handle(s, rpc.Service, rpc.MethodMigrateVolume, w.handleMigrate)
	rpc.Handle(s, rpc.Service, rpc.MethodCreateSnapshot, w.handleCreateSnapshot)
	rpc.Handle(s, rpc.Service, rpc.MethodDeleteSnapshot, w.handleDeleteSnapshot)
	rpc.Handle(s, rpc.Service, rpc.MethodManageExisting, w.handleManageExisting)
	rpc.Handle(s, rpc.Service, rpc.MethodManageExistingSnapshot, w.handleManageExistingSnapshot)
	rpc.Handle(s, rpc.Service, rpc.MethodGetManageableVolumes, w.handleManageableVolumes)
	rpc.Handle(s, rpc.Service, rpc.MethodGetManageableSnapshots, w.handleManageableSnapshots)
	rpc.Handle(s, rpc.Service, rpc.MethodInitializeConnection, w.handleInitializeConnection)
	rpc.Handle(s, rpc.Service, rpc.MethodTerminateConnection, w.handleTerminateConnection)
	rpc.Handle(s, rpc.Service, rpc.MethodGetCapabilities, w.handleCapabilities)
	rpc.Handle(s, rpc.Service, rpc.MethodWaitOperation, w.handleWaitOperation)
	rpc.Handle(s, rpc.Service, rpc.MethodCancelOperation, w.handleCancelOperation)
	w.handleReads(s)
	return s
}

// submit has the request accepted, and waits for its end as long as the caller
// asked. An operation that has failed by then is an error with the operation.
func (w *Worker) submit(ctx context.Context, method string, args any) (operation.Outcome, error) {
	return w.submitAs(ctx, method, args, args)
}

// submitAs is submit of arguments that hold more than was asked.
func (w *Worker) submitAs(ctx context.Context, method string, asked, args any) (operation.Outcome, error) {
	call := rpc.CallFrom(ctx)
	askedAs := method
	if method == methodCreateCached { // by a configuration that may be another the next time
		askedAs = methodCreateFromImage
	}
	op, err := w.engine.Submit(ctx, operation.Request{
		RequestID: call.RequestID, ProjectID: call.ProjectID, UserID: call.UserID,
		Method: method, Asked: asked, AskedAs: askedAs, Args: args, Deadline: call.Deadline, TraceParent: call.TraceParent,
	})
	if err != nil {
		return operation.Outcome{}, err
	}
	end, err := w.await(ctx, op)
	if err != nil {
		return end, err
	}
	return end, rpc.WithOperation(end.Error.Fault(), end.Operation)
}

// await waits for the end of an operation as long as the caller asked, but not
// beyond the time this process has left.
func (w *Worker) await(ctx context.Context, op volume.Operation) (operation.Outcome, error) {
	call := rpc.CallFrom(ctx)
	if call.Wait <= 0 || op.Status.Terminal() {
		return operation.Outcome{Operation: op}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, call.Wait)
	defer cancel()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-call.Stopping:
			cancel()
		case <-stop:
		}
	}()
	return w.engine.Wait(ctx, op.ID)
}

// volumeReply is the answer about an operation on a volume.
func (w *Worker) volumeReply(ctx context.Context, o operation.Outcome, err error) (rpc.VolumeReply, error) {
	if err != nil {
		return rpc.VolumeReply{}, err
	}
	v, known := o.Left.(volume.Volume)
	if !known {
		v, err = w.store.VolumeRecord(context.WithoutCancel(ctx), o.Resource.ID)
	}
	return rpc.VolumeReply{Operation: &o.Operation, Volume: v}, rpc.WithOperation(err, o.Operation)
}

// snapshotReply is the answer about an operation on a snapshot.
func (w *Worker) snapshotReply(ctx context.Context, o operation.Outcome, err error) (rpc.SnapshotReply, error) {
	if err != nil {
		return rpc.SnapshotReply{}, err
	}
	s, known := o.Left.(volume.Snapshot)
	if !known {
		s, err = w.store.SnapshotRecord(context.WithoutCancel(ctx), o.Resource.ID)
	}
	return rpc.SnapshotReply{Operation: &o.Operation, Snapshot: s}, rpc.WithOperation(err, o.Operation)
}

func (w *Worker) handleCreateVolume(ctx context.Context, r rpc.CreateVolumeRequest) (rpc.VolumeReply, error) {
	if err := w.checkCreate(ctx, &r); err != nil {
		return rpc.VolumeReply{}, err
	}
	method := rpc.MethodCreateVolume
	switch {
	case r.SnapshotID != "":
		method = methodCreateFromSnapshot
	case r.SourceVolID != "":
		method = methodCreateClone
	case r.Image != nil && image.Scheme(r.Image.URL) == image.SchemeRBD:
		method = methodCloneImage
	case r.Image != nil && w.cfg.ImageCache.Enabled:
		method = methodCreateCached
	case r.Image != nil:
		method = methodCreateFromImage
	}
	end, err := w.submit(ctx, method, r)
	return w.volumeReply(ctx, end, err)
}

func (w *Worker) handleDeleteVolume(ctx context.Context, r rpc.DeleteVolumeRequest) (rpc.VolumeReply, error) {
	if err := checkID("volume_id", r.VolumeID); err != nil {
		return rpc.VolumeReply{}, err
	}
	method := rpc.MethodDeleteVolume
	if r.UnmanageOnly {
		if err := forOperators(ctx); err != nil {
			return rpc.VolumeReply{}, err
		}
		method = methodUnmanage
	}
	end, err := w.submit(ctx, method, r)
	return w.volumeReply(ctx, end, err)
}

func (w *Worker) handleExtendVolume(ctx context.Context, r rpc.ExtendVolumeRequest) (rpc.VolumeReply, error) {
	if err := firstOf(checkID("volume_id", r.VolumeID), w.checkSize(ctx, "new_size", r.NewSize)); err != nil {
		return rpc.VolumeReply{}, err
	}
	end, err := w.submit(ctx, rpc.MethodExtendVolume, r)
	return w.volumeReply(ctx, end, err)
}

func (w *Worker) handleFlattenVolume(ctx context.Context, r rpc.FlattenVolumeRequest) (rpc.VolumeReply, error) {
	if err := checkID("volume_id", r.VolumeID); err != nil {
		return rpc.VolumeReply{}, err
	}
	end, err := w.submit(ctx, rpc.MethodFlattenVolume, r)
	return w.volumeReply(ctx, end, err)
}

func (w *Worker) handleCopyToImage(ctx context.Context, r rpc.CopyVolumeToImageRequest) (rpc.VolumeReply, error) {
	if err := firstOf(checkID("volume_id", r.VolumeID), image.CheckTarget(r.Image.URL, image.Format(r.Image.Format))); err != nil {
		return rpc.VolumeReply{}, err
	}
	end, err := w.submit(ctx, rpc.MethodCopyVolumeToImage, r)
	return w.volumeReply(ctx, end, err)
}

func (w *Worker) handleReimage(ctx context.Context, r rpc.ReimageRequest) (rpc.VolumeReply, error) {
	if err := firstOf(checkID("volume_id", r.VolumeID), checkImage(&r.Image), unlessCloned(&r.Image)); err != nil {
		return rpc.VolumeReply{}, err
	}
	end, err := w.submit(ctx, rpc.MethodReimage, r)
	return w.volumeReply(ctx, end, err)
}

func (w *Worker) handleCreateSnapshot(ctx context.Context, r rpc.CreateSnapshotRequest) (rpc.SnapshotReply, error) {
	if err := firstOf(checkID("volume_id", r.VolumeID), checkText(r.Name, r.Description, r.Metadata)); err != nil {
		return rpc.SnapshotReply{}, err
	}
	end, err := w.submit(ctx, rpc.MethodCreateSnapshot, r)
	return w.snapshotReply(ctx, end, err)
}

func (w *Worker) handleDeleteSnapshot(ctx context.Context, r rpc.DeleteSnapshotRequest) (rpc.SnapshotReply, error) {
	if err := checkID("snapshot_id", r.SnapshotID); err != nil {
		return rpc.SnapshotReply{}, err
	}
	method := rpc.MethodDeleteSnapshot
	if r.UnmanageOnly {
		if err := forOperators(ctx); err != nil {
			return rpc.SnapshotReply{}, err
		}
		method = methodUnmanageSnapshot
	}
	end, err := w.submit(ctx, method, r)
	return w.snapshotReply(ctx, end, err)
}

func (w *Worker) handleWaitOperation(ctx context.Context, r rpc.OperationRequest) (rpc.OperationReply, error) {
	op, err := w.operationOf(ctx, r.OperationID)
	if err != nil {
		return rpc.OperationReply{}, err
	}
	end, err := w.await(ctx, op)
	return rpc.OperationReply{Operation: end.Operation}, err
}

func (w *Worker) handleCancelOperation(ctx context.Context, r rpc.OperationRequest) (rpc.OperationReply, error) {
	op, err := w.operationOf(ctx, r.OperationID)
	if err != nil {
		return rpc.OperationReply{}, err
	}
	if op.Backend != w.cfg.Host {
		return rpc.OperationReply{}, fault.New(fault.Invalid, "operation %s belongs to %s", op.ID, op.Backend).
			WithField("operation_id").WithHint("send the request to %s", op.Backend)
	}
	if op.Method == methodPurge || op.Method == methodDropSnapshot {
		return rpc.OperationReply{}, rpc.WithOperation(fault.New(fault.Unsupported, "%s cannot be cancelled: nobody else would clean up", op.Method).
			WithField("operation_id"), op)
	}
	var now volume.Operation
	err = within(ctx, cancelWithin, func(ctx context.Context) (err error) {
		now, err = w.engine.Cancel(ctx, op.ID)
		return err
	})
	return rpc.OperationReply{Operation: now}, rpc.WithOperation(err, op)
}

// initialize_connection and terminate_connection change nothing that could be
// lost, so they are calls and not operations.

func (w *Worker) handleInitializeConnection(ctx context.Context, r rpc.ConnectionRequest) (rpc.ConnectionReply, error) {
	v, err := w.connectable(ctx, r)
	if err != nil {
		return rpc.ConnectionReply{}, err
	}
	info, err := w.driver.InitializeConnection(ctx, v.Ref(w.cfg.VolumeNameTemplate), v.ID, r.Connector)
	if err == nil {
		err = w.frontEnd(ctx, &v, &info)
	}
	return rpc.ConnectionReply{ConnectionInfo: info}, err
}

func (w *Worker) handleTerminateConnection(ctx context.Context, r rpc.ConnectionRequest) (rpc.VolumeReply, error) {
	v, err := w.connectable(ctx, r)
	if err != nil {
		return rpc.VolumeReply{}, err
	}
	err = w.driver.TerminateConnection(ctx, v.Ref(w.cfg.VolumeNameTemplate), r.Connector)
	return rpc.VolumeReply{Volume: v}, err
}

// connectable returns the volume of a connection request, if it is ours.
func (w *Worker) connectable(ctx context.Context, r rpc.ConnectionRequest) (volume.Volume, error) {
	if err := checkID("volume_id", r.VolumeID); err != nil {
		return volume.Volume{}, err
	}
	v, err := w.visibleVolume(ctx, r.VolumeID)
	if err != nil {
		return volume.Volume{}, err
	}
	if err := w.here(&v, "volume_id"); err != nil {
		return volume.Volume{}, err
	}
	if v.ProjectID == volume.CacheProject {
		return volume.Volume{}, cached(&v, "volume_id")
	}
	if v.Status.Transient() && v.Status != volume.Extending && v.Status != volume.Uploading && v.Status != volume.Retyping {
		return volume.Volume{}, fault.New(fault.Conflict, "volume %s is %s", v.ID, v.Status)
	}
	return v, nil
}

func (w *Worker) handleCapabilities(ctx context.Context, r rpc.CapabilitiesRequest) (rpc.CapabilitiesReply, error) {
	if r.Refresh {
		return w.capabilities(ctx)
	}
	return w.lastCapabilities(ctx)
}
