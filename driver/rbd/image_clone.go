package rbd

import (
	"context"
	"math/bits"
	"net/url"
	"slices"
	"strings"
	"syscall"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

var _ driver.ImageCloner = (*Driver)(nil)

// CloneImage clones rbd://fsid/pool/image/snapshot. The pool has to be one of
// Config.ImagePools: whoever may name an image reads it.
func (d *Driver) CloneImage(ctx context.Context, v volume.Spec, url string) (loc volume.Location, err error) {
	defer fault.Wrap(&err, "clone %s to %s", url, v.Name)
	leave, err := d.enter(ctx)
	if err != nil {
		return loc, err
	}
	defer leave()
	if err := checkSpec(v); err != nil {
		return loc, err
	}
	pool, from, err := d.locateImage(url)
	if err != nil {
		return loc, err
	}
	images := &link{conn: d.control.conn}
	if err := images.openPool(pool); err != nil {
		return loc, refusedImage(err)
	}
	defer images.io.Destroy()
	src, err := d.openSource(images, &from)
	if err != nil {
		return loc, refusedImage(err)
	}
	if uint64(v.Size)*volume.GiB < src.size {
		return loc, fault.New(fault.Invalid, "size is %d GiB, the image has %d bytes", v.Size, src.size).WithField("size")
	}
	if v.Repeat {
		if loc, err := d.resumeClone(ctx, v, origin{images, from.Volume}); err != nil || loc.ImageID != "" {
			return loc, err
		}
	}
	return d.cloneOf(ctx, v, images, from, src)
}

// cloneOf makes the clone, and grows it.
func (d *Driver) cloneOf(ctx context.Context, v volume.Spec, images *link, from volume.SnapshotRef, src source) (loc volume.Location, err error) {
	opts, err := d.options(max(d.cfg.order(), src.order))
	if err != nil {
		return loc, err
	}
	defer opts.Destroy()
	if err := opts.SetUint64(rbd.ImageOptionCloneFormat, d.cloneFormat); err != nil {
		return loc, fault.New(fault.Internal, "%w", err)
	}
	err = d.makeClone(ctx, v, images, from, opts)
	if errno(err) == syscall.EINVAL {
		return loc, fault.New(fault.Invalid, "librbd refuses to clone the image (%w)", err).
			WithField("image.url").WithHint("clones of format 1 need a protected snapshot: rbd snap protect")
	}
	loc, err = d.created(v, err)
	loc.Depth = src.depth + 1
	if err == nil && uint64(v.Size)*volume.GiB > src.size {
		err = d.grow(ctx, v)
	}
	return loc, err
}

// locateImage reads a URL. Kind: Invalid for what names no image that may be cloned here.
func (d *Driver) locateImage(text string) (pool string, from volume.SnapshotRef, err error) {
	invalid := func(format string, args ...any) (string, volume.SnapshotRef, error) {
		return "", from, fault.New(fault.Invalid, format, args...).WithField("image.url")
	}
	rest, _ := strings.CutPrefix(text, "rbd://")
	parts := strings.Split(rest, "/")
	for i, part := range parts {
		if parts[i], err = url.PathUnescape(part); err != nil || parts[i] == "" {
			return invalid("the url is not rbd://fsid/pool/image/snapshot")
		}
	}
	switch {
	case len(parts) != 4:
		return invalid("the url is not rbd://fsid/pool/image/snapshot")
	case parts[0] != d.fsid:
		return invalid("the image is on the cluster %q, the volumes are on %q", parts[0], d.fsid)
	case parts[1] == d.cfg.Pool || !slices.Contains(d.cfg.ImagePools, parts[1]):
		_, _, err := invalid("no image may be cloned from pool %q", parts[1])
		return "", from, fault.Of(err).WithHint("an operator can allow the pool: image_rbd_allow")
	}
	for _, name := range parts[1:] { // librbd aborts the process on some, and C ends others early
		if err := driver.CheckName(name); err != nil {
			return invalid("%w", err)
		}
	}
	return parts[1], volume.SnapshotRef{Volume: volume.Ref{Name: parts[2]}, Name: parts[3]}, nil
}

// openSource reads what must be known of the image at its snapshot, and its id.
func (d *Driver) openSource(images *link, from *volume.SnapshotRef) (src source, err error) {
	img, err := d.open(images, from.Volume, func(io *rados.IOContext, name, _ string) (*rbd.Image, error) {
		return rbd.OpenImageReadOnly(io, name, from.Name)
	})
	if err != nil {
		return src, err
	}
	defer img.discard()
	from.Volume.ImageID = img.id
	if src.size, err = img.GetSize(); err != nil {
		return src, classify(err, "read the size")
	}
	if src.depth, err = img.depth(); err != nil {
		return src, err
	}
	unit, err := img.GetStripeUnit()
	src.order = uint64(bits.Len64(unit - 1))
	return src, classify(err, "read the stripe unit")
}

// refusedImage makes final what a wrong URL may be the reason for.
func refusedImage(err error) error {
	switch errno(err) {
	case syscall.EPERM, syscall.EACCES:
		return fault.New(fault.Invalid, "the image cannot be read: %w", err).WithField("image.url").
			WithHint("give the client read access to the pool: ceph auth caps")
	}
	if f := fault.Of(err); f.Kind == fault.NotFound {
		return f.WithField("image.url")
	}
	return err
}
