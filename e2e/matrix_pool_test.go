package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"
	"github.com/google/uuid"

	"github.com/volumed/volumed/internal/testenv"
	"github.com/volumed/volumed/volume"
)

// pool looks at a pool from outside of the service, and does to it what a death
// inside librbd would have left.
type pool struct {
	io *rados.IOContext
}

func openPool(t *testing.T, ceph *testenv.CephEnv, name string) *pool {
	t.Helper()
	conn, err := rados.NewConnWithUser("admin")
	if err == nil {
		err = errors.Join(conn.ReadConfigFile(ceph.Conf), conn.Connect())
	}
	if err != nil {
		t.Fatal(err)
	}
	io, err := conn.OpenIOContext(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { io.Destroy(); conn.Shutdown() })
	return &pool{io}
}

// images returns the ids of the images by their names.
func (p *pool) images(t *testing.T) map[string]string {
	t.Helper()
	ids := map[string]string{}
	for key, value := range p.omap(t, "rbd_directory", "name_") {
		ids[key] = string(value[4:]) // after its length
	}
	return ids
}

// trash returns the entries of the trash by image id.
func (p *pool) trash(t *testing.T) map[string][]byte {
	t.Helper()
	return p.omap(t, "rbd_trash", "id_")
}

func (p *pool) omap(t *testing.T, object, prefix string) map[string][]byte {
	t.Helper()
	values := map[string][]byte{}
	for after, more := "", true; more; {
		const page = 1000 // an OSD gives no more than 1024
		n := 0
		err := p.io.ListOmapValues(object, after, prefix, page, func(key string, value []byte) {
			values[strings.TrimPrefix(key, prefix)] = value
			n, after = n+1, key
		})
		if err != nil && !errors.Is(err, rados.ErrNotFound) {
			t.Fatalf("%s: %v", object, err)
		}
		more = n == page
	}
	return values
}

