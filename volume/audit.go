package volume

import "time"

// Drift is a way in which the backend and the tables can differ.
type Drift string

// The kinds of drift; docs/audit.md says what each means.
const (
	ImageMissing       Drift = "image_missing"        // a volume has no image
	ImageRenamed       Drift = "image_renamed"        // it has one, under another name
	ImageReplaced      Drift = "image_replaced"       // another image has the volume's name
	ImageTrashed       Drift = "image_trashed"        // it is in the trash, the volume is not deleted
	ImageBroken        Drift = "image_broken"         // it cannot be read
	SizeDiffers        Drift = "size_differs"         // the image has another size than the volume
	ParentDiffers      Drift = "parent_differs"       // the image is a clone of something else
	RowMissing         Drift = "row_missing"          // an image has a volume's name and there is no such volume
	RowStuck           Drift = "row_stuck"            // a transient status that no operation will end
	SnapshotMissing    Drift = "snapshot_missing"     // a snapshot is not on its image
	StraySnapshot      Drift = "stray_snapshot"       // one on an image has no row
	StrayCloneSnapshot Drift = "stray_clone_snapshot" // one was taken for a clone that nobody makes any more
	StrayTrash         Drift = "stray_trash"          // a trash entry that nobody purges
	StraySetting       Drift = "stray_setting"        // a conf_ key that the volume does not want
	SettingDiffers     Drift = "setting_differs"      // a conf_ key that the volume wants and that is not so
	StrayLock          Drift = "stray_lock"           // a lock whose owner is gone
	StrayWatcher       Drift = "stray_watcher"        // a client has a volume open that is attached nowhere
	ForeignImage       Drift = "foreign_image"        // an image that is not of this service; never touched
	Unsettled          Drift = "unsettled"            // it differs, and an operation is at work on it
)

// AuditResource is the type of an audit, as the resource of an operation.
const AuditResource ResourceType = "audit"

// Audit is a row of the table audits: one comparison of a backend with the tables.
// Its id is that of the plan for the repairs as well.
type Audit struct {
	ID          string `json:"id"`
	Backend     string `json:"backend"` // host@backend
	OperationID string `json:"operation_id"`
	Deep        bool   `json:"deep"` // watchers and locks were looked at too
	// Images, Volumes and Snapshots are how many were compared.
	Images    int `json:"images"`
	Volumes   int `json:"volumes"`
	Snapshots int `json:"snapshots"`
	// Drift is the number of differences, Notes that of findings which need
	// nothing done, Repairs how many of the differences can be repaired.
	Drift   int `json:"drift"`
	Notes   int `json:"notes"`
	Repairs int `json:"repairs"`
	// Bytes is what the repairs give back at most.
	Bytes int64 `json:"bytes"`
	// RepairID is the operation that has carried the repairs out, or tried to.
	RepairID   string    `json:"repair_id,omitempty"`
	CreatedAt  time.Time `json:"created_at"`
	FinishedAt time.Time `json:"finished_at,omitzero"`
}

// Finding is one difference that an audit found.
type Finding struct {
	Number int   `json:"number"` // within the audit, from 1
	Kind   Drift `json:"kind"`
	// Note tells that nothing needs to be done about it.
	Note       bool   `json:"note,omitempty"`
	VolumeID   string `json:"volume_id,omitempty"`
	SnapshotID string `json:"snapshot_id,omitempty"`
	Image      Ref    `json:"image,omitzero"`     // on the backend, or that should be there
	Snapshot   string `json:"snapshot,omitempty"` // name on the backend
	// Key is the setting, and Lock the lock, that the finding is about.
	Key     string     `json:"key,omitempty"`
	Lock    *ImageLock `json:"lock,omitempty"`
	Message string     `json:"message"`
	Hint    string     `json:"hint,omitempty"` // what a person can do where there is no repair
	// Repair is what would repair it, if that can be done safely.
	Repair *Repair `json:"repair,omitempty"`
}

// RepairAction is what a step of a plan does.
type RepairAction string

// The actions. Only the first three remove something.
const (
	RemoveImage    RepairAction = "remove_image"    // to the trash, and from there
	PurgeImage     RepairAction = "purge_image"     // from the trash
	RemoveSnapshot RepairAction = "remove_snapshot" // from its image
	RenameImage    RepairAction = "rename_image"    // to To
	GrowImage      RepairAction = "grow_image"      // to Size
	SetSize        RepairAction = "set_size"        // of the volume's row, to Size
	SetStatus      RepairAction = "set_status"      // of the row, to To
	RemoveSetting  RepairAction = "remove_setting"  // the metadata key Key of the image
	RemoveLock     RepairAction = "remove_lock"     // Lock
)

// Repair is a step of a plan: what repairs one finding.
type Repair struct {
	Step       int            `json:"step"` // within the plan, from 1
	Action     RepairAction   `json:"action"`
	VolumeID   string         `json:"volume_id"`
	SnapshotID string         `json:"snapshot_id,omitempty"` // of the row to change
	Image      Ref            `json:"image"`                 // as it is named when the step is due
	Snapshot   *ImageSnapshot `json:"snapshot,omitempty"`
	To         string         `json:"to,omitempty"`
	Size       int64          `json:"size,omitempty"` // GiB
	Key        string         `json:"key,omitempty"`
	Lock       *ImageLock     `json:"lock,omitempty"`
	// Bytes is what the step gives back at most; less where the image is sparse or
	// shares data.
	Bytes  int64  `json:"bytes,omitempty"`
	Reason string `json:"reason"`
	// Before is what must hold when the step is due.
	Before Precondition `json:"before"`
	Done   bool         `json:"done,omitempty"`
}

// Precondition is the world that a step was planned for.
type Precondition struct {
	// Place is where the image with that id is.
	Place Place `json:"place"`
	Size  int64 `json:"size,omitempty"` // of the image, in bytes
	// Snapshots is a hash of the names and ids of the image's snapshots.
	Snapshots string `json:"snapshots,omitempty"`
	// RowUpdatedAt is when the row of the volume, or of the snapshot where there is
	// one, was last changed; zero for never.
	RowUpdatedAt time.Time `json:"row_updated_at,omitzero"`
}

// Place is where an image is.
type Place string

// The places.
const (
	InPool  Place = "pool"
	InTrash Place = "trash"
	Nowhere Place = "nowhere" // and no image has its name
)

// AuditFilter selects audits; empty fields select all.
type AuditFilter struct {
	Page
	Backend string
}

// FindingFilter selects findings of one audit.
type FindingFilter struct {
	Page
	AuditID string
	Kind    Drift // empty for all
	Repairs bool  // only those that can be repaired, in the order of the plan
}

// Holdings are the rows that say what a service has on its backend.
type Holdings struct {
	Volumes   []Volume   // that are not deleted
	Snapshots []Snapshot // of these, not deleted
	// Trashed are the records of deleted volumes whose image is not known to be gone.
	Trashed    []Volume
	Operations []Operation // that have not ended
}
