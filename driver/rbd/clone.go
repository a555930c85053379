package rbd

import (
	"context"
	"errors"
	"math/bits"
	"slices"
	"sync"
	"syscall"

	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/crashpoint"
	"github.com/volumed/volumed/volume"
)

// CreateVolumeFromSnapshot makes a clone in the configured format and grows it.
// With Repeat, a clone of the same source counts, of whichever snapshot, and so
// does an image that was flattened since; one that is only half made is removed
// first.
func (d *Driver) CreateVolumeFromSnapshot(ctx context.Context, v volume.Spec, from volume.SnapshotRef) (loc volume.Location, err error) {
	defer fault.Wrap(&err, "clone %s to %s", from, v.Name)
	leave, err := d.enter(ctx)
	if err != nil {
		return loc, err
	}
	defer leave()
	if err := errors.Join(checkSpec(v), driver.CheckName(from.Name)); err != nil {
		return loc, err // librbd aborts the process on an empty snapshot name
	}
	if v.Repeat {
		if loc, err := d.resumeClone(ctx, v, origin{d.control, from.Volume}); err != nil || loc.ImageID != "" {
			return loc, err
		}
	}
	src, err := d.source(from)
	if err != nil {
		return loc, err
	}
	if uint64(v.Size)*volume.GiB < src.size {
		return loc, fault.New(fault.Invalid, "size is %d GiB, the snapshot has %d bytes", v.Size, src.size).WithField("size")
	}
	if src, err = d.shallow(v, from, src); err != nil {
		return loc, err
	}
	if loc, err = d.clone(ctx, v, from, src); err != nil {
		return loc, err
	}
	loc.Depth = src.depth + 1
	if uint64(v.Size)*volume.GiB > src.size {
		err = d.grow(ctx, v)
	}
	return loc, err
}

// clone makes the clone, in the size of the snapshot.
func (d *Driver) clone(ctx context.Context, v volume.Spec, from volume.SnapshotRef, src source) (loc volume.Location, err error) {
	opts, err := d.options(max(d.cfg.order(), src.order))
	if err != nil {
		return loc, err
	}
	defer opts.Destroy()
	if err := opts.SetUint64(rbd.ImageOptionCloneFormat, d.cloneFormat); err != nil {
		return loc, fault.New(fault.Internal, "%w", err)
	}
	attempt := func() error { return d.makeClone(ctx, v, d.control, from, opts) }
	err = attempt()
	if errno(err) == syscall.EINVAL && d.cloneFormat == 1 { // the snapshot was taken for clones of format 2
		if err := d.protect(ctx, from); err != nil {
			return loc, err
		}
		err = attempt()
	}
	if errno(err) == syscall.ENOENT {
		return loc, d.missed(from, err)
	}
	return d.created(v, err)
}

// makeClone makes a clone of a snapshot in the pool of a link.
func (d *Driver) makeClone(ctx context.Context, v volume.Spec, of *link, from volume.SnapshotRef, opts *rbd.ImageOptions) error {
	return crashpoint.Around(ctx, "rbd.clone_image", func() error {
		return rbd.CloneImage(of.io, from.Volume.Name, from.Name, d.control.io, v.Name, opts)
	})
}

// missed says why a source was missed: what is gone when it is looked at again. One that
// is there was hidden for a moment, as while a flatten that was cut off is ended.
func (d *Driver) missed(from volume.SnapshotRef, err error) error {
	d.sources.forget(from)
	if _, gone := d.source(from); gone != nil {
		return gone
	}
	return fault.New(fault.Unavailable, "%s could not be read for a moment (%w)", from, err).WithRetryAfter(severedRetry)
}

// protect protects the snapshot of an image that is not open.
func (d *Driver) protect(ctx context.Context, s volume.SnapshotRef) (err error) {
	img, err := d.openWhole(d.control, s.Volume, rbd.OpenImage)
	if err != nil {
		return err
	}
	defer img.close(&err)
	return img.protect(ctx, s.Name)
}

// grow gives a clone the size of the spec.
func (d *Driver) grow(ctx context.Context, v volume.Spec) (err error) {
	img, err := d.open(d.control, volume.Ref{Name: v.Name}, rbd.OpenImage)
	if err != nil {
		return err
	}
	defer img.close(&err)
	return img.grow(ctx, v.Size)
}

// origin is what a clone is made of: an image in the pool of a link.
type origin struct {
	link *link
	volume.Ref
}