// objects returns the names of the objects that begin so.
func (p *pool) objects(t *testing.T, prefixes ...string) (names []string) {
	t.Helper()
	err := p.io.ListObjects(func(name string) {
		for _, prefix := range prefixes {
			if strings.HasPrefix(name, prefix) {
				names = append(names, name)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// existing returns those of the objects that are there. Others are listed as long as the
// OSDs have not removed what snapshots had of them, which they do in their own time.
func (p *pool) existing(t *testing.T, names []string) (there []string) {
	t.Helper()
	for _, name := range names {
		if _, err := p.io.Stat(name); err == nil {
			there = append(there, name)
		} else if !errors.Is(err, rados.ErrNotFound) {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return there
}

// image is what an image says of itself.
type image struct {
	size      uint64
	parent    string // image id; empty for none
	snapshots []string
	watchers  []string
}

func (p *pool) inspect(t *testing.T, volumeID string) (i image) {
	t.Helper()
	img, err := rbd.OpenImageReadOnly(p.io, "volume-"+volumeID, rbd.NoSnapshot)
	if err != nil {
		t.Fatalf("open %s: %v", volumeID, err)
	}
	defer img.Close()
	size, sizeErr := img.GetSize()
	parent, parentErr := img.GetParent()
	if parentErr == nil {
		i.parent = parent.Image.ImageID
	} else if errors.Is(parentErr, rbd.ErrNotFound) {
		parentErr = nil
	}
	snapshots, snapErr := img.GetSnapshotNames()
	watchers, watchErr := img.ListWatchers()
	if err := errors.Join(sizeErr, parentErr, snapErr, watchErr); err != nil {
		t.Fatalf("inspect %s: %v", volumeID, err)
	}
	i.size = size
	for _, s := range snapshots {
		if kind, err := img.GetSnapNamespaceType(s.Id); err == nil && kind == rbd.SnapNamespaceTypeUser {
			i.snapshots = append(i.snapshots, s.Name)
		}
	}
	for _, w := range watchers {
		i.watchers = append(i.watchers, w.Addr)
	}
	return i
}

// depth counts the images that a volume depends on, one above the other. All of them
// are of the service.
func (p *pool) depth(t *testing.T, volumeID string) (depth int) {
	t.Helper()
	img, err := rbd.OpenImageReadOnly(p.io, "volume-"+volumeID, rbd.NoSnapshot)
	for ; err == nil; depth++ {
		var parent *rbd.ParentInfo
		if parent, err = img.GetParent(); err != nil {
			_ = img.Close()
			break
		}
		_ = img.Close()
		if img, err = rbd.OpenImageByIdReadOnly(p.io, parent.Image.ImageID, rbd.NoSnapshot); err == nil {
			err = img.SetSnapByID(parent.Snap.ID)
		}
	}
	if !errors.Is(err, rbd.ErrNotFound) {
		t.Fatalf("depth of %s: %v", volumeID, err)
	}
	return depth
}

// change opens an image for f.
func (p *pool) change(t *testing.T, volumeID string, f func(*rbd.Image) error) {
	t.Helper()
	p.changeImage(t, "volume-"+volumeID, f)
}

func (p *pool) changeImage(t *testing.T, name string, f func(*rbd.Image) error) {
	t.Helper()
	img, err := rbd.OpenImage(p.io, name, rbd.NoSnapshot)
	if err == nil {
		err = errors.Join(f(img), img.Close())
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// create makes an image, as others do.
func (p *pool) create(t *testing.T, name string, size uint64) {
	t.Helper()
	opts := rbd.NewRbdImageOptions()
	defer opts.Destroy()
	if err := rbd.CreateImage(p.io, name, size, opts); err != nil {
		t.Fatalf("create %s: %v", name, err)
	}
}

// What volumes hold, and the images that they are made of, in three places.
const (
	original = "some data"
	other    = "else data"
)

// write writes something into three objects of a volume.
func (p *pool) write(t *testing.T, volumeID string) {
	t.Helper()
	p.fill(t, volumeID, original)
}

// overwrite writes something else where write has written.
func (p *pool) overwrite(t *testing.T, volumeID string) {
	t.Helper()
	p.fill(t, volumeID, other)
}

func (p *pool) fill(t *testing.T, volumeID, content string) {
	t.Helper()
	p.change(t, volumeID, func(img *rbd.Image) (err error) {
		for n := range int64(3) {
			_, werr := img.WriteAt([]byte(content), n*8<<20)
			err = errors.Join(err, werr)
		}
		return err
	})
}

// written sees that a volume holds what write has written.
func (p *pool) written(t *testing.T, volumeID string) {
	t.Helper()
	if content := p.content(t, volumeID); content != original {
		t.Errorf("volume %s holds %q", volumeID, content)
	}
}

// content returns what a volume holds in each of the three places: zeros, if nobody has
// written there. It is in all of them the same, unless somebody died while he wrote.
func (p *pool) content(t *testing.T, volumeID string) string {
	t.Helper()
	img, err := rbd.OpenImageReadOnly(p.io, "volume-"+volumeID, rbd.NoSnapshot)
	if err != nil {
		t.Fatalf("open %s: %v", volumeID, err)
	}
	defer img.Close()
	var found [3]string
	for n := range found {
		data := make([]byte, len(original))
		if _, err := img.ReadAt(data, int64(n)*8<<20); err != nil {
			t.Fatalf("read %s: %v", volumeID, err)
		}
		found[n] = string(data)
	}
	if found[1] != found[0] || found[2] != found[0] {
		t.Errorf("volume %s holds %q", volumeID, found)
	}
	return found[0]
}

// stray takes a snapshot as a clone would that did not remove it.
func (p *pool) stray(t *testing.T, volumeID string) {
	t.Helper()
	p.change(t, volumeID, func(img *rbd.Image) error {
		_, err := img.CreateSnapshot("volumed-clone-" + uuid.NewString())
		return err
	})
}

// unstray removes such snapshots.
func (p *pool) unstray(t *testing.T, volumeID string) {
	t.Helper()
	for _, name := range p.inspect(t, volumeID).snapshots {
		if strings.HasPrefix(name, "volumed-clone-") {
			p.change(t, volumeID, func(img *rbd.Image) error { return img.GetSnapshot(name).Remove() })
		}
	}
}

// volumeID is the volume, or the snapshot, that the cell's operation is about.
func (c *cell) volumeID() string {
	c.t.Helper()
	return c.strings("SELECT resource_id FROM operations WHERE request_id = $1", c.requestID)[0]
}

// leaveName leaves the first thing that librbd makes of an image.
func (c *cell) leaveName() {
	c.t.Helper()
	ids := c.strings("SELECT resource_id FROM operations WHERE method = $1 AND finished_at IS NULL", c.point.method())
	c.must(c.pool.io.WriteFull("rbd_id.volume-"+ids[0], encoded("0123456789ab")))
}

// encoded is a string as Ceph stores it.
func encoded(s string) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(s))), s...)
}

// leaveEmpty leaves an image that has no parent yet.
func (c *cell) leaveEmpty() {
	c.t.Helper()
	opts := rbd.NewRbdImageOptions()
	defer opts.Destroy()
	c.must(rbd.CreateImage(c.pool.io, "volume-"+c.volumeID(), volume.GiB, opts))
}

// leaveHalf leaves an image without the last thing that librbd makes of one.
func (c *cell) leaveHalf() {
	c.t.Helper()
	c.leaveEmpty()
	c.must(c.pool.io.Delete("rbd_object_map." + c.pool.images(c.t)["volume-"+c.volumeID()]))
}

// leaveHalfCopy leaves the same at the other backend.
func (c *cell) leaveHalfCopy() {
	c.t.Helper()
	here := c.pool
	defer func() { c.pool = here }()
	c.pool = c.pools[1]
	c.leaveHalf()
}

// leaveHidden leaves an image that librbd was about to remove: it has no name any
// more, and its entry in the trash is not complete.
func (c *cell) leaveHidden() {
	c.t.Helper()
	c.leaveEmpty()
	c.must(rbd.GetImage(c.pool.io, "volume-"+c.volumeID()).Trash(0))
	c.leaveMoving()
	for id, entry := range c.pool.trash(c.t) {
		const header, removing = 6, 3
		entry[header] = removing
		c.must(c.pool.io.SetOmap("rbd_trash", map[string][]byte{"id_" + id: entry}))
	}
}

// leaveListed leaves the same an instant earlier, when the directory had it still.
func (c *cell) leaveListed() {
	c.t.Helper()
	c.leaveHidden()
	name := "volume-" + c.volumeID()
	for id := range c.pool.trash(c.t) {
		c.must(c.pool.io.SetOmap("rbd_directory", map[string][]byte{"name_" + name: encoded(id), "id_" + id: encoded(name)}))
	}
}

// leaveDetached leaves a clone that is flattened and does not know it.
func (c *cell) leaveDetached() {
	c.t.Helper()
	header := "rbd_header." + c.pool.images(c.t)["volume-"+c.volumeID()]
	before := c.pool.omap(c.t, header, "")
	c.pool.change(c.t, c.volumeID(), func(img *rbd.Image) error { return img.Flatten() })
	c.must(c.pool.io.SetOmap(header, before))
}

// leaveUnmapped leaves a snapshot without the last thing that librbd makes of one.
func (c *cell) leaveUnmapped() {
	c.t.Helper()
	image := c.pool.images(c.t)["volume-"+c.sourceID]
	c.pool.change(c.t, c.sourceID, func(img *rbd.Image) error {
		id, err := img.GetSnapID("snapshot-" + c.volumeID())
		if err != nil {
			return err
		}
		return c.pool.io.Delete(fmt.Sprintf("rbd_object_map.%s.%016x", image, id))
	})
}

// leaveMoving leaves an entry in the trash that is not complete.
func (c *cell) leaveMoving() {
	c.t.Helper()
	for id, entry := range c.pool.trash(c.t) {
		const header, source, times = 6, 1, 16
		name := 4 + int(binary.LittleEndian.Uint32(entry[header+source:]))
		entry[header+source+name+times] = 1
		c.must(c.pool.io.SetOmap("rbd_trash", map[string][]byte{"id_" + id: entry}))
	}
}

// behead leaves nothing of the image but the first thing that librbd makes.
func (c *cell) behead() {
	c.t.Helper()
	name := "volume-" + c.doomed
	id := c.pool.images(c.t)[name]
	c.must(c.pool.io.Delete("rbd_header." + id))
	c.must(c.pool.io.RmOmapKeys("rbd_directory", []string{"name_" + name, "id_" + id}))
}

// leaveTwoNames leaves the first thing that librbd does to rename an image.
func (c *cell) leaveTwoNames() {
	c.t.Helper()
	c.must(c.pool.io.WriteFull("rbd_id.volume-"+c.volumeID(), encoded(c.pool.images(c.t)[theirs])))
}

// unprotect makes of the snapshot one that was taken for clones of format 2.
func (c *cell) unprotect() {
	c.t.Helper()
	c.pool.change(c.t, c.sourceID, func(img *rbd.Image) error {
		return img.GetSnapshot("snapshot-" + c.snapshotID).Unprotect()
	})
}

func (c *cell) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}
