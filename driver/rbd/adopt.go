package rbd

import (
	"context"
	"errors"
	"slices"
	"syscall"

	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/crashpoint"
	"github.com/volumed/volumed/volume"
)

var _ driver.Adopter = (*Driver)(nil)

// Images lists the directory of the pool.
func (d *Driver) Images(ctx context.Context) (refs []volume.Ref, err error) {
	defer fault.Wrap(&err, "list the images of pool %s", d.cfg.Pool)
	leave, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	err = d.control.eachID(ctx, directory, func(id string, value []byte) {
		if name, _, ok := cutString(value); ok {
			refs = append(refs, volume.Ref{Name: name, ImageID: id})
		}
	})
	return refs, err
}

// Depth opens the image, which opens all that it depends on. It mends nothing: the image may
// be somebody else's.
func (d *Driver) Depth(ctx context.Context, v volume.Ref) (depth int, err error) {
	defer fault.Wrap(&err, "depth of %s", v.Name)
	leave, err := d.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	img, err := d.open(d.control, v, rbd.OpenImageReadOnly)
	if err != nil {
		return 0, err
	}
	defer img.discard()
	return img.depth()
}

// Survey reads the headers of the images, several at once.
func (d *Driver) Survey(ctx context.Context, refs []volume.Ref, deep bool) (images []volume.Image, err error) {
	defer fault.Wrap(&err, "survey %d images of pool %s", len(refs), d.cfg.Pool)
	leave, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	places := make([]int, len(refs))
	for i := range places {
		places[i] = i
	}
	found := make([]*volume.Image, len(refs))
	err = inParallel(ctx, readers, places,
		func(at int) (struct{}, error) {
			img, err := d.survey(volume.Image{ID: refs[at].ImageID, Name: refs[at].Name}, deep)
			found[at] = img
			return struct{}{}, err
		},
		func(struct{}) error { return nil })
	for _, img := range found {
		if img != nil {
			images = append(images, *img)
		}
	}
	return images, err
}

// RenameSnapshot renames the snapshot. Clients that have the image open learn of it.
func (d *Driver) RenameSnapshot(ctx context.Context, s volume.SnapshotRef, to string) (err error) {
	defer fault.Wrap(&err, "rename snapshot %s to %s", s, to)
	leave, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := errors.Join(driver.CheckName(s.Name), driver.CheckName(to)); err != nil {
		return err
	}
	img, err := d.openWhole(d.control, s.Volume, rbd.OpenImage)
	if err != nil {
		return err
	}
	defer img.close(&err)
	renamed, err := img.isRenamed(s.Name, to)
	if err != nil || renamed {
		return err
	}
	err = crashpoint.Around(ctx, "rbd.rename_snapshot", func() error { return img.GetSnapshot(s.Name).Rename(to) })
	if errno(err) == syscall.EEXIST {
		return snapshotNameTaken()
	}
	return classify(err, "rename the snapshot")
}

// isRenamed reports whether the snapshot has the new name. Kinds: NotFound, Exists.
func (i *image) isRenamed(from, to string) (bool, error) {
	snapshots, err := i.snapshots()
	if err != nil {
		return false, err
	}
	has := func(name string) bool {
		return slices.ContainsFunc(snapshots, func(s volume.ImageSnapshot) bool { return s.Name == name })
	}
	switch {
	case has(to) && (from == to || !has(from)):
		return true, nil
	case has(to):
		return false, snapshotNameTaken()
	case !has(from):
		return false, fault.New(fault.NotFound, "no such snapshot")
	}
	return false, nil
}

func snapshotNameTaken() error {
	return fault.New(fault.Exists, "another snapshot of the image has that name")
}
