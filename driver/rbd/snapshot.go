package rbd

import (
	"context"
	"fmt"
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
	unlock, err := d.snapshots.lock(ctx, s.Volume.ImageID)
	if err != nil {
		return err
	}
	defer unlock()
	img, err := d.openWhole(d.control, s.Volume, rbd.OpenImage)
	if err != nil {
		return err
	}
	defer img.close(&err)
	if err := img.hasRoom(s.Name); err != nil {
		return err
	}
	err = img.takeSnapshot(ctx, s.Name)
	if errno(err) == syscall.EEXIST {
		err = img.retakeSnapshot(ctx, s.Name)
	}
	if err != nil {
		return classify(err, "take the snapshot")
	}
	if d.cloneFormat == 1 {
		return img.protect(ctx, s.Name)
	}
	return nil
}

// takeSnapshot returns the error of librbd as it is.
func (i *image) takeSnapshot(ctx context.Context, name string) error {
	return crashpoint.Around(ctx, "rbd.create_snapshot", func() error {
		_, err := i.CreateSnapshot(name)
		return err
	})
}

// retakeSnapshot takes a snapshot anew that an earlier attempt has left without its
// object map, the last thing that librbd makes of one: it could be read, but not
// cloned. One that is whole counts.
func (i *image) retakeSnapshot(ctx context.Context, name string) error {
	whole, err := i.snapshotComplete(name)
	if err != nil || whole {
		return err
	}
	i.d.log.Info("removing a half-made snapshot of an earlier attempt", "image", i.id, "snapshot", name)
	if err := i.dropSnapshot(ctx, name); err != nil {
		return err
	}
	return i.takeSnapshot(ctx, name)
}

// snapshotComplete reports whether the object map of a snapshot is there.
func (i *image) snapshotComplete(name string) (bool, error) {
	features, err := i.GetFeatures()
	if err != nil {
		return false, classify(err, "read the features")
	}
	if features&rbd.FeatureObjectMap == 0 {
		return true, nil
	}
	id, err := i.GetSnapID(name)
	if err != nil {
		return false, classify(err, "read the snapshot")
	}
	return i.d.control.hasContent(fmt.Sprintf("rbd_object_map.%s.%016x", i.id, id))
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
	unlock, err := d.snapshots.lock(ctx, s.Volume.ImageID)
	if err != nil {
		return err
	}
	defer unlock()
	img, err := d.openWhole(d.control, s.Volume, rbd.OpenImage)
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
