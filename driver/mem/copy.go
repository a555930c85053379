package mem

import (
	"bytes"
	"context"
	"maps"
	"slices"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

var (
	_ driver.Copier   = (*Driver)(nil)
	_ driver.Comparer = (*Driver)(nil)
)

// Place returns a name of the world.
func (d *Driver) Place() (cluster, pool string) {
	d.world.mu.Lock()
	defer d.world.mu.Unlock()
	return "mem", d.world.pool
}

// CopyVolume copies an image to another world.
func (d *Driver) CopyVolume(
	ctx context.Context, v volume.Ref, keep []string, to driver.Driver, name string, progress driver.Progress,
) (loc volume.Location, err error) {
	defer fault.Wrap(&err, "copy %s to %s", v.Name, name)
	dest, ok := driver.As[*Driver](to)
	if !ok {
		return loc, fault.New(fault.Unsupported, "the other backend is not in memory")
	}
	if err := driver.CheckName(name); err != nil {
		return loc, err
	}
	source, gone, err := d.toCopy(ctx, v)
	if err != nil {
		return loc, err
	}
	w, err := dest.enter(ctx)
	if err != nil {
		return loc, err
	}
	defer w.mu.Unlock()
	img := w.live[name]
	switch {
	case gone && img == nil:
		return loc, fault.New(fault.NotFound, "no image of that name")
	case img == nil && w.full:
		return loc, fault.New(fault.Exhausted, "the pool is full")
	case img == nil:
		img = w.add(name, source.size)
	}
	for _, s := range source.snapshots {
		if !gone && slices.Contains(keep, s.name) && img.snapshots[s.name] == nil {
			img.snapshots[s.name] = &snapshot{of: img, id: w.next(), name: s.name, size: s.size, protected: s.protected, data: s.data}
		}
	}
	if !gone { // also what an earlier call has begun
		img.size, img.data = source.size, maps.Clone(source.data)
	}
	if progress != nil {
		progress(100)
	}
	return volume.Location{ImageID: img.id}, nil
}

// CompareCopy compares an image with one of another world.
func (d *Driver) CompareCopy(ctx context.Context, v volume.Ref, keep []string, to driver.Driver, name string, _ driver.Progress) (err error) {
	defer fault.Wrap(&err, "compare %s with %s", v.Name, name)
	dest, ok := driver.As[*Driver](to)
	if !ok {
		return fault.New(fault.Unsupported, "the other backend is not in memory")
	}
	source, gone, err := d.toCopy(ctx, v)
	if err != nil || gone {
		return err
	}
	w, err := dest.enter(ctx)
	if err != nil {
		return err
	}
	defer w.mu.Unlock()
	img := w.live[name]
	if img == nil {
		return fault.New(fault.NotFound, "no image of that name")
	}
	same := img.size == source.size && maps.EqualFunc(img.data, source.data, bytes.Equal)
	for _, s := range source.snapshots {
		made := img.snapshots[s.name]
		if slices.Contains(keep, s.name) && (made == nil || made.size != s.size || !maps.EqualFunc(made.data, s.data, bytes.Equal)) {
			same = false
		}
	}
	if !same {
		return fault.New(fault.Internal, "the copy differs")
	}
	return nil
}

// toCopy returns what there is to copy; gone tells that it is in the trash.
func (d *Driver) toCopy(ctx context.Context, v volume.Ref) (source image, gone bool, err error) {
	w, err := d.enter(ctx)
	if err != nil {
		return source, false, err
	}
	defer w.mu.Unlock()
	if img := w.trash[v.ImageID]; img != nil {
		return *img, true, nil
	}
	img, err := w.find(v)
	switch {
	case err != nil:
		return source, false, err
	case len(img.watchers) > 0:
		return source, false, fault.New(fault.Busy, "the image is open").WithBlockers(slices.Sorted(maps.Keys(img.watchers))...)
	case img.group != "":
		return source, false, fault.New(fault.Busy, "the image is a member of the group %s", img.group).WithBlockers("group " + img.group)
	}
	source = *img
	source.snapshots = maps.Clone(img.snapshots)
	return source, false, nil
}

// RemoveCopy removes an image at once.
func (d *Driver) RemoveCopy(ctx context.Context, name string) (err error) {
	defer fault.Wrap(&err, "remove the copy %s", name)
	w, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer w.mu.Unlock()
	if err := driver.CheckName(name); err != nil {
		return err
	}
	if img := w.live[name]; img != nil && len(img.watchers) > 0 {
		return fault.New(fault.Busy, "the image is open").WithBlockers(slices.Sorted(maps.Keys(img.watchers))...)
	}
	delete(w.live, name)
	return nil
}
