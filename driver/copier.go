package driver

import (
	"context"

	"github.com/volumed/volumed/volume"
)

// Copier is a backend whose volumes can be copied to another one of its kind: another
// pool, of the same cluster or of another.
type Copier interface {
	// CopyVolume makes a copy of the volume, under the name, at the backend to: its data,
	// and those of the snapshots in keep that it has. What reads as zeros takes no space,
	// and the copy depends on nothing. Settings do not come along. Nobody may write to the
	// volume meanwhile, and nothing else may have the name there: an image of that name
	// is what an earlier call has begun, and is gone on with. A volume that is in the
	// trash has been copied before, which is success. A cancelled ctx interrupts it
	// within seconds, with the kind Cancelled. Kinds: Busy with the watchers in BlockedBy
	// for a volume that is open somewhere or belongs to a group, Unsupported for a
	// backend of another kind, Exhausted.
	CopyVolume(ctx context.Context, v volume.Ref, keep []string, to Driver, name string, progress Progress) (volume.Location, error)
	// RemoveCopy removes what CopyVolume has made here under the name, whole or not, with
	// its snapshots. One that is not there is success. Kinds: Busy while it is open
	// somewhere.
	RemoveCopy(ctx context.Context, name string) error
	// Place tells where volumes are: the id of the cluster and the pool.
	Place() (cluster, pool string)
}

// Comparer is a Copier that can tell whether a copy is one.
type Comparer interface {
	// CompareCopy reads the volume and what CopyVolume has made of it, at each of the
	// snapshots in keep and as they are now, and compares them. It takes as long as the
	// reading of both, at each snapshot. Nobody may write to either meanwhile. A volume
	// that is in the trash has been compared before, which is success. A cancelled ctx
	// interrupts it within seconds, with the kind Cancelled. Kind: Internal for a copy
	// that differs, with where.
	CompareCopy(ctx context.Context, v volume.Ref, keep []string, to Driver, name string, progress Progress) error
}
