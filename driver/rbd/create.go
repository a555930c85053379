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

// CreateVolume makes an image with the cluster's default features. With Repeat,
// one that is there counts if its size and object size fit and it is no clone;
// one that is only half made is removed first.
func (d *Driver) CreateVolume(ctx context.Context, v volume.Spec) (loc volume.Location, err error) {
	defer fault.Wrap(&err, "create %s", v.Name)
	leave, err := d.enter(ctx)
	if err != nil {
		return loc, err
	}
	defer leave()
	if err := checkSpec(v); err != nil {
		return loc, err
	}
	if v.Repeat {
		if id, err := d.resumeEmpty(ctx, v); err != nil || id != "" {
			return volume.Location{ImageID: id}, err
		}
	}
	opts, err := d.options(d.cfg.order())
	if err != nil {
		return loc, err
	}
	defer opts.Destroy()
	err = crashpoint.Around(ctx, "rbd.create_image", func() error {
		return rbd.CreateImage(d.control.io, v.Name, uint64(v.Size)*volume.GiB, opts)
	})
	if errno(err) == syscall.EINVAL {
		return loc, fault.New(fault.Invalid, "librbd refuses %d GiB in objects of %d MiB with features %d (%w)",
			v.Size, d.cfg.ChunkSize, d.features, err).WithField("size")
	}
	return d.created(v, err)
}

func checkSpec(v volume.Spec) error {
	if err := driver.CheckName(v.Name); err != nil {
		return err
	}
	return driver.CheckSize(v.Size)
}

// options returns the options of a new image; the caller destroys them. librbd
// writes into them, so they serve one call.
func (d *Driver) options(order uint64) (*rbd.ImageOptions, error) {
	opts := rbd.NewRbdImageOptions()
	for option, value := range map[rbd.ImageOption]uint64{
		rbd.ImageOptionFormat: 2, rbd.ImageOptionFeatures: d.features, rbd.ImageOptionOrder: order,
	} {
		if err := opts.SetUint64(option, value); err != nil {
			opts.Destroy()
			return nil, fault.New(fault.Internal, "%w", err) // such an error has no errno
		}
	}
	return opts, nil
}

// created returns where the image is that librbd just made with result err.
func (d *Driver) created(v volume.Spec, err error) (loc volume.Location, _ error) {
	switch errno(err) {
	case 0:
		loc.ImageID, err = d.control.imageID(v.Name)
		return loc, err
	case syscall.EEXIST:
		return loc, fault.New(fault.Exists, "an image of that name is there already, and this operation did not make it")
	default:
		return loc, classify(err, "make the image")
	}
}

// resumeEmpty returns the id of the image that an earlier attempt made, empty if
// it has to be made.
func (d *Driver) resumeEmpty(ctx context.Context, v volume.Spec) (string, error) {
	img, err := d.resume(ctx, v.Ref)
	if err != nil || img == nil {
		return "", err
	}
	id := img.id
	whole, err := d.fits(img, v)
	img.discard()
	if err != nil {
		return "", err
	}
	if !whole {
		return "", waited(d.drop(ctx, v.Name, "it has no object map"))
	}
	return id, nil
}

// fits refuses, with the kind Exists, an image that the spec would not have made,
// and reports whether it is complete.
func (d *Driver) fits(img *image, v volume.Spec) (whole bool, err error) {
	info, err := img.Stat()
	if err != nil {
		return false, classify(err, "read the size")
	}
	_, err = img.GetParent()
	clone := err == nil
	if err != nil && errno(err) != syscall.ENOENT {
		return false, classify(err, "read the parent")
	}
	if clone || info.Size != uint64(v.Size)*volume.GiB || uint64(info.Order) != d.cfg.order() {
		return false, otherShape(img.id, info.Size)
	}
	return img.complete()
}

// otherShape is the error for an image that the operation cannot have made.
func otherShape(id string, size uint64) error {
	return fault.New(fault.Exists, "an image of that name is there already, of another size, object size or origin (id %s, %d bytes)", id, size).
		WithHint("find out whose it is, then remove or rename it")
}
