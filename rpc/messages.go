package rpc

import (
	"time"

	"github.com/volumed/volumed/volume"
)

// Methods of a service, on volumed.v1.<service>.<method>.
const (
	MethodCreateVolume         = "create_volume"
	MethodDeleteVolume         = "delete_volume"
	MethodUndeleteVolume       = "undelete_volume"
	MethodExtendVolume         = "extend_volume"
	MethodFlattenVolume        = "flatten_volume"
	MethodRevertToSnapshot     = "revert_to_snapshot"
	MethodUpdateVolume         = "update_volume"
	MethodCopyVolumeToImage    = "copy_volume_to_image"
	MethodReimage              = "reimage"
	MethodCreateSnapshot       = "create_snapshot"
	MethodUpdateSnapshot       = "update_snapshot"
	MethodDeleteSnapshot       = "delete_snapshot"
	MethodInitializeConnection = "initialize_connection"
	MethodTerminateConnection  = "terminate_connection"
	MethodGetCapabilities      = "get_capabilities"
	MethodWaitOperation        = "wait_operation"
	MethodCancelOperation      = "cancel_operation"
)

// Methods that any worker answers from SQL, on volumed.v1.any.<method>.
const (
	MethodListServices   = "list_services"
	MethodListVolumes    = "list_volumes"
	MethodGetVolume      = "get_volume"
	MethodListSnapshots  = "list_snapshots"
	MethodGetSnapshot    = "get_snapshot"
	MethodListOperations = "list_operations"
	MethodGetOperation   = "get_operation"
)

// CreateVolumeRequest asks for a new volume: empty, a clone of a snapshot or of a
// volume of the same service, or what an image holds.
type CreateVolumeRequest struct {
	Name        string `json:"name,omitempty"`
	Description string `json:"description,omitempty"`
	// Size in GiB, at least 1. 0 takes the size of the source, but not of an image.
	Size        int64  `json:"size,omitempty"`
	SnapshotID  string `json:"snapshot_id,omitempty"`
	SourceVolID string `json:"source_volid,omitempty"`
	// Image is what the volume shall hold.
	Image            *ImageSource      `json:"image,omitempty"`
	AvailabilityZone string            `json:"availability_zone,omitempty"`
	Metadata         map[string]string `json:"metadata,omitempty"`
	// VolumeType is the id or the name of a type. Without it the volume has none,
	// whatever its source has.
	VolumeType string `json:"volume_type,omitempty"`
}

// ImageSource is a disk image to be brought in.
type ImageSource struct {
	// URL is file:///…, http(s)://… or rbd://fsid/pool/image/snapshot, as far as the
	// operator allows it.
	URL string `json:"url"`
	// Format is raw, qcow2, vmdk, vhdx, vpc or vdi; empty: it is found out.
	Format string `json:"format,omitempty"`
	// Checksum is sha256:… or sha512:… of the image as it comes, in hexadecimal digits.
	Checksum string `json:"checksum,omitempty"`
}

// ImageTarget is where a disk image goes.
type ImageTarget struct {
	// URL is file:///…, of a file that is not there yet, or http(s)://…, which gets a PUT.
	URL string `json:"url"`
	// Format is raw or qcow2; empty: raw.
	Format string `json:"format,omitempty"`
}

// CopyVolumeToImageRequest asks for an image of a volume as it is when the request is
// carried out.
type CopyVolumeToImageRequest struct {
	VolumeID string      `json:"volume_id"`
	Image    ImageTarget `json:"image"`
	// Force copies a volume that is in use as well: the image is then what a loss of
	// power would have left.
	Force bool `json:"force,omitempty"`
}

// ReimageRequest asks for a volume to hold what an image holds, and nothing else.
type ReimageRequest struct {
	VolumeID string      `json:"volume_id"`
	Image    ImageSource `json:"image"`
}

// DeleteVolumeRequest asks for the end of a volume.
type DeleteVolumeRequest struct {
	VolumeID string `json:"volume_id"`
	// Cascade deletes the snapshots of the volume with it; without it a volume that
	// has some is refused.
	Cascade bool `json:"cascade,omitempty"`
	// UnmanageOnly takes only the rows away and leaves the image as it is, to others;
	// for callers without a project.
	UnmanageOnly bool `json:"unmanage_only,omitempty"`
}

// UndeleteVolumeRequest asks for a deleted volume to be as it was.
type UndeleteVolumeRequest struct {
	VolumeID string `json:"volume_id"`
}

// ExtendVolumeRequest asks for a larger volume.
type ExtendVolumeRequest struct {
	VolumeID string `json:"volume_id"`
	NewSize  int64  `json:"new_size"` // GiB, above the present size
}

// FlattenVolumeRequest asks to copy what a clone shares with its parent.
type FlattenVolumeRequest struct {
	VolumeID string `json:"volume_id"`
}

// RevertToSnapshotRequest asks for a volume to be as it was when one of its
// snapshots was taken.
type RevertToSnapshotRequest struct {
	VolumeID   string `json:"volume_id"`
	SnapshotID string `json:"snapshot_id"` // any of the volume's, not only the newest
}

// Labels are what people say of a volume or a snapshot; what a request leaves out
// stays as it is.
type Labels struct {
	Name        *string `json:"name,omitempty"`
	Description *string `json:"description,omitempty"`
	// Metadata sets the keys that have a value, removes those that are null, and
	// leaves all others.
	Metadata map[string]*string `json:"metadata,omitempty"`
}

// UpdateVolumeRequest asks for other labels of a volume.
type UpdateVolumeRequest struct {
	VolumeID string `json:"volume_id"`
	Labels
	// Bootable says whether a machine can be started from the volume.
	Bootable *bool `json:"bootable,omitempty"`
}

