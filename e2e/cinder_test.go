package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ceph/go-ceph/rbd"
	"github.com/google/uuid"

	"github.com/volumed/volumed/volume"
)

// cinder does to a pool what cinder-volume's driver for RBD does, call by call, on a
// cluster where clones are of format 1.
type cinder struct {
	t     *testing.T
	pool  *pool
	owner map[string]string // of a clone, the volume whose snapshot was taken for it
}

func newCinder(s *service) *cinder {
	s.t.Helper()
	return &cinder{s.t, openPool(s.t, s.ceph, s.pools[0]), map[string]string{}}
}

func (c *cinder) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// name is the image of a volume.
func (c *cinder) name(id string) string { return "volume-" + id }

// volume makes a volume, with data.
func (c *cinder) volume(gib uint64) string {
	c.t.Helper()
	id := uuid.NewString()
	c.pool.create(c.t, c.name(id), gib*volume.GiB)
	c.pool.write(c.t, id)
	return id
}

// protected takes a snapshot, and protects it.
func (c *cinder) protected(volumeID, name string) {
	c.t.Helper()
	c.pool.change(c.t, volumeID, func(img *rbd.Image) error {
		s, err := img.CreateSnapshot(name)
		if err != nil {
			return err
		}
		return s.Protect()
	})
}

// snapshot takes a snapshot of a volume.
func (c *cinder) snapshot(volumeID string) string {
	c.t.Helper()
	id := uuid.NewString()
	c.protected(volumeID, "snapshot-"+id)
	return id
}

// backup leaves what an incremental backup leaves.
func (c *cinder) backup(volumeID string) {
	c.t.Helper()
	c.pool.change(c.t, volumeID, func(img *rbd.Image) error {
		_, err := img.CreateSnapshot("backup." + uuid.NewString() + ".snap.1700000000.25")
		return err
	})
}

// cloneOf makes a clone of a snapshot, in another pool or in this one.
func (c *cinder) cloneOf(from *pool, image, snapshot, id string) {
	c.t.Helper()
	opts := rbd.NewRbdImageOptions()
	defer opts.Destroy()
	c.must(opts.SetUint64(rbd.ImageOptionCloneFormat, 1))
	c.must(rbd.CloneImage(from.io, image, snapshot, c.pool.io, c.name(id), opts))
}

// fromSnapshot makes a volume from a snapshot.
func (c *cinder) fromSnapshot(volumeID, snapshotID string) string {
	c.t.Helper()
	id := uuid.NewString()
	c.cloneOf(c.pool, c.name(volumeID), "snapshot-"+snapshotID, id)
	return id
}

// clone makes a volume from a volume.
func (c *cinder) clone(volumeID string) string {
	c.t.Helper()
	id := uuid.NewString()
	c.protected(volumeID, c.name(id)+".clone_snap")
	c.cloneOf(c.pool, c.name(volumeID), c.name(id)+".clone_snap", id)
	c.owner[id] = volumeID
	c.pool.change(c.t, id, func(img *rbd.Image) error { // what only the clone has
		_, err := img.WriteAt([]byte("of the clone"), 64<<20)
		return err
	})
	return id
}

// image makes an image as Glance does, in a pool of its own, and a volume from it.
func (c *cinder) image(glance *pool) string {
	c.t.Helper()
	image, id := uuid.NewString(), uuid.NewString()
	glance.create(c.t, image, volume.GiB)
	img, err := rbd.OpenImage(glance.io, image, rbd.NoSnapshot)
	c.must(err)
	s, err := img.CreateSnapshot("snap")
	c.must(err)
	c.must(errors.Join(s.Protect(), img.Close()))
	c.cloneOf(glance, image, "snap", id)
	return id
}

// delete deletes a volume: one that was cloned only gets another name, for the clones.
func (c *cinder) delete(volumeID string) {
	c.t.Helper()
	cloned := false
	for _, name := range c.pool.inspect(c.t, volumeID).snapshots {
		cloned = cloned || strings.HasSuffix(name, ".clone_snap")
	}
	if cloned {
		c.must(rbd.GetImage(c.pool.io, c.name(volumeID)).Rename(c.name(volumeID) + ".deleted"))
		return
	}
	c.must(rbd.RemoveImage(c.pool.io, c.name(volumeID)))
	if of := c.owner[volumeID]; of != "" {
		c.pool.change(c.t, of, func(img *rbd.Image) error {
			s := img.GetSnapshot(c.name(volumeID) + ".clone_snap")
			return errors.Join(s.Unprotect(), s.Remove())
		})
	}
}

// data tells every object with data in the pool, and how large it is.
func (p *pool) data(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, name := range p.objects(t, "rbd_data.") {
		stat, err := p.io.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		found[name] = fmt.Sprint(stat.Size, " ", stat.ModTime)
	}
	return found
}
