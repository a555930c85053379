package rbd

import (
	"context"
	"fmt"
	"time"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/crashpoint"
	"github.com/volumed/volumed/volume"
)

var _ driver.Mender = (*Driver)(nil)

// MendFlattened opens the image once.
func (d *Driver) MendFlattened(ctx context.Context, v volume.Ref) (err error) {
	defer fault.Wrap(&err, "look at %s", v.Name)
	leave, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	img, err := d.openClone(ctx, d.control, v, rbd.OpenImageReadOnly)
	if err != nil {
		return err
	}
	img.discard()
	return nil
}

// openClone opens an image that may be a clone whose flatten was cut off.
//
// librbd ends a flatten in three parts: it takes the clone off its parent's list;
// it removes the parent's snapshot, if that was deleted before and only lived on
// for this clone; it takes the parent out of the clone. A process that dies before
// the third leaves an image that has all of its data and that nobody can open.
func (d *Driver) openClone(ctx context.Context, l *link, v volume.Ref, how opener) (*image, error) {
	img, err := d.open(l, v, how)
	if fault.KindOf(err) != fault.NotFound {
		return img, err
	}
	ended, endErr := d.endFlatten(ctx, v)
	if endErr != nil {
		return nil, endErr
	}
	if !ended {
		return nil, err
	}
	return d.open(l, v, how)
}

// openWhole opens an image for what is not the flatten itself. One whose flatten was
// cut off is Unavailable: an operation that ends it is under way.
func (d *Driver) openWhole(l *link, v volume.Ref, how opener) (*image, error) {
	img, err := d.open(l, v, how)
	if fault.KindOf(err) != fault.NotFound {
		return img, err
	}
	if err := d.unlessSevered(v, err); fault.KindOf(err) != fault.NotFound {
		return nil, err
	}
	return d.open(l, v, how) // its flatten may have been ended between the two looks
}

// unlessSevered returns the error, that something is gone, unless it comes of a
// flatten of the image that was cut off.
func (d *Driver) unlessSevered(v volume.Ref, gone error) error {
	id, err := d.control.imageID(v.Name)
	if err != nil {
		return err
	}
	if id == "" || sameImage(v, id) != nil {
		return gone
	}
	severed, err := d.severed(id)
	if err != nil {
		return err
	}
	if !severed {
		return gone
	}
	return fault.New(fault.Unavailable, "a flatten of %s was cut off, and is ended first", v.Name).WithRetryAfter(severedRetry)
}

// severedRetry is how soon to look again whether a flatten is ended.
const severedRetry = time.Second

// endFlatten does the third part, if the second was done, and reports whether.
func (d *Driver) endFlatten(ctx context.Context, v volume.Ref) (bool, error) {
	id, err := d.control.imageID(v.Name)
	if err != nil || id == "" || sameImage(v, id) != nil {
		return false, err
	}
	return d.sever(ctx, id)
}

// sever does the third part for an image by its id.
func (d *Driver) sever(ctx context.Context, id string) (bool, error) {
	severed, err := d.severed(id)
	if err != nil || !severed {
		return false, err
	}
	d.log.Info("ending a flatten that was cut off", "image", id)
	err = crashpoint.Around(ctx, "rbd.detach_parent", func() error {
		op := rados.CreateWriteOp()
		defer op.Release()
		op.Exec("rbd", "parent_detach", nil)
		return op.Operate(d.control.io, "rbd_header."+id, rados.OperationNoFlag)
	})
	return err == nil, classify(err, "take out the parent")
}

// severed reports whether the second part was done, and the third was not.
func (d *Driver) severed(id string) (bool, error) {
	value, err := d.control.omapValue("rbd_header."+id, "parent")
	if err != nil || value == nil {
		return false, err
	}
	parent, err := decodeParent(value, d.control.io.GetPoolID())
	if err != nil || parent == nil || parent.Pool != "" { // that of another pool cannot be looked at
		return false, err
	}
	snapshot, err := d.control.omapValue("rbd_header."+parent.ImageID, fmt.Sprintf("snapshot_%016x", parent.SnapshotID))
	return err == nil && snapshot == nil, err
}
