package mem

import (
	"context"
	"errors"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

var _ driver.Adopter = (*Driver)(nil)

// Images lists the images as they were at one moment.
func (d *Driver) Images(ctx context.Context) (refs []volume.Ref, err error) {
	defer fault.Wrap(&err, "list the images")
	w, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer w.mu.Unlock()
	for _, img := range w.live {
		refs = append(refs, volume.Ref{Name: img.name, ImageID: img.id})
	}
	return refs, nil
}

// Depth counts.
func (d *Driver) Depth(ctx context.Context, v volume.Ref) (depth int, err error) {
	defer fault.Wrap(&err, "depth of %s", v.Name)
	w, err := d.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer w.mu.Unlock()
	img, err := w.find(v)
	if err != nil {
		return 0, err
	}
	return img.depth(), nil
}

// Survey tells of the images as they were at one moment.
func (d *Driver) Survey(ctx context.Context, refs []volume.Ref, deep bool) (images []volume.Image, err error) {
	defer fault.Wrap(&err, "survey %d images", len(refs))
	w, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer w.mu.Unlock()
	for _, v := range refs {
		if img := w.live[v.Name]; img != nil && img.id == v.ImageID {
			images = append(images, img.tell(deep))
		}
	}
	return images, nil
}

// RenameSnapshot gives the snapshot another name.
func (d *Driver) RenameSnapshot(ctx context.Context, s volume.SnapshotRef, to string) (err error) {
	defer fault.Wrap(&err, "rename snapshot %s to %s", s, to)
	w, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer w.mu.Unlock()
	if err := errors.Join(driver.CheckName(s.Name), driver.CheckName(to)); err != nil {
		return err
	}
	img, err := w.find(s.Volume)
	if err != nil {
		return err
	}
	snap, taken := img.snapshots[s.Name], img.snapshots[to]
	switch {
	case taken != nil && (s.Name == to || snap == nil):
		return nil
	case taken != nil:
		return fault.New(fault.Exists, "another snapshot of the image has that name")
	case snap == nil:
		return fault.New(fault.NotFound, "no such snapshot")
	}
	delete(img.snapshots, s.Name)
	snap.name, img.snapshots[to] = to, snap
	return nil
}
