package rpc

import "context"

// CreateVolume asks the service (host@backend) for a volume.
func (c *Client) CreateVolume(ctx context.Context, service string, req CreateVolumeRequest, o CallOptions) (VolumeReply, error) {
	return invoke[VolumeReply](ctx, c, service, MethodCreateVolume, req, o)
}

// DeleteVolume deletes a volume of the service.
func (c *Client) DeleteVolume(ctx context.Context, service string, req DeleteVolumeRequest, o CallOptions) (VolumeReply, error) {
	return invoke[VolumeReply](ctx, c, service, MethodDeleteVolume, req, o)
}

// UndeleteVolume brings a deleted volume of the service back.
func (c *Client) UndeleteVolume(ctx context.Context, service string, req UndeleteVolumeRequest, o CallOptions) (VolumeReply, error) {
	return invoke[VolumeReply](ctx, c, service, MethodUndeleteVolume, req, o)
}

// ExtendVolume makes a volume of the service larger.
func (c *Client) ExtendVolume(ctx context.Context, service string, req ExtendVolumeRequest, o CallOptions) (VolumeReply, error) {
	return invoke[VolumeReply](ctx, c, service, MethodExtendVolume, req, o)
}

// FlattenVolume makes a volume of the service independent of its parent.
func (c *Client) FlattenVolume(ctx context.Context, service string, req FlattenVolumeRequest, o CallOptions) (VolumeReply, error) {
	return invoke[VolumeReply](ctx, c, service, MethodFlattenVolume, req, o)
}

// RevertToSnapshot gives a volume of the service the content of one of its snapshots.
func (c *Client) RevertToSnapshot(ctx context.Context, service string, req RevertToSnapshotRequest, o CallOptions) (VolumeReply, error) {
	return invoke[VolumeReply](ctx, c, service, MethodRevertToSnapshot, req, o)
}

// UpdateVolume changes the labels of a volume of the service.
func (c *Client) UpdateVolume(ctx context.Context, service string, req UpdateVolumeRequest, o CallOptions) (VolumeReply, error) {
	return invoke[VolumeReply](ctx, c, service, MethodUpdateVolume, req, o)
}

// UpdateSnapshot changes the labels of a snapshot of the service.
func (c *Client) UpdateSnapshot(ctx context.Context, service string, req UpdateSnapshotRequest, o CallOptions) (SnapshotReply, error) {
	return invoke[SnapshotReply](ctx, c, service, MethodUpdateSnapshot, req, o)
}

// CopyVolumeToImage writes what a volume of the service holds into an image.
func (c *Client) CopyVolumeToImage(ctx context.Context, service string, req CopyVolumeToImageRequest, o CallOptions) (VolumeReply, error) {
	return invoke[VolumeReply](ctx, c, service, MethodCopyVolumeToImage, req, o)
}

// Reimage replaces what a volume of the service holds by an image.
func (c *Client) Reimage(ctx context.Context, service string, req ReimageRequest, o CallOptions) (VolumeReply, error) {
	return invoke[VolumeReply](ctx, c, service, MethodReimage, req, o)
}

// CreateSnapshot takes a snapshot of a volume of the service.
func (c *Client) CreateSnapshot(ctx context.Context, service string, req CreateSnapshotRequest, o CallOptions) (SnapshotReply, error) {
	return invoke[SnapshotReply](ctx, c, service, MethodCreateSnapshot, req, o)
}

// DeleteSnapshot deletes a snapshot of the service.
func (c *Client) DeleteSnapshot(ctx context.Context, service string, req DeleteSnapshotRequest, o CallOptions) (SnapshotReply, error) {
	return invoke[SnapshotReply](ctx, c, service, MethodDeleteSnapshot, req, o)
}

// InitializeConnection asks the service how a host attaches a volume.
func (c *Client) InitializeConnection(ctx context.Context, service string, req ConnectionRequest, o CallOptions) (ConnectionReply, error) {
	return invoke[ConnectionReply](ctx, c, service, MethodInitializeConnection, req, o)
}

// TerminateConnection tells the service that a host no longer attaches a volume.
func (c *Client) TerminateConnection(ctx context.Context, service string, req ConnectionRequest, o CallOptions) (VolumeReply, error) {
	return invoke[VolumeReply](ctx, c, service, MethodTerminateConnection, req, o)
}

// GetCapabilities asks the service what it can do and how full it is.
func (c *Client) GetCapabilities(ctx context.Context, service string, req CapabilitiesRequest) (CapabilitiesReply, error) {
	return invoke[CapabilitiesReply](ctx, c, service, MethodGetCapabilities, req, CallOptions{})
}

// WaitOperation answers when an operation of the service has ended, or as it is
// when o.Wait is over.
func (c *Client) WaitOperation(ctx context.Context, service string, req OperationRequest, o CallOptions) (OperationReply, error) {
	return invoke[OperationReply](ctx, c, service, MethodWaitOperation, req, o)
}

// CancelOperation asks the service to stop an operation.
func (c *Client) CancelOperation(ctx context.Context, service string, req OperationRequest, o CallOptions) (OperationReply, error) {
	return invoke[OperationReply](ctx, c, service, MethodCancelOperation, req, o)
}

// ListServices returns one page of services.
func (c *Client) ListServices(ctx context.Context, req ListServicesRequest) (ServicesReply, error) {
	return invoke[ServicesReply](ctx, c, "", MethodListServices, req, CallOptions{})
}

// ListVolumes returns one page of volumes.
func (c *Client) ListVolumes(ctx context.Context, req ListVolumesRequest) (VolumesReply, error) {
	return invoke[VolumesReply](ctx, c, "", MethodListVolumes, req, CallOptions{})
}

// GetVolume returns one volume.
func (c *Client) GetVolume(ctx context.Context, req VolumeIDRequest) (VolumeReply, error) {
	return invoke[VolumeReply](ctx, c, "", MethodGetVolume, req, CallOptions{})
}

// ListSnapshots returns one page of snapshots.
func (c *Client) ListSnapshots(ctx context.Context, req ListSnapshotsRequest) (SnapshotsReply, error) {
	return invoke[SnapshotsReply](ctx, c, "", MethodListSnapshots, req, CallOptions{})
}

// GetSnapshot returns one snapshot.
func (c *Client) GetSnapshot(ctx context.Context, req SnapshotIDRequest) (SnapshotReply, error) {
	return invoke[SnapshotReply](ctx, c, "", MethodGetSnapshot, req, CallOptions{})
}

// ListOperations returns one page of operations.
func (c *Client) ListOperations(ctx context.Context, req ListOperationsRequest) (OperationsReply, error) {
	return invoke[OperationsReply](ctx, c, "", MethodListOperations, req, CallOptions{})
}

// GetOperation returns one operation.
func (c *Client) GetOperation(ctx context.Context, req OperationRequest) (OperationReply, error) {
	return invoke[OperationReply](ctx, c, "", MethodGetOperation, req, CallOptions{})
}
