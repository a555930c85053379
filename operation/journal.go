package operation

import (
	"context"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// ErrFenced is returned by a write under a fence whose epoch is no longer the
// newest of its service: another process has taken the service over, and
// nothing of this one is written any more. It is final for the process.
var ErrFenced = fault.New(fault.Conflict, "the service has been taken over by a newer process")

// Fence is the right to write for a service. The epoch grows with every process
// that takes the service over.
type Fence struct {
	Host  string // host@backend
	Epoch int64
}

// Journal is where operations live, and the rows they change with them.
type Journal interface {
	// Write runs change in one transaction and commits it; nothing is written
	// when change returns an error, which Write then returns as it is. The
	// transaction begins with a check of the fence; ErrFenced is returned when it
	// does not hold. change may run more than once, and must not do anything
	// else than read and write through tx. When Write returns nil the change is
	// durable. A cancelled ctx gives up waiting: the outcome is then unknown.
	Write(ctx context.Context, fence Fence, change func(tx Tx) error) error
	// WriteSoon is Write for a change that would be made again if it were lost: it
	// is committed when WriteSoon returns nil, but may become durable later, at the
	// latest with the next Write of any process. The death of a process loses
	// nothing of it, that of the host may lose the last ones.
	WriteSoon(ctx context.Context, fence Fence, change func(tx Tx) error) error
	// Claim gives every unfinished operation of fence.Host to fence.Epoch, adds
	// one to its attempt, and returns them oldest first.
	Claim(ctx context.Context, fence Fence) ([]volume.Operation, error)
	// Operation returns one operation, fault.NotFound if there is none.
	Operation(ctx context.Context, id string) (volume.Operation, error)
}

// Tx is the inside of one transaction: the rows as this transaction sees them.
// Errors carry kinds: fault.NotFound for a row that is not there (or is only a
// record of something deleted, for volumes and snapshots), fault.Unavailable for
// a database that does not answer, fault.Exhausted for a full disk.
type Tx interface {
	// OperationByRequest returns the operation that the project accepted under
	// the request id.
	OperationByRequest(projectID, requestID string) (volume.Operation, error)
	// OperationOn returns the newest operation of the method on the resource that
	// has not ended.
	OperationOn(r volume.Resource, method string) (volume.Operation, error)
	// InsertOperation writes a new operation. CreatedAt and UpdatedAt are set.
	InsertOperation(op *volume.Operation) error
	// UpdateOperation writes the columns that change in an operation's life:
	// status, step, progress, eta, attempt, reason, blockers, hint, next try, error, result,
	// cancel_requested, started_at, finished_at. UpdatedAt is set. A cancel that
	// was requested stays so, whatever op says. It is fault.Conflict when the
	// operation has ended or belongs to another epoch.
	UpdateOperation(op *volume.Operation) error

	// Claim locks the resource for the operation until Release. Shared claims
	// go together; an exclusive claim is refused with fault.Busy, naming the
	// operation in BlockedBy, while another exclusive claim is held, and so is
	// a shared one. An exclusive claim beside shared ones is granted but not yet
	// effective: see Holders.
	Claim(operationID string, r volume.Resource, mode ClaimMode) error
	// Holders returns the ids of the operations, other than the given one, that
	// hold a shared claim on r: whom an exclusive claim has to wait for.
	Holders(operationID string, r volume.Resource) ([]string, error)
	// Release gives back all claims of the operation.
	Release(operationID string) error

	// Volume returns a volume that is not deleted.
	Volume(id string) (volume.Volume, error)
	// DeletedVolume returns the record of a deleted volume.
	DeletedVolume(id string) (volume.Volume, error)
	// InsertVolume writes a new row. CreatedAt is set. fault.Exists if the id is taken.
	InsertVolume(v *volume.Volume) error
	// UpdateVolume writes all columns of v if its row still has the status from,
	// and is fault.Conflict otherwise. UpdatedAt is set; metadata is left as it
	// is. A v with status Deleted becomes a record: DeletedAt is set.
	UpdateVolume(v *volume.Volume, from volume.Status) error
	// LabelVolume writes name, description and metadata of v and whether it is bootable,
	// and nothing else, whatever its status. UpdatedAt is set. It is fault.NotFound for one that is deleted.
	LabelVolume(v *volume.Volume) error

	// Snapshot, DeletedSnapshot, InsertSnapshot, UpdateSnapshot and LabelSnapshot do the
	// same for snapshots.
	Snapshot(id string) (volume.Snapshot, error)
	DeletedSnapshot(id string) (volume.Snapshot, error)
	InsertSnapshot(s *volume.Snapshot) error
	UpdateSnapshot(s *volume.Snapshot, from volume.Status) error
	LabelSnapshot(s *volume.Snapshot) error
	// Snapshots returns the live snapshots of a volume, oldest first.
	Snapshots(volumeID string) ([]volume.Snapshot, error)
	// Attachments returns the number of live attachments of a volume.
	Attachments(volumeID string) (int, error)

	// Type returns a volume type by its id or, where no type has that, by its name. It
	// stays as it is until the transaction ends.
	Type(idOrName string) (volume.Type, error)
	// TypeToChange is Type for who is about to change it, with the number of the volumes
	// that have the type. No volume gets it until the transaction ends.
	TypeToChange(idOrName string) (t volume.Type, volumes int, err error)
	// InsertType and UpdateType write a row, whose CreatedAt or UpdatedAt is set. They are
	// fault.Exists for a name that another type has.
	InsertType(t *volume.Type) error
	UpdateType(t *volume.Type) error
	// DeleteType removes a row for good. One that is not there is success.
	DeleteType(id string) error

	// CachedImage returns what the image cache of a service has of an image.
	CachedImage(host, image string) (volume.CachedImage, error)
	// InsertCachedImage makes a volume an entry of the cache; UsedAt is set. It is
	// fault.Exists if there is one of that image. UseCachedImage sets UsedAt, and
	// DropCachedImage takes the volume out again; one that is no entry is success.
	InsertCachedImage(c *volume.CachedImage) error
	UseCachedImage(volumeID string) error
	DropCachedImage(volumeID string) error

	// AppendEvent writes an event and sets its ID and CreatedAt.
	AppendEvent(e *volume.Event) error
}

// ClaimMode says how a resource is locked.
type ClaimMode string

// Modes of claims.
const (
	Shared    ClaimMode = "shared"    // it must stay as it is: the source of a clone
	Exclusive ClaimMode = "exclusive" // it is changed: the target
)
