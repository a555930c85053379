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

var _ driver.Mapper = (*Driver)(nil)

// RebuildMaps has librbd rebuild the object maps that are flagged as invalid, over the
// data connection: those of the snapshots, and then that of the head.
func (d *Driver) RebuildMaps(ctx context.Context, v volume.Ref, progress driver.Progress) (err error) {
	defer fault.Wrap(&err, "rebuild the object maps of %s", v.Name)
	leave, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	id, snapshots, err := d.mapped(v)
	if err != nil {
		return err
	}
	callback := step(ctx, progress)
	for _, snapshot := range append(snapshots, rbd.NoSnapshot) {
		err := crashpoint.Around(ctx, "rbd.rebuild_object_map", func() error { return d.data.rebuildMap(id, snapshot, callback) })
		if cause := ctx.Err(); errno(err) == syscall.ECANCELED && cause != nil {
			return fault.New(fault.Cancelled, "interrupted: %w", cause)
		}
		if err != nil {
			return classify(err, "rebuild the object map of "+volume.SnapshotRef{Volume: v, Name: snapshot}.String())
		}
	}
	if progress != nil {
		progress(100)
	}
	return nil
}

// mapped returns the id of the image and the names of its snapshots.
func (d *Driver) mapped(v volume.Ref) (id string, snapshots []string, err error) {
	img, err := d.openWhole(d.control, v, rbd.OpenImageReadOnly)
	if err != nil {
		return "", nil, err
	}
	defer img.discard()
	all, err := img.GetSnapshotNames()
	for _, s := range all {
		snapshots = append(snapshots, s.Name)
	}
	return img.id, snapshots, classify(err, "list the snapshots")
}
