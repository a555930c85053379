package rpc

import (
	"context"
	"iter"

	"github.com/volumed/volumed/volume"
)

// Methods about what others have made on a backend. What they take over is given back
// by a delete with unmanage_only.
const (
	MethodManageExisting         = "manage_existing"
	MethodManageExistingSnapshot = "manage_existing_snapshot"
	MethodGetManageableVolumes   = "get_manageable_volumes"
	MethodGetManageableSnapshots = "get_manageable_snapshots"
)

// ManageExistingRequest asks to take an image of the backend's pool over as a volume.
type ManageExistingRequest struct {
	// SourceName is the name of the image in the pool.
	SourceName string `json:"source_name"`
	// SourceID is the id of the image; one of that name with another id is refused.
	SourceID string `json:"source_id,omitempty"`
	// VolumeID is the id that the volume shall have, such as that in the name of an
	// image of cinder-volume, which then keeps its name; a new one if empty.
	VolumeID string `json:"volume_id,omitempty"`
	// ProjectID and UserID own the volume; empty for those that owned it before, if
	// there is the record of one with its id.
	ProjectID   string `json:"project_id,omitempty"`
	UserID      string `json:"user_id,omitempty"`
	Name        string `json:"name,omitempty"`
	Description string `json:"description,omitempty"`
	// Size in GiB, rounded up, that the image must have; 0 for whatever it has.
	Size             int64             `json:"size,omitempty"`
	AvailabilityZone string            `json:"availability_zone,omitempty"`
	Metadata         map[string]string `json:"metadata,omitempty"`
	// VolumeType is the id or the name of the type that the volume shall have; without it
	// the volume has none, and the limits on the image stay as they are.
	VolumeType string `json:"volume_type,omitempty"`
	// Bootable says that a machine can be started from the volume.
	Bootable bool `json:"bootable,omitempty"`
	// AsDeleted takes over an image volume-ID.deleted, which cinder-volume keeps for
	// the clones of a deleted volume: it becomes a deleted volume, which is purged once
	// no clone needs it.
	AsDeleted bool `json:"as_deleted,omitempty"`
}

// ManageExistingSnapshotRequest asks to take a snapshot over that is on the image of a
// volume.
type ManageExistingSnapshotRequest struct {
	VolumeID string `json:"volume_id"`
	// SourceName is the name of the snapshot on the image.
	SourceName string `json:"source_name"`
	// SnapshotID is the id that the snapshot shall have; a new one if empty.
	SnapshotID  string            `json:"snapshot_id,omitempty"`
	Name        string            `json:"name,omitempty"`
	Description string            `json:"description,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`
}

// Orders of lists of what can be managed.
const (
	SortByReference = "reference"
	SortBySize      = "size"
	Ascending       = "asc"
	Descending      = "desc"
)

// ManageableVolumesRequest asks for the images in the pool of a backend.
type ManageableVolumesRequest struct {
	Page
	// SortKey is reference, which is the name, or size; reference if empty.
	SortKey string `json:"sort_key,omitempty"`
	// SortDir is asc or desc; asc if empty.
	SortDir string `json:"sort_dir,omitempty"`
}

// ManageableSnapshotsRequest asks for the snapshots on the images in the pool of a
// backend.
type ManageableSnapshotsRequest struct {
	Page
	// VolumeID restricts the list to the image of one volume.
	VolumeID string `json:"volume_id,omitempty"`
	// SortKey is reference, which is the name of the image and then that of the
	// snapshot, or size; reference if empty.
	SortKey string `json:"sort_key,omitempty"`
	// SortDir is asc or desc; asc if empty.
	SortDir string `json:"sort_dir,omitempty"`
}

// Reference names an image, or a snapshot on one, in a request to manage it.
type Reference struct {
	SourceName string `json:"source_name"`
	SourceID   string `json:"source_id"`
}

// ManageableVolume is an image in the pool, whether it can be managed or not.
type ManageableVolume struct {
	Reference    Reference `json:"reference"`
	Size         int64     `json:"size"` // GiB, rounded up
	SafeToManage bool      `json:"safe_to_manage"`
	// ReasonNotSafe says why it cannot be managed as it is.
	ReasonNotSafe string `json:"reason_not_safe,omitempty"`
	// CinderID is the id of the volume that has the image.
	CinderID string `json:"cinder_id,omitempty"`
	// KeepID is the id that the name of the image holds: it can be the volume's.
	KeepID string `json:"keep_id,omitempty"`
	// AsDeleted tells that the image can be managed as a deleted volume.
	AsDeleted bool             `json:"as_deleted,omitempty"`
	ExtraInfo ManageableDetail `json:"extra_info"`
}

