package driver

import (
	"context"

	"github.com/volumed/volumed/volume"
)

// Adopter is a backend on which what others have made can be taken over, and can be
// listed for that, without copying anything.
type Adopter interface {
	Inventory
	// Images returns the name and the id of every image in the pool, those in the trash
	// not among them, in no order, and reads no more than that. What is made or removed
	// meanwhile may be told or not. Kind: Unavailable.
	Images(ctx context.Context) ([]volume.Ref, error)
	// Survey tells, as Inventory does, of the images that refs name, as Images has told
	// them, in their order. Those that were removed since are left out; one that was
	// renamed or moved to the trash since may be told as it was. A cancelled ctx
	// interrupts it within the time of one call to the backend. Kind: Unavailable.
	Survey(ctx context.Context, refs []volume.Ref, deep bool) ([]volume.Image, error)
	// Depth returns how many images the volume depends on, one above the other, over
	// snapshots, the trash and other pools.
	Depth(ctx context.Context, v volume.Ref) (int, error)
	// RenameVolume is Repairer's.
	RenameVolume(ctx context.Context, v volume.Ref, to string) error
	// RenameSnapshot gives the snapshot another name. One that has it already, and not
	// the former any more, is success. Kinds: NotFound also for the snapshot; Exists for
	// a name that another snapshot of the image has; Invalid for a name.
	RenameSnapshot(ctx context.Context, s volume.SnapshotRef, to string) error
}
