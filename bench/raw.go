package main

import (
	"fmt"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"
)

// raw is librbd without anything around it: the floor.
type raw struct {
	conn *rados.Conn
	io   *rados.IOContext
}

func openRaw(c *cluster, pool string) (*raw, error) {
	conn, err := rados.NewConnWithUser("volumed")
	if err != nil {
		return nil, err
	}
	if err := conn.ReadConfigFile(c.conf); err != nil {
		return nil, err
	}
	if err := conn.Connect(); err != nil {
		return nil, err
	}
	io, err := conn.OpenIOContext(pool)
	if err != nil {
		conn.Shutdown()
		return nil, err
	}
	return &raw{conn, io}, nil
}

func (r *raw) close() {
	r.io.Destroy()
	r.conn.Shutdown()
}

const gib = 1 << 30

// defaultFeatures are those of a new image in Ceph: layering, exclusive-lock,
// object-map, fast-diff, deep-flatten.
const defaultFeatures = 61

func imageOptions() (*rbd.ImageOptions, error) {
	opts := rbd.NewRbdImageOptions()
	if err := opts.SetUint64(rbd.ImageOptionFeatures, defaultFeatures); err != nil {
		return nil, err
	}
	return opts, opts.SetUint64(rbd.ImageOptionOrder, 22)
}

func (r *raw) create(name string) error {
	opts, err := imageOptions()
	if err != nil {
		return err
	}
	defer opts.Destroy()
	return rbd.CreateImage(r.io, name, gib, opts)
}

// trash does what a careful delete has to do: see that nobody uses the image,
// and put it into the trash.
func (r *raw) trash(name string) error {
	img, err := rbd.OpenImageReadOnly(r.io, name, rbd.NoSnapshot)
	if err != nil {
		return err
	}
	watchers, err := img.ListWatchers()
	if closeErr := img.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	if len(watchers) > 0 {
		return fmt.Errorf("%s has watchers", name)
	}
	return rbd.GetImage(r.io, name).Trash(0)
}

// open opens an image for f.
func (r *raw) open(name string, f func(*rbd.Image) error) error {
	img, err := rbd.OpenImage(r.io, name, rbd.NoSnapshot)
	if err != nil {
		return err
	}
	err = f(img)
	if closeErr := img.Close(); err == nil {
		err = closeErr
	}
	return err
}

// snapshot takes a snapshot.
func (r *raw) snapshot(name, snapshot string) error {
	return r.open(name, func(img *rbd.Image) error {
		_, err := img.CreateSnapshot(snapshot)
		return err
	})
}

// extend grows an image to a size in GiB.
func (r *raw) extend(name string, size uint64) error {
	return r.open(name, func(img *rbd.Image) error { return img.Resize(size * gib) })
}

// clone makes a clone of format 2.
func (r *raw) clone(parent, snapshot, name string) error {
	opts, err := imageOptions()
	if err != nil {
		return err
	}
	defer opts.Destroy()
	if err := opts.SetUint64(rbd.ImageOptionCloneFormat, 2); err != nil {
		return err
	}
	return rbd.CloneImage(r.io, parent, snapshot, r.io, name, opts)
}

// cloneMany makes clones from one snapshot taken before, as fast as librbd goes: the
// taking of the snapshot is not counted.
func (r *raw) cloneMany(parent string, run int) (float64, error) {
	snapshot := fmt.Sprintf("s%d", run)
	if err := r.snapshot(parent, snapshot); err != nil {
		return 0, err
	}
	return parallel(atOnce, rawJobs, func(i int) error { return r.clone(parent, snapshot, fmt.Sprintf("%s-clone-%d-%d", parent, run, i)) })
}
