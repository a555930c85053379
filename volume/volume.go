package volume

import (
	"fmt"
	"strings"
	"time"
)

// Volume is a row of the table volumes and, in its JSON form, the volume that
// callers see.
type Volume struct {
	ID string `json:"id"`
	// NameID is set where the image carries another id than the volume, as
	// after some migrations; see ImageName.
	NameID           string `json:"name_id,omitempty"`
	ProjectID        string `json:"project_id"`
	UserID           string `json:"user_id"`
	Name             string `json:"name"`
	Description      string `json:"description,omitempty"`
	Size             int64  `json:"size"` // GiB
	Status           Status `json:"status"`
	PreviousStatus   Status `json:"previous_status,omitempty"`
	AttachStatus     string `json:"attach_status"`
	Host             string `json:"host"` // host@backend#pool
	ClusterName      string `json:"cluster_name,omitempty"`
	AvailabilityZone string `json:"availability_zone"`
	SnapshotID       string `json:"snapshot_id,omitempty"`
	SourceVolID      string `json:"source_volid,omitempty"`
	VolumeTypeID     string `json:"volume_type_id,omitempty"`
	Bootable         bool   `json:"bootable"`
	Multiattach      bool   `json:"multiattach"`
	// MigrationStatus tells of the last migration; empty for none.
	MigrationStatus MigrationStatus   `json:"migration_status,omitempty"`
	Metadata        map[string]string `json:"metadata,omitempty"`
	// ImageMetadata tells of the disk image that the volume holds; see ImageURL and
	// the others. It is the service's, not the user's.
	ImageMetadata map[string]string `json:"volume_image_metadata,omitempty"`
	// ImageID is the internal id of the RBD image, recorded once the image is
	// known to exist. It names the image even in the trash.
	ImageID string `json:"image_id,omitempty"`
	// AdoptedParent is what the image was a clone of when it was taken over from
	// others; nil for one that this service has made. What a volume of this service
	// was made from is in SnapshotID and SourceVolID.
	AdoptedParent *ImageParent `json:"adopted_parent,omitempty"`
	CreatedAt     time.Time    `json:"created_at"`
	UpdatedAt     time.Time    `json:"updated_at,omitzero"`
	LaunchedAt    time.Time    `json:"launched_at,omitzero"`
	TerminatedAt  time.Time    `json:"terminated_at,omitzero"`
	// DeletedAt is set in rows that remain only as a record.
	DeletedAt time.Time `json:"deleted_at,omitzero"`
}

// What ImageMetadata tells.
const (
	ImageURL      = "image_url" // without what may be secret in it
	ImageFormat   = "disk_format"
	ImageSize     = "size"         // of the image as it came, in bytes
	ImageVirtual  = "virtual_size" // in bytes
	ImageChecksum = "checksum"     // as the request gave it
)

// Unmanaged reports whether the row is the record of a volume whose image was left to
// others.
func (v *Volume) Unmanaged() bool { return v.Deleted() && v.PreviousStatus == Unmanaging }

// Deleted reports whether the row remains only as a record.
func (v *Volume) Deleted() bool { return !v.DeletedAt.IsZero() }

// Ref returns the volume as the driver knows it, its name made by template
// (volume_name_template, with one %s).
func (v *Volume) Ref(template string) Ref {
	id := v.NameID
	if id == "" {
		id = v.ID
	}
	return Ref{Name: expand(template, id), ImageID: v.ImageID}
}

// Snapshot is a row of the table snapshots.
type Snapshot struct {
	ID          string `json:"id"`
	VolumeID    string `json:"volume_id"`
	ProjectID   string `json:"project_id"`
	UserID      string `json:"user_id"`
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Status      Status `json:"status"`
	// PreviousStatus is the one before, once it has changed.
	PreviousStatus Status            `json:"previous_status,omitempty"`
	Progress       string            `json:"progress"`    // "0%" or "100%", as in Cinder
	VolumeSize     int64             `json:"volume_size"` // GiB, when it was taken
	Metadata       map[string]string `json:"metadata,omitempty"`
	CreatedAt      time.Time         `json:"created_at"`
	UpdatedAt      time.Time         `json:"updated_at,omitzero"`
	DeletedAt      time.Time         `json:"deleted_at,omitzero"`
}

// Unmanaged reports whether the row is the record of a snapshot that was left on its
// image.
func (s *Snapshot) Unmanaged() bool { return !s.DeletedAt.IsZero() && s.PreviousStatus == Unmanaging }

// Ref returns the snapshot as the driver knows it: on the image of its volume,
// its own name made by template (snapshot_name_template, with one %s).
func (s *Snapshot) Ref(of Ref, template string) SnapshotRef {
	return SnapshotRef{Volume: of, Name: expand(template, s.ID)}
}

// expand puts id into a name template. It does not use fmt for the template:
// an operator's stray verb must not end up in an image name.
func expand(template, id string) string { return strings.Replace(template, "%s", id, 1) }

// Ref names a volume on its backend.
type Ref struct {
	Name    string `json:"name"`               // of the image, such as volume-<id>
	ImageID string `json:"image_id,omitempty"` // internal id of the image; empty while it is not known
}

// String returns the name, with the image id where it is known.
func (r Ref) String() string {
	if r.ImageID == "" {
		return r.Name
	}
	return fmt.Sprintf("%s (image id %s)", r.Name, r.ImageID)
}

// SnapshotRef names a snapshot on its backend.
type SnapshotRef struct {
	Volume Ref    `json:"volume"`
	Name   string `json:"name"`
}

// String returns image@snapshot, the form rbd prints.
func (r SnapshotRef) String() string { return r.Volume.Name + "@" + r.Name }

// Spec is what a driver needs to make a volume.
type Spec struct {
	Ref
	Size int64 // GiB, at least 1
	// Repeat tells that an earlier attempt of the same operation may have made
	// the volume: a volume of that name and shape is then taken as its result.
	// Without it a volume that exists already is somebody else's.
	Repeat bool
	// MaxDepth is the most images that a clone may depend on, one above the other; 0
	// for no limit.
	MaxDepth int
}

// Location is what a driver reports about a volume that it made.
type Location struct {
	ImageID string
	// Depth is how many images a clone depends on, one above the other; 0 where it is
	// not known.
	Depth int
}

// GiB is the unit of sizes in requests and rows, in bytes.
const GiB = 1 << 30