// resumeClone returns where the clone is that an earlier attempt made, grown to its
// size; nowhere if it has to be made.
func (d *Driver) resumeClone(ctx context.Context, v volume.Spec, parent origin) (loc volume.Location, err error) {
	img, err := d.resume(ctx, v.Ref)
	if err != nil || img == nil {
		return loc, err
	}
	id := img.id
	size, sizeErr := img.GetSize()
	flaw, err := d.flawOf(img, parent)
	depth, depthErr := 0, error(nil)
	if err == nil && flaw == "" {
		depth, depthErr = img.depth()
	}
	img.discard()
	wanted := uint64(v.Size) * volume.GiB
	switch {
	case err != nil:
		return loc, err
	case sizeErr != nil:
		return loc, classify(sizeErr, "read the size")
	case size > wanted:
		return loc, otherShape(id, size)
	case flaw != "":
		return loc, waited(d.drop(ctx, v.Name, flaw))
	case depthErr != nil:
		return loc, depthErr
	case size < wanted:
		err = d.grow(ctx, v)
	}
	return volume.Location{ImageID: id, Depth: depth}, err
}

// flawOf says what is missing of a clone of the given image; nothing if it is
// complete. librbd makes an empty image, then enters the parent in it, then
// enters it with the parent: without the last the parent could be removed under
// its clone, without the second the volume would be silently empty. Kind: Exists
// for a clone of another image.
func (d *Driver) flawOf(img *image, source origin) (string, error) {
	parent, err := img.GetParent()
	if errno(err) == syscall.ENOENT {
		data, err := img.holdsData()
		if err != nil || data {
			return "", err // flattened since: nobody else writes to it
		}
		return "it has no parent and no data", nil
	}
	if err != nil {
		return "", classify(err, "read the parent")
	}
	if err := d.madeFrom(parent, source); err != nil {
		return "", err
	}
	known, err := d.knows(source.link, parent.Image.ImageID, img.id)
	if err != nil {
		return "", err
	}
	if !known {
		return "its parent does not know of it", nil
	}
	whole, err := img.complete()
	if err == nil && !whole {
		return "it has no object map", nil
	}
	return "", err
}

// madeFrom refuses, with the kind Exists, a parent that is not the source.
func (d *Driver) madeFrom(parent *rbd.ParentInfo, source origin) error {
	id := source.ImageID
	if id == "" {
		var err error
		if id, err = source.link.imageID(source.Name); err != nil {
			return err
		}
	}
	if parent.Image.ImageID != id || int64(parent.Image.PoolID) != source.link.io.GetPoolID() {
		return fault.New(fault.Exists, "an image of that name is there already, a clone of %s/%s", parent.Image.PoolName, parent.Image.ImageName)
	}
	return nil
}

// knows reports whether an image counts another among the clones of its
// snapshots. One with more clones than can be listed is taken not to: making
// the clone again is always right.
func (d *Driver) knows(l *link, parent, child string) (bool, error) {
	img, err := d.openAs(l, parent, rbd.OpenImageByIdReadOnly)
	if err != nil {
		return false, err
	}
	defer img.discard()
	children, err := img.ListChildrenAttributes()
	if errno(err) == syscall.ERANGE {
		return false, nil
	}
	return slices.ContainsFunc(children, func(c rbd.ImageSpec) bool { return c.ImageID == child }),
		classify(err, "list the clones")
}

// source is what must be known of a snapshot before it is cloned. It never
// changes, but for the depth, which only becomes less: by flattens.
type source struct {
	size  uint64 // bytes
	order uint64 // the least for a clone: objects hold at least a stripe unit
	depth int    // images that it depends on, one above the other
}

// sources remembers snapshots, since many clones are made of one and opening an
// image costs as much as cloning it.
type sources struct {
	mu    sync.Mutex
	known map[volume.SnapshotRef]source
}

// maxSources bounds the memory of sources; it starts anew beyond.
const maxSources = 256

func (s *sources) get(ref volume.SnapshotRef) (source, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	src, ok := s.known[ref]
	return src, ok
}

func (s *sources) put(ref volume.SnapshotRef, src source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil || len(s.known) >= maxSources {
		s.known = map[volume.SnapshotRef]source{}
	}
	s.known[ref] = src
}

func (s *sources) forget(ref volume.SnapshotRef) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, ref)
}

// source reads what must be known of the snapshot. Kinds: NotFound, Conflict.
func (d *Driver) source(from volume.SnapshotRef) (src source, err error) {
	if src, ok := d.sources.get(from); ok && from.Volume.ImageID != "" {
		return src, nil
	}
	img, err := d.openWhole(d.control, from.Volume, rbd.OpenImageReadOnly)
	if err != nil {
		return src, err
	}
	defer img.discard()
	if err := img.SetSnapshot(from.Name); err != nil {
		return src, classify(err, "read the snapshot")
	}
	if src.size, err = img.GetSize(); err != nil {
		return src, classify(err, "read the size of the snapshot")
	}
	unit, err := img.GetStripeUnit()
	if err != nil {
		return src, classify(err, "read the stripe unit")
	}
	src.order = uint64(bits.Len64(unit - 1))
	if src.depth, err = img.depth(); err != nil {
		return src, err
	}
	d.sources.put(from, src)
	return src, nil
}
