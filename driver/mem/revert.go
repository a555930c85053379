package mem

import (
	"context"
	"maps"
	"slices"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

var _ driver.Reverter = (*Driver)(nil)

// RevertToSnapshot changes the size only: volumes hold no data.
func (d *Driver) RevertToSnapshot(ctx context.Context, s volume.SnapshotRef, size int64, progress driver.Progress) (err error) {
	defer fault.Wrap(&err, "revert to %s", s)
	w, err := d.enter(ctx)
	if err != nil {
		return err
	}
	err = w.revert(s, size)
	w.mu.Unlock()
	if err == nil && progress != nil {
		progress(100)
	}
	return err
}

func (w *World) revert(s volume.SnapshotRef, size int64) error {
	if err := driver.CheckName(s.Name); err != nil {
		return err
	}
	img, err := w.find(s.Volume)
	if err != nil {
		return err
	}
	if _, err := img.snapshotFor(s.Name, size); err != nil {
		return err
	}
	switch {
	case len(img.watchers) > 0:
		return fault.New(fault.Busy, "the image is open").
			WithBlockers(slices.Sorted(maps.Keys(img.watchers))...).WithHint("detach it first")
	case w.full:
		return fault.New(fault.Exhausted, "the pool is full")
	}
	img.size = size
	return nil
}
