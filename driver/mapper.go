package driver

import (
	"context"

	"github.com/volumed/volumed/volume"
)

// Mapper is a backend that keeps maps of what volumes and their snapshots use, by which
// it need not look.
type Mapper interface {
	// RebuildMaps makes the maps of the volume and of its snapshots valid, which they are
	// not after the volume was shared. It looks at everything that is not known, and
	// copies nothing; valid maps are left as they are. Until then the volume is as it
	// should be, but slower. A cancelled ctx interrupts it within a second, with the kind
	// Cancelled. Kinds: those of every method.
	RebuildMaps(ctx context.Context, v volume.Ref, progress Progress) error
}
