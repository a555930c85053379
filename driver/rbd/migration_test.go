package rbd

import (
	"errors"
	"fmt"
	"testing"

	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/volume"
)

// strandedWithin is how many deaths it takes at most to strand an image: one of a few does.
const strandedWithin = 100

// Why librbd's live migration is not used (decision 29): a client that dies while it
// prepares one leaves images that are in neither pool, and that none of librbd's ways
// brings back. Where this test finds no such image any more, that decision is to be
// taken anew.
func TestPreparedMigrationStrandsImages(t *testing.T) {
	env, from := fresh(t)
	to := openDriver(t, config(env, env.NewPool(t)))
	for n := range strandedWithin {
		v := create(t, from, fmt.Sprintf("volume-%d", n))
		killVictim(t, env, from, v.Name, to.cfg.Pool, func() bool {
			entry, err := from.control.trashGet(v.ImageID)
			wantKind(t, "", err)
			return entry != nil
		})
		if refusals := bringBack(t, from, to, v); refusals != nil {
			t.Logf("stranded by death %d: %v", n+1, refusals)
			return
		}
	}
	t.Errorf("librbd has brought all %d images back", strandedWithin)
}

// bringBack tries all that librbd has to bring an image back to its pool, or on to the
// other, and returns why nothing did; nil if something did.
func bringBack(t *testing.T, from, to *Driver, v volume.Ref) (refusals error) {
	t.Helper()
	opts := rbd.NewRbdImageOptions()
	defer opts.Destroy()
	for _, try := range []func() error{
		func() error { return rbd.MigrationAbort(from.control.io, v.Name) },
		func() error { return rbd.MigrationAbort(to.control.io, v.Name) },
		func() error { return rbd.TrashRestore(from.control.io, v.ImageID, v.Name) },
		func() error { return rbd.MigrationPrepare(from.control.io, v.Name, to.control.io, v.Name, opts) },
		func() error { return rbd.MigrationCommit(to.control.io, v.Name) },
		func() error { // the destination, where it is half made, holds nothing yet
			return errors.Join(rbd.RemoveImage(to.control.io, v.Name), rbd.MigrationAbort(from.control.io, v.Name))
		},
	} {
		id, err := from.control.imageID(v.Name)
		wantKind(t, "", err)
		if id == v.ImageID {
			return nil
		}
		if err = try(); err == nil {
			return nil
		}
		refusals = errors.Join(refusals, err)
	}
	return refusals
}
