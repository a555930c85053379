package rbd

import (
	"syscall"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// shallow refuses, with driver.ErrTooDeep, a clone that would be deeper than its spec
// allows, and returns what is known of its source then: a flatten may have shortened
// the chain since it was read.
func (d *Driver) shallow(v volume.Spec, from volume.SnapshotRef, src source) (source, error) {
	if v.MaxDepth <= 0 || src.depth < v.MaxDepth {
		return src, nil
	}
	d.sources.forget(from)
	src, err := d.source(from)
	if err == nil && src.depth >= v.MaxDepth {
		err = fault.New(fault.Conflict, "%s depends on %d images, one above the other: %w", from, src.depth, driver.ErrTooDeep).
			WithHint("flatten that volume, or raise rbd_max_clone_depth")
	}
	return src, err
}

// depth returns how many images the image depends on, one above the other, as it is
// set to its head or a snapshot. Whoever opens an image opens all of these, so nothing
// is asked here that the cluster would not tell.
func (i *image) depth() (int, error) {
	parent, err := i.parentInfo()
	for depth := 0; ; depth++ {
		if err != nil || parent == nil {
			return depth, err
		}
		parent, err = i.d.parentOf(parent)
	}
}

// parentInfo returns what the image is a clone of, nil for none.
func (i *image) parentInfo() (*rbd.ParentInfo, error) {
	parent, err := i.GetParent()
	if errno(err) == syscall.ENOENT {
		return nil, nil
	}
	return parent, classify(err, "read the parent")
}

// parentOf returns the parent of a parent, nil for none.
func (d *Driver) parentOf(p *rbd.ParentInfo) (*rbd.ParentInfo, error) {
	io, done, err := d.poolOf(p)
	if err != nil {
		return nil, err
	}
	defer done()
	raw, err := rbd.OpenImageByIdReadOnly(io, p.Image.ImageID, rbd.NoSnapshot)
	if err != nil {
		return nil, unreadable(err, "open the parent")
	}
	d.handles.Add(1)
	img := &image{Image: raw, d: d, id: p.Image.ImageID}
	defer img.discard()
	if err := img.SetSnapByID(p.Snap.ID); err != nil { // which the trash may have, without its name
		return nil, unreadable(err, "read the snapshot of the parent")
	}
	return img.parentInfo()
}

// poolOf returns where a parent is.
func (d *Driver) poolOf(p *rbd.ParentInfo) (io *rados.IOContext, done func(), err error) {
	if int64(p.Image.PoolID) == d.control.io.GetPoolID() && p.Image.PoolNamespace == "" {
		return d.control.io, func() {}, nil
	}
	io, err = d.control.conn.OpenIOContext(p.Image.PoolName)
	if err != nil {
		return nil, nil, unreadable(err, "open the pool "+p.Image.PoolName)
	}
	io.SetNamespace(p.Image.PoolNamespace)
	return io, io.Destroy, nil
}

// unreadable is the error of a parent that was there a moment ago: a flatten has ended
// between two looks, or the cluster is away.
func unreadable(err error, doing string) error {
	return fault.New(fault.Unavailable, "%w", classify(err, doing)).WithRetryAfter(severedRetry)
}
