package volume

import "slices"

// Status is the status of a volume or of a snapshot, in the words of Cinder.
type Status string

// Statuses of volumes and snapshots.
const (
	Creating      Status = "creating"
	Downloading   Status = "downloading"
	Managing      Status = "managing" // an image that others made becomes the volume
	Available     Status = "available"
	Reserved      Status = "reserved"
	Attaching     Status = "attaching"
	InUse         Status = "in-use"
	Detaching     Status = "detaching"
	Extending     Status = "extending"
	Reverting     Status = "reverting" // a volume that goes back to a snapshot
	Restoring     Status = "restoring" // the snapshot that it goes back to
	Uploading     Status = "uploading"
	Deleting      Status = "deleting"
	Unmanaging    Status = "unmanaging" // the row goes, the image stays
	Deleted       Status = "deleted"
	Error         Status = "error"
	ErrorDeleting Status = "error_deleting"
	ErrorExtend   Status = "error_extending"
	Retyping      Status = "retyping"
	Maintenance   Status = "maintenance" // kept from its users while it is being moved
	ErrorManaging Status = "error_managing"
)

// volumeTransitions holds every legal change of a volume's status; an empty
// Status stands for "no row". Deleting returns to any status that a delete
// may start from: a refused delete leaves the volume as it was. So does, by an
// undelete, what was deleted and is kept; and the id of one whose image is not ours
// any more may become that of an image which is managed anew. So does Unmanaging
// return, when it is cancelled.
var volumeTransitions = map[Status][]Status{
	"":            {Creating, Managing},
	Creating:      {Available, Downloading, Error, Deleted},
	Downloading:   {Available, Error, Deleted},
	Uploading:     {Available, InUse, Error},
	Managing:      {Available, ErrorManaging, Deleted},
	Available:     {Extending, Reverting, Retyping, Maintenance, Deleting, Unmanaging, Uploading, Downloading, Reserved, Attaching, InUse, Error},
	InUse:         {Extending, Retyping, Maintenance, Uploading, Detaching, Available, Error},
	Reserved:      {Attaching, Available},
	Attaching:     {InUse, Available},
	Detaching:     {Available, InUse},
	Extending:     {Available, InUse, ErrorExtend},
	Reverting:     {Available, Error},
	Retyping:      {Available, InUse},
	Maintenance:   {Available, InUse},
	Deleting:      {Deleted, ErrorDeleting, Available, Error, ErrorExtend},
	Unmanaging:    {Deleted, ErrorDeleting, ErrorManaging, Available, Error, ErrorExtend},
	Error:         {Reverting, Deleting, Unmanaging, Downloading, Available},
	ErrorDeleting: {Deleting, Unmanaging, Available},
	ErrorExtend:   {Deleting, Extending, Unmanaging, Available},
	ErrorManaging: {Unmanaging},
	Deleted:       {Available, Error, ErrorExtend, Managing},
}

// snapshotTransitions is the same for snapshots.
var snapshotTransitions = map[Status][]Status{
	"":            {Creating},
	Creating:      {Available, Error, Deleted},
	Available:     {Restoring, Deleting, Unmanaging, Error},
	Restoring:     {Available},
	Deleting:      {Deleted, ErrorDeleting, Available, Error},
	Unmanaging:    {Deleted, ErrorDeleting, Available, Error},
	Error:         {Deleting, Unmanaging, Available},
	ErrorDeleting: {Deleting, Unmanaging, Available},
	Deleted:       {Available, Error, ErrorDeleting, Creating},
}

// CanBecome reports whether a volume may go from status s to next.
func (s Status) CanBecome(next Status) bool { return slices.Contains(volumeTransitions[s], next) }

// SnapshotCanBecome reports whether a snapshot may go from status s to next.
func (s Status) SnapshotCanBecome(next Status) bool {
	return slices.Contains(snapshotTransitions[s], next)
}

// Transient reports whether the status belongs to an operation that has not
// ended. A resource at rest in a transient status is a defect.
func (s Status) Transient() bool {
	switch s {
	case Creating, Downloading, Uploading, Managing, Extending, Reverting, Restoring, Retyping, Maintenance, Deleting, Unmanaging:
		return true
	default:
		return false
	}
}

// MigrationStatus tells how a volume is being moved, or was, in the words of Cinder.
type MigrationStatus string

// Statuses of a migration.
const (
	MigrationStarting MigrationStatus = "starting"  // accepted
	Migrating         MigrationStatus = "migrating" // there may be a copy
	MigrationSuccess  MigrationStatus = "success"
	MigrationError    MigrationStatus = "error"
	// migrationSource begins that of the record of an image that a volume has left;
	// the id of the volume follows.
	migrationSource = "source:"
)

// MigrationSourceOf returns the migration status of the record that stands for the image
// which the volume has left behind.
func MigrationSourceOf(volumeID string) MigrationStatus {
	return MigrationStatus(migrationSource + volumeID)
}

// Attach statuses of a volume.
const (
	Detached = "detached"
	Attached = "attached"
)