// UpdateSnapshotRequest asks for other labels of a snapshot.
type UpdateSnapshotRequest struct {
	SnapshotID string `json:"snapshot_id"`
	Labels
}

// CreateSnapshotRequest asks for a snapshot of a volume.
type CreateSnapshotRequest struct {
	VolumeID    string            `json:"volume_id"`
	Name        string            `json:"name,omitempty"`
	Description string            `json:"description,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`
}

// DeleteSnapshotRequest asks for the end of a snapshot.
type DeleteSnapshotRequest struct {
	SnapshotID string `json:"snapshot_id"`
	// UnmanageOnly takes only the row away and leaves the snapshot on the image; for
	// callers without a project.
	UnmanageOnly bool `json:"unmanage_only,omitempty"`
}

// ConnectionRequest asks how a host reaches a volume, or says that it no longer does.
type ConnectionRequest struct {
	VolumeID string `json:"volume_id"`
	// Connector is what the host says of itself, as os-brick collects it.
	Connector map[string]any `json:"connector,omitempty"`
}

// ConnectionReply carries what os-brick and hypervisors attach with.
type ConnectionReply struct {
	ConnectionInfo volume.ConnectionInfo `json:"connection_info"`
}

// CapabilitiesRequest asks for the capabilities of a backend.
type CapabilitiesRequest struct {
	// Refresh asks the cluster now instead of answering the last report.
	Refresh bool `json:"refresh,omitempty"`
}

// CapabilitiesReply carries the last report and its age.
type CapabilitiesReply struct {
	Host         string              `json:"host"`
	Capabilities volume.Capabilities `json:"capabilities"`
	Timestamp    time.Time           `json:"timestamp"`
}

// OperationRequest names an operation.
type OperationRequest struct {
	OperationID string `json:"operation_id"`
}

// OperationReply carries an operation.
type OperationReply struct {
	Operation volume.Operation `json:"operation"`
}

// VolumeReply carries a volume, and the operation that changes it where there is one.
type VolumeReply struct {
	Operation *volume.Operation `json:"operation,omitempty"`
	Volume    volume.Volume     `json:"volume"`
}

// SnapshotReply carries a snapshot, and the operation that changes it where there is one.
type SnapshotReply struct {
	Operation *volume.Operation `json:"operation,omitempty"`
	Snapshot  volume.Snapshot   `json:"snapshot"`
}

// VolumeIDRequest names a volume.
type VolumeIDRequest struct {
	VolumeID string `json:"volume_id"`
}

// SnapshotIDRequest names a snapshot.
type SnapshotIDRequest struct {
	SnapshotID string `json:"snapshot_id"`
}

// Page is the part of a list that a request asks for; every list has it.
type Page struct {
	// Limit is the number of entries wanted, 1 to 1000; 0 means 100.
	Limit int `json:"limit,omitempty"`
	// Marker is the next of the page before; empty for the first page.
	Marker string `json:"marker,omitempty"`
}

// Limits of a page.
const (
	DefaultPage = 100
	MaxPage     = 1000
)

// ListServicesRequest asks for services.
type ListServicesRequest struct {
	Page
	Host string `json:"host,omitempty"` // host@backend, or the backend alone
}

// ServiceInfo is a service as a reader sees it.
type ServiceInfo struct {
	volume.Service
	Status string `json:"status"` // enabled or disabled
	State  string `json:"state"`  // up or down, by the database's clock
	// HoldsBack tells that others wait for its upgrade: as long as it lives, no
	// records are written that are newer than its object_current_version.
	HoldsBack bool `json:"holds_back,omitempty"`
}

// ServicesReply is a page of services.
type ServicesReply struct {
	Services []ServiceInfo `json:"services"`
	Next     string        `json:"next,omitempty"`
}

// ListVolumesRequest asks for volumes, newest first.
type ListVolumesRequest struct {
	Page
	ProjectID string        `json:"project_id,omitempty"`
	Host      string        `json:"host,omitempty"` // service host, with or without #pool
	Status    volume.Status `json:"status,omitempty"`
	Name      string        `json:"name,omitempty"`
}

// VolumesReply is a page of volumes.
type VolumesReply struct {
	Volumes []volume.Volume `json:"volumes"`
	Next    string          `json:"next,omitempty"`
}

// ListSnapshotsRequest asks for snapshots, newest first.
type ListSnapshotsRequest struct {
	Page
	ProjectID string        `json:"project_id,omitempty"`
	VolumeID  string        `json:"volume_id,omitempty"`
	Status    volume.Status `json:"status,omitempty"`
	Name      string        `json:"name,omitempty"`
}

// SnapshotsReply is a page of snapshots.
type SnapshotsReply struct {
	Snapshots []volume.Snapshot `json:"snapshots"`
	Next      string            `json:"next,omitempty"`
}

// ListOperationsRequest asks for operations, newest first.
type ListOperationsRequest struct {
	Page
	ProjectID  string                 `json:"project_id,omitempty"`
	Backend    string                 `json:"backend,omitempty"`
	Status     volume.OperationStatus `json:"status,omitempty"`
	Method     string                 `json:"method,omitempty"`
	ResourceID string                 `json:"resource_id,omitempty"`
	// Unfinished restricts the list to operations that have not ended.
	Unfinished bool `json:"unfinished,omitempty"`
}

// OperationsReply is a page of operations.
type OperationsReply struct {
	Operations []volume.Operation `json:"operations"`
	Next       string             `json:"next,omitempty"`
}
