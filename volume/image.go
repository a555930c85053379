package volume

import (
	"fmt"
	"slices"
	"time"
)

// Image is what a backend holds under one image id, as an inventory tells it.
type Image struct {
	ID   string `json:"id"`
	Name string `json:"name"` // in the trash the one that it had
	// Trashed tells that the image is in the trash, to be kept there until
	// KeepUntil.
	Trashed   bool      `json:"trashed,omitempty"`
	KeepUntil time.Time `json:"keep_until,omitzero"`
	// Broken says why the image cannot be read. Nothing below is known then.
	Broken string `json:"broken,omitempty"`
	Size   int64  `json:"size"` // bytes
	// Parent is what the image is a clone of, nil for none.
	Parent *ImageParent `json:"parent,omitempty"`
	// Snapshots are those that users see, oldest first; not what the backend keeps
	// of a removed one for the sake of its clones.
	Snapshots []ImageSnapshot   `json:"snapshots,omitempty"`
	Metadata  map[string]string `json:"metadata,omitempty"`
	// Grouped tells that the image is a member of a group, Migrating that it is the
	// source or the destination of a migration.
	Grouped   bool `json:"grouped,omitempty"`
	Migrating bool `json:"migrating,omitempty"`
	// Watchers are the addresses of the clients that have the image open for
	// writing, and Locks who holds its lock. Only a deep inventory has them.
	Watchers []string    `json:"watchers,omitempty"`
	Locks    []ImageLock `json:"locks,omitempty"`
}

// ImageParent is the snapshot that a clone depends on.
type ImageParent struct {
	Pool       string `json:"pool,omitempty"` // empty for the pool of the clone
	ImageID    string `json:"image_id"`
	SnapshotID uint64 `json:"snapshot_id"`
}

// ImageSnapshot is a snapshot of an image.
type ImageSnapshot struct {
	ID        uint64 `json:"id"`
	Name      string `json:"name"`
	Size      int64  `json:"size"` // bytes
	Protected bool   `json:"protected,omitempty"`
}

// ImageLock is a lock that a client holds on an image.
type ImageLock struct {
	Client string `json:"client"`
	Cookie string `json:"cookie"`
	Addr   string `json:"addr"`
	// Managed locks are taken and given up by the backend as clients write.
	// Others were taken by hand, and nothing ever gives them up.
	Managed bool `json:"managed,omitempty"`
}

// Ref returns how drivers name the image.
func (i *Image) Ref() Ref { return Ref{Name: i.Name, ImageID: i.ID} }

// Snapshot returns the snapshot of that name, nil if there is none.
func (i *Image) Snapshot(name string) *ImageSnapshot {
	at := slices.IndexFunc(i.Snapshots, func(s ImageSnapshot) bool { return s.Name == name })
	if at < 0 {
		return nil
	}
	return &i.Snapshots[at]
}

// String names the holder and the lock.
func (l ImageLock) String() string { return fmt.Sprintf("%q of %s at %s", l.Cookie, l.Client, l.Addr) }