// ManageableDetail is what else is known of an image.
type ManageableDetail struct {
	Bytes     int64    `json:"bytes"`
	Snapshots int      `json:"snapshots"`
	Watchers  []string `json:"watchers,omitempty"` // clients that have it open for writing
	// Parent is what the image is a clone of, ParentName its name if it is in the pool.
	Parent     *volume.ImageParent `json:"parent,omitempty"`
	ParentName string              `json:"parent_name,omitempty"`
}

// ManageableVolumesReply is a page of images.
type ManageableVolumesReply struct {
	ManageableVolumes []ManageableVolume `json:"manageable_volumes"`
	Next              string             `json:"next,omitempty"`
}

// ManageableSnapshot is a snapshot on an image in the pool.
type ManageableSnapshot struct {
	Reference Reference `json:"reference"`
	// SourceReference names the image.
	SourceReference Reference `json:"source_reference"`
	Size            int64     `json:"size"` // GiB, rounded up
	SafeToManage    bool      `json:"safe_to_manage"`
	ReasonNotSafe   string    `json:"reason_not_safe,omitempty"`
	CinderID        string    `json:"cinder_id,omitempty"` // of the snapshot that it is
	// VolumeID is the volume that has the image.
	VolumeID string `json:"volume_id,omitempty"`
	// KeepID is the id that the name holds: it can be the snapshot's.
	KeepID string `json:"keep_id,omitempty"`
}

// ManageableSnapshotsReply is a page of snapshots.
type ManageableSnapshotsReply struct {
	ManageableSnapshots []ManageableSnapshot `json:"manageable_snapshots"`
	Next                string               `json:"next,omitempty"`
}

// ManageExisting has the service take an image over.
func (c *Client) ManageExisting(ctx context.Context, service string, req ManageExistingRequest, o CallOptions) (VolumeReply, error) {
	return invoke[VolumeReply](ctx, c, service, MethodManageExisting, req, o)
}

// ManageExistingSnapshot has the service take a snapshot over.
func (c *Client) ManageExistingSnapshot(ctx context.Context, service string, req ManageExistingSnapshotRequest, o CallOptions) (SnapshotReply, error) {
	return invoke[SnapshotReply](ctx, c, service, MethodManageExistingSnapshot, req, o)
}

// GetManageableVolumes returns one page of the images in the pool of the service.
func (c *Client) GetManageableVolumes(ctx context.Context, service string, req ManageableVolumesRequest, o CallOptions) (ManageableVolumesReply, error) {
	return invoke[ManageableVolumesReply](ctx, c, service, MethodGetManageableVolumes, req, o)
}

// GetManageableSnapshots returns one page of the snapshots in the pool of the service.
func (c *Client) GetManageableSnapshots(ctx context.Context, service string, req ManageableSnapshotsRequest, o CallOptions) (ManageableSnapshotsReply, error) {
	return invoke[ManageableSnapshotsReply](ctx, c, service, MethodGetManageableSnapshots, req, o)
}

// ManageableVolumes returns all images in the pool of the service; see Services.
func (c *Client) ManageableVolumes(ctx context.Context, service string, req ManageableVolumesRequest, o CallOptions) iter.Seq2[ManageableVolume, error] {
	return pages(&req.Marker, func() ([]ManageableVolume, string, error) {
		r, err := c.GetManageableVolumes(ctx, service, req, o)
		return r.ManageableVolumes, r.Next, err
	})
}

// ManageableSnapshots returns all snapshots in the pool of the service; see Services.
func (c *Client) ManageableSnapshots(ctx context.Context, service string, req ManageableSnapshotsRequest, o CallOptions) iter.Seq2[ManageableSnapshot, error] {
	return pages(&req.Marker, func() ([]ManageableSnapshot, string, error) {
		r, err := c.GetManageableSnapshots(ctx, service, req, o)
		return r.ManageableSnapshots, r.Next, err
	})
}
