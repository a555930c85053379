package rbd

import (
	"context"

	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/crashpoint"
	"github.com/volumed/volumed/volume"
)

// emptyFrom is the size in bytes from which an image is emptied before it is
// removed: librbd removes a smaller one within two seconds, or nearly.
const emptyFrom = 4 * volume.GiB

// empty gives back what an image in the trash holds, by shrinking it to nothing.
// Its removal would do the same, but tells no progress and is deaf to ctx. What can
// not be shrunk is left to the removal.
func (d *Driver) empty(ctx context.Context, id string, progress driver.Progress) (err error) {
	size, err := d.control.size(id)
	if err != nil || size < emptyFrom {
		return err
	}
	img, err := d.openAs(d.data, id, rbd.OpenImageById)
	if fault.KindOf(err) == fault.NotFound {
		return nil // a clone whose parent is gone, or which a death has left half made
	}
	if err != nil {
		return err
	}
	defer img.close(&err)
	err = crashpoint.Around(ctx, "rbd.empty", func() error {
		return img.Resize2(0, true, rbd.Resize2ProgressCallback(step(ctx, progress)), nil)
	})
	switch kind := fault.KindOf(classify(err, "")); {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fault.New(fault.Cancelled, "interrupted, some of the space is given back: %w", ctx.Err())
	case kind == fault.Unavailable:
		return classify(err, "give the space back")
	default:
		d.log.Warn("image cannot be emptied, it is removed as it is", "image_id", id, "error", err)
		return nil
	}
}

// size returns the size in bytes of an image at its head, 0 for one without a header.
func (l *link) size(id string) (int64, error) {
	value, err := l.omapValue("rbd_header."+id, "size")
	if err != nil || value == nil {
		return 0, err
	}
	d := &decoder{rest: value}
	size := int64(d.uint64())
	if d.failed {
		return 0, errForm
	}
	return size, nil
}
