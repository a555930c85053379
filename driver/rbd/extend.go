package rbd

import (
	"context"

	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/crashpoint"
	"github.com/volumed/volumed/volume"
)

// ExtendVolume grows the image. Clients that have it open learn of it at once.
func (d *Driver) ExtendVolume(ctx context.Context, v volume.Ref, size int64) (err error) {
	defer fault.Wrap(&err, "extend %s to %d GiB", v.Name, size)
	leave, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := driver.CheckSize(size); err != nil {
		return err
	}
	img, err := d.openWhole(d.control, v, rbd.OpenImage)
	if err != nil {
		return err
	}
	defer img.close(&err)
	return img.grow(ctx, size)
}

// grow gives the image a size in GiB that is not below its own.
func (i *image) grow(ctx context.Context, size int64) error {
	now, err := i.GetSize()
	if err != nil {
		return classify(err, "read the size")
	}
	wanted := uint64(size) * volume.GiB
	switch {
	case now == wanted:
		return nil
	case now > wanted:
		return fault.New(fault.Invalid, "the image has %d bytes already: volumes never shrink", now).WithField("size")
	}
	err = crashpoint.Around(ctx, "rbd.resize", func() error {
		return i.Resize2(wanted, false, func(uint64, uint64, any) int { return 0 }, nil)
	})
	return classify(err, "resize")
}
