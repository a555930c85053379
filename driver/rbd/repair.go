package rbd

import (
	"context"
	"syscall"

	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/crashpoint"
	"github.com/volumed/volumed/volume"
)

var _ driver.Repairer = (*Driver)(nil)

// RemoveSetting removes a key of the image's metadata.
func (d *Driver) RemoveSetting(ctx context.Context, v volume.Ref, key string) (err error) {
	defer fault.Wrap(&err, "remove the setting %s of %s", key, v.Name)
	leave, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	img, err := d.open(d.control, v, rbd.OpenImage)
	if err != nil {
		return err
	}
	defer img.close(&err)
	err = crashpoint.Around(ctx, "rbd.remove_metadata", func() error { return img.RemoveMetadata(key) })
	if errno(err) != syscall.ENOENT {
		return classify(err, "remove the key")
	}
	return nil
}

// RemoveLock breaks the lock in the header only. librbd's own way would put the
// client on the cluster's blocklist, from which all that it has open would suffer.
func (d *Driver) RemoveLock(ctx context.Context, v volume.Ref, lock volume.ImageLock) (err error) {
	defer fault.Wrap(&err, "remove the lock %s from %s", lock, v.Name)
	leave, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if lock.Managed {
		return fault.New(fault.Invalid, "librbd takes this lock over by itself")
	}
	img, err := d.open(d.control, v, rbd.OpenImageReadOnly)
	if err != nil {
		return err
	}
	defer img.discard()
	code := 0
	err = crashpoint.Around(ctx, "rbd.break_lock", func() (err error) {
		code, err = d.control.io.BreakLock("rbd_header."+img.id, lockName, lock.Client, lock.Cookie)
		return err
	})
	if syscall.Errno(-code) == syscall.EINVAL { // which is no error to go-ceph, as ENOENT
		return fault.New(fault.Invalid, "%q is not the name of a client", lock.Client)
	}
	return classify(err, "break the lock")
}
