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

// CreateSnapshot takes a snapshot, protected where clones are of format 1. The
// time is that of one commit of the monitors.
func (d *Driver) CreateSnapshot(ctx context.Context, s volume.SnapshotRef) (err error) {
	defer fault.Wrap(&err, "snapshot %s", s)
	leave, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := driver.CheckName(s.Name); err != nil {
		return err
	}
	img, err := d.open(d.control, s.Volume, rbd.OpenImage)
	if err != nil {
		return err
	}
	defer img.close(&err)
	err = crashpoint.Around(ctx, "rbd.create_snapshot", func() error {
		_, err := img.CreateSnapshot(s.Name)
		return err
	})
	if err != nil && errno(err) != syscall.EEXIST {
		return classify(err, "take the snapshot")
	}
	if d.cloneFormat == 1 {
		return img.protect(ctx, s.Name)
	}
	return nil
}

// protect keeps a snapshot from being removed, as clones of format 1 need it.
func (i *image) protect(ctx context.Context, name string) error {
	err := crashpoint.Around(ctx, "rbd.protect_snapshot", i.GetSnapshot(name).Protect)
	if errno(err) == syscall.EBUSY { // it is protected
		return nil
	}
	return classify(err, "protect the snapshot")
}

// DeleteSnapshot removes a snapshot, whichever format its clones have.
func (d *Driver) DeleteSnapshot(ctx context.Context, s volume.SnapshotRef) (err error) {
	defer fault.Wrap(&err, "delete snapshot %s", s)
	leave, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := driver.CheckName(s.Name); err != nil {
		return err
	}
	img, err := d.open(d.control, s.Volume, rbd.OpenImage)
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	defer img.close(&err)
	return img.dropSnapshot(ctx, s.Name)
}

// dropSnapshot removes a snapshot, unprotecting it first if it must. Kind: Busy
// while clones of format 1 depend on it.
func (i *image) dropSnapshot(ctx context.Context, name string) error {
	snap := i.GetSnapshot(name)
	err := crashpoint.Around(ctx, "rbd.remove_snapshot", snap.Remove)
	if errno(err) == syscall.EBUSY {
		if err := crashpoint.Around(ctx, "rbd.unprotect_snapshot", snap.Unprotect); errno(err) == syscall.EBUSY {
			if err := i.childless(name); err != nil {
				return err
			}
			return classify(err, "unprotect the snapshot")
		} else if code := errno(err); code != 0 && code != syscall.EINVAL && code != syscall.ENOENT {
			return classify(err, "unprotect the snapshot")
		}
		err = crashpoint.Around(ctx, "rbd.remove_snapshot", snap.Remove)
	}
	if errno(err) == syscall.ENOENT {
		return nil
	}
	return classify(err, "remove the snapshot")
}
