package driver

import (
	"context"

	"github.com/volumed/volumed/volume"
)

// Reverter is a backend whose volumes can go back to a snapshot.
type Reverter interface {
	// RevertToSnapshot gives the volume the content that it had when the snapshot was
	// taken, whichever of its snapshots that is, and the size in GiB: what is beyond
	// the size of the snapshot is empty. All snapshots stay, and so do their clones.
	//
	// It refuses before it has changed anything, with the kinds NotFound for the volume
	// or the snapshot, Busy with the watchers in BlockedBy for a volume that is open
	// somewhere, Invalid for a size below the snapshot's, Conflict, and Unsupported for
	// a snapshot that shares data with a parent which the volume does not share with
	// any more. After any other error, and while it is under way, the content is
	// undefined, and repeating it is the cure. A ctx that ends interrupts it within a
	// second, with the kind Cancelled.
	RevertToSnapshot(ctx context.Context, s volume.SnapshotRef, size int64, progress Progress) error
}
