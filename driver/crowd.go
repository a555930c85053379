package driver

import (
	"context"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// ErrTooManySnapshots is in the chain of the error for a snapshot that would be one more
// than a volume may have.
var ErrTooManySnapshots = fault.New(fault.Exhausted, "the volume has as many snapshots as it may have")

// Crowded is a backend where a snapshot that was removed stays, hidden, for as long as
// clones depend on it, and costs what others cost.
type Crowded interface {
	// HeldSnapshots tells how many snapshots the volume has, hidden ones too, and,
	// if these are at least so many, which clones hold the hidden ones: those of the
	// oldest first. What a clone holds that lies in the trash or in another pool is left
	// out. It changes nothing.
	HeldSnapshots(ctx context.Context, v volume.Ref, from int) (total int, held [][]volume.Ref, err error)
}
