package rbd

import (
	"context"

	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// RemoveCopy removes the image at once, without the trash: nobody was told of it.
func (d *Driver) RemoveCopy(ctx context.Context, name string) (err error) {
	defer fault.Wrap(&err, "remove the copy %s", name)
	leave, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := driver.CheckName(name); err != nil {
		return err
	}
	img, err := d.resume(ctx, volume.Ref{Name: name}) // which removes what cannot be opened
	if err != nil || img == nil {
		return err
	}
	err = img.unused()
	img.discard()
	if err != nil {
		return err
	}
	return d.removeCopy(ctx, name, "the volume stays where it is")
}

// removeCopy removes the snapshots, then the image. Where it dies between them a copy is
// left that says to be whole; that it lacks a snapshot tells that it is not.
func (d *Driver) removeCopy(ctx context.Context, name, why string) error {
	if err := d.dropSnapshots(ctx, name); err != nil {
		return err
	}
	return d.drop(ctx, name, why)
}

// dropSnapshots removes the snapshots of an image in the pool.
func (d *Driver) dropSnapshots(ctx context.Context, name string) (err error) {
	img, err := d.open(d.data, volume.Ref{Name: name}, rbd.OpenImage)
	if err != nil {
		return err
	}
	defer img.close(&err)
	snapshots, err := img.GetSnapshotNames()
	if err != nil {
		return classify(err, "list the snapshots")
	}
	for _, s := range snapshots {
		if err := img.removeSnapshot(ctx, s); err != nil {
			return err
		}
	}
	return nil
}
