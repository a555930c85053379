package driver

import (
	"context"

	"github.com/volumed/volumed/volume"
)

// Inventory is a backend that tells everything it holds, whoever made it.
type Inventory interface {
	// Inventory calls each for every image in the pool and in its trash, in no
	// order, one at a time; total is how many there are, as far as is known. What
	// is made or removed meanwhile may be told or not. Images are not opened unless
	// deep, which tells their watchers and locks as well. An image that cannot be
	// read is Broken and ends nothing; an error of each ends it and is returned. A
	// cancelled ctx interrupts it within the time of one call to the backend.
	// Kind: Unavailable.
	Inventory(ctx context.Context, deep bool, each func(img volume.Image, total int) error) error
	// Inspect returns what there is now: the image with the id of v, in the pool or
	// in the trash, and the image with the name of v in the pool if that is another.
	// An empty id is that of no image, an empty name that of none. Kind: Unavailable.
	Inspect(ctx context.Context, v volume.Ref, deep bool) ([]volume.Image, error)
}

// Repairer is a backend on which more can be put right than a Driver can do.
// Each method names the image by name and id; both must fit.
type Repairer interface {
	// RenameVolume gives the volume another name. One that has it already is
	// success. Kinds: Exists for a name that is taken.
	RenameVolume(ctx context.Context, v volume.Ref, to string) error
	// RemoveSetting removes a key of the volume's metadata. One that is not there is
	// success.
	RemoveSetting(ctx context.Context, v volume.Ref, key string) error
	// RemoveLock takes the lock from whoever holds it, without shutting that client
	// out: only the caller knows that it is gone. One that is not there is success.
	// Kinds: Invalid for a lock that the backend itself manages.
	RemoveLock(ctx context.Context, v volume.Ref, lock volume.ImageLock) error
}
