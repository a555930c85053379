package mem

import (
	"context"
	"errors"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// CreateSnapshot takes a snapshot.
func (d *Driver) CreateSnapshot(ctx context.Context, s volume.SnapshotRef) (err error) {
	defer fault.Wrap(&err, "snapshot %s", s)
	w, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer w.mu.Unlock()
	if err := driver.CheckName(s.Name); err != nil {
		return err
	}
	img, err := w.find(s.Volume)
	if err != nil {
		return err
	}
	switch {
	case img.snapshots[s.Name] != nil:
	case w.full:
		return fault.New(fault.Exhausted, "the pool is full")
	default:
		img.snapshots[s.Name] = &snapshot{of: img, id: w.next(), name: s.Name, size: img.size, data: img.data}
	}
	return nil
}

// DeleteSnapshot removes a snapshot.
func (d *Driver) DeleteSnapshot(ctx context.Context, s volume.SnapshotRef) (err error) {
	defer fault.Wrap(&err, "delete snapshot %s", s)
	w, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer w.mu.Unlock()
	if err := driver.CheckName(s.Name); err != nil {
		return err
	}
	img, err := w.find(s.Volume)
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	snap := img.snapshots[s.Name]
	bound := w.childrenOf(img, func(c *image) bool { return c.parent == snap && c.format == 1 })
	if len(bound) > 0 {
		return fault.New(fault.Busy, "clones of format 1 depend on it").WithBlockers(bound...).
			WithHint("flatten or delete the clones first")
	}
	delete(img.snapshots, s.Name)
	return nil
}

// CreateVolumeFromSnapshot makes a clone.
func (d *Driver) CreateVolumeFromSnapshot(ctx context.Context, v volume.Spec, from volume.SnapshotRef) (loc volume.Location, err error) {
	defer fault.Wrap(&err, "clone %s to %s", from, v.Name)
	w, err := d.enter(ctx)
	if err != nil {
		return loc, err
	}
	defer w.mu.Unlock()
	if err := errors.Join(driver.CheckSize(v.Size), driver.CheckName(from.Name)); err != nil {
		return loc, err
	}
	source, err := w.find(from.Volume)
	if err != nil {
		return loc, err
	}
	snap := &snapshot{of: source} // whichever the earlier attempt cloned
	if !v.Repeat || w.live[v.Name] == nil {
		if snap, err = source.snapshotFor(from.Name, v.Size); err != nil {
			return loc, err
		}
	}
	if w.live[v.Name] == nil && v.MaxDepth > 0 && source.depth() >= v.MaxDepth {
		return loc, driver.ErrTooDeep
	}
	img, err := w.claim(v, snap)
	if err != nil {
		return loc, err
	}
	return volume.Location{ImageID: img.id, Depth: img.depth()}, nil
}

// depth returns how many images the image depends on, one above the other.
func (i *image) depth() (depth int) {
	for i.parent != nil {
		depth, i = depth+1, i.parent.of
	}
	return depth
}

// snapshotFor returns the snapshot for a clone of the given size.
func (i *image) snapshotFor(name string, size int64) (*snapshot, error) {
	snap := i.snapshots[name]
	switch {
	case snap == nil:
		return nil, fault.New(fault.NotFound, "no such snapshot")
	case size < snap.size:
		return nil, fault.New(fault.Invalid, "size is %d GiB, the snapshot has %d", size, snap.size).WithField("size")
	}
	return snap, nil
}

// FlattenVolume ends the dependence on the parent in ten steps of progress.
func (d *Driver) FlattenVolume(ctx context.Context, v volume.Ref, progress driver.Progress) (err error) {
	defer fault.Wrap(&err, "flatten %s", v.Name)
	for percent := 0; percent <= 100; percent += 10 {
		clone, err := d.flattenStep(ctx, v, percent == 100)
		if err != nil {
			return err
		}
		if progress != nil {
			progress(percent)
		}
		if !clone {
			return nil
		}
	}
	return nil
}

// flattenStep reports whether the image is a clone, which the last step ends.
func (d *Driver) flattenStep(ctx context.Context, v volume.Ref, last bool) (bool, error) {
	w, err := d.enter(ctx)
	if err != nil {
		return false, err
	}
	defer w.mu.Unlock()
	img, err := w.find(v)
	if err != nil {
		return false, err
	}
	clone := img.parent != nil
	if clone && w.full {
		return false, fault.New(fault.Exhausted, "the pool is full")
	}
	if last {
		img.parent = nil
	}
	return clone, nil
}
