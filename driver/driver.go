// Package driver says what the service needs of a storage backend.
//
// Driver is what every backend must do. What only some can do is a small
// interface of its own, found with As through any stack of decorators.
//
// Rules for every method: it may be called by several goroutines at once; it
// may be repeated after any outcome, a lost one included, and then completes
// what an earlier call began; it returns errors with a kind of package fault.
// Where no other kind is said, a volume that is not there is NotFound; one under
// whose name lies an image with another id than the Ref's is Conflict and is left
// alone; a name or size that CheckName or CheckSize refuses is Invalid; and a
// backend that does not answer is Unavailable, with an unknown outcome.
// A ctx that is cancelled before the call keeps the call from the backend. A
// ctx that is cancelled later interrupts only where the method says so: a
// blocking call in C cannot be interrupted, and its effect may still come.
package driver

import (
	"context"
	"io"
	"time"

	"github.com/volumed/volumed/volume"
)

// Driver is one backend, connected.
type Driver interface {
	Provisioner
	Snapshotter
	Cloner
	Extender
	Connector
	Reporter
	// Close refuses further calls, waits a while for those in the driver, and ends the
	// connections. Kind: Unavailable where calls are left: nothing is ended then, and it can
	// be repeated.
	io.Closer
}

// Provisioner makes and unmakes volumes.
type Provisioner interface {
	// CreateVolume makes an empty volume. Kinds: Exists for a volume that this
	// operation did not make, Exhausted for a full pool, Unavailable.
	CreateVolume(ctx context.Context, v volume.Spec) (volume.Location, error)
	// DeleteVolume takes the volume out of its users' reach in constant time,
	// whatever its size and clones, into the trash, where it stays restorable
	// for at least keep. It returns where the volume is then, so that it can be
	// purged. One that is in the trash already is success; one that is nowhere is
	// success with the zero Location. Kinds: Busy with the watchers in BlockedBy
	// for a volume that is open somewhere or belongs to a group, Conflict for one
	// whose image id is not that of the Ref, Unavailable.
	DeleteVolume(ctx context.Context, v volume.Ref, keep time.Duration) (volume.Location, error)
	// UndeleteVolume brings a deleted volume back out of the trash, found by its
	// image id and only there, under the name of the Ref, in constant time. It has
	// then all that it had when it was deleted: data, snapshots, settings. One that
	// is back already is success. Kinds: NotFound for one that is neither in the
	// trash nor back; Conflict, with the image in BlockedBy, when another image has
	// the name, and without when it is being purged; Unavailable.
	UndeleteVolume(ctx context.Context, v volume.Ref) error
	// PurgeVolume gives back the space of a deleted volume, found by its image
	// id and only there, with the snapshots that its trash entry still has. A
	// volume that is gone is success. Kinds: Busy with the clones in BlockedBy
	// while clones depend on it, or before its time to keep is over;
	// Unavailable.
	PurgeVolume(ctx context.Context, v volume.Ref, progress Progress) error
}

// Snapshotter makes and unmakes snapshots.
type Snapshotter interface {
	// CreateSnapshot takes a snapshot. One of that name that exists already is
	// success: names hold ids of one operation. Kinds: NotFound for the volume;
	// Exhausted with ErrTooManySnapshots in the chain where there are as many as
	// there may be.
	CreateSnapshot(ctx context.Context, s volume.SnapshotRef) error
	// DeleteSnapshot removes a snapshot. One that is not there, or whose volume
	// is not, is success. Kinds: Busy with the clones in BlockedBy when clones
	// of format 1 depend on it.
	DeleteSnapshot(ctx context.Context, s volume.SnapshotRef) error
}

// Cloner makes volumes out of snapshots. A clone of a volume is a clone of a
// snapshot taken for it.
type Cloner interface {
	// CreateVolumeFromSnapshot makes a clone of the snapshot and grows it to
	// the size of the spec. With Repeat, a clone of any snapshot of that volume
	// is taken as the result of the earlier attempt, since attempts may clone
	// from snapshots of their own. Kinds: NotFound for the snapshot; Exists as
	// CreateVolume; Invalid for a size below the snapshot's. With ErrTooDeep in the
	// chain nothing was made: the clone would be deeper than the spec allows. Every
	// link counts, whoever has made it, also over images of other pools and of the
	// trash.
	CreateVolumeFromSnapshot(ctx context.Context, v volume.Spec, from volume.SnapshotRef) (volume.Location, error)
	// FlattenVolume copies what the volume still shares with its parent, so
	// that it depends on nothing. One without a parent is success. A cancelled
	// ctx interrupts it within a second, with the kind Cancelled, and leaves a
	// valid clone. While other clients of the backend suffer it stands back for
	// them, hardly so where the ctx IsAwaited.
	FlattenVolume(ctx context.Context, v volume.Ref, progress Progress) error
}

// Extender grows volumes.
type Extender interface {
	// ExtendVolume grows the volume to size GiB, also while it is in use. A
	// volume of that size is success. It never shrinks: Invalid for a size below
	// the volume's.
	ExtendVolume(ctx context.Context, v volume.Ref, size int64) error
}

// Connector tells hosts how to reach a volume.
type Connector interface {
	// InitializeConnection returns what a host needs to attach the volume. It
	// changes nothing. The connector is what the host says of itself.
	InitializeConnection(ctx context.Context, v volume.Ref, volumeID string, connector map[string]any) (volume.ConnectionInfo, error)
	// TerminateConnection ends what InitializeConnection began; for shared
	// storage that is nothing.
	TerminateConnection(ctx context.Context, v volume.Ref, connector map[string]any) error
}

// Reporter tells about the backend.
type Reporter interface {
	// Stats returns the capacity and abilities of the backend. A backend that
	// does not answer is no error: its BackendState is down and Reason says why.
	Stats(ctx context.Context) (volume.Capabilities, error)
	// Ping checks, within the deadlines of the control connection, that the
	// backend serves this client. Kind: Unavailable, with what is away.
	Ping(ctx context.Context) error
	// Addrs returns the addresses (ip:port/nonce) under which the backend
	// knows this process.
	Addrs() []string
}

// Progress receives how far a method has come, in percent from 0 to 100. It may
// be called from any thread, also with what it was called with before, as a sign
// of life, and must return at once. It may be nil.
type Progress func(percent int)

// As returns d, or the first driver below its decorators, that is a T. A
// decorator shows what is below it with a method Unwrap() Driver.
func As[T any](d Driver) (T, bool) {
	for d != nil {
		if t, ok := d.(T); ok {
			return t, true
		}
		u, ok := d.(interface{ Unwrap() Driver })
		if !ok {
			break
		}
		d = u.Unwrap()
	}
	var zero T
	return zero, false
}
