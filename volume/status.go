package volume

import "slices"

// Status is the status of a volume or of a snapshot, in the words of Cinder.
type Status string

// Statuses of volumes and snapshots.
const (
	Creating      Status = "creating"
	Managing      Status = "managing" // an image that others made becomes the volume
	Available     Status = "available"
	Reserved      Status = "reserved"
	Attaching     Status = "attaching"
	InUse         Status = "in-use"
	Detaching     Status = "detaching"
	Extending     Status = "extending"
	Reverting     Status = "reverting" // a volume that goes back to a snapshot
	Restoring     Status = "restoring" // the snapshot that it goes back to
	Deleting      Status = "deleting"
	Unmanaging    Status = "unmanaging" // the row goes, the image stays
	Deleted       Status = "deleted"
	Error         Status = "error"
	ErrorDeleting Status = "error_deleting"
	ErrorExtend   Status = "error_extending"
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
	Creating:      {Available, Error, Deleted},
	Managing:      {Available, ErrorManaging, Deleted},
	Available:     {Extending, Reverting, Deleting, Unmanaging, Reserved, Attaching, InUse, Error},
	InUse:         {Extending, Detaching, Available, Error},
	Reserved:      {Attaching, Available},
	Attaching:     {InUse, Available},
	Detaching:     {Available, InUse},
	Extending:     {Available, InUse, ErrorExtend},
	Reverting:     {Available, Error},
	Deleting:      {Deleted, ErrorDeleting, Available, Error, ErrorExtend},
	Unmanaging:    {Deleted, ErrorDeleting, ErrorManaging, Available, Error, ErrorExtend},
	Error:         {Reverting, Deleting, Unmanaging, Available},
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
	case Creating, Managing, Extending, Reverting, Restoring, Deleting, Unmanaging:
		return true
	default:
		return false
	}
}

// Attach statuses of a volume.
const (
	Detached = "detached"
	Attached = "attached"
)
