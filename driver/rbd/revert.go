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

var _ driver.Reverter = (*Driver)(nil)

// RevertToSnapshot has librbd roll the image back, over the data connection, and
// grows it to its size again: a rollback gives it that of the snapshot.
func (d *Driver) RevertToSnapshot(ctx context.Context, s volume.SnapshotRef, size int64, progress driver.Progress) (err error) {
	defer fault.Wrap(&err, "revert to %s", s)
	leave, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	id, err := d.revertible(s, size)
	if err != nil {
		return err
	}
	if err := d.control.read(); err != nil {
		return err // over the data connection it would hang
	}
	err = crashpoint.Around(ctx, "rbd.rollback", func() error {
		return d.data.rollback(id, s.Name, step(ctx, progress))
	})
	if cause := ctx.Err(); errno(err) == syscall.ECANCELED && cause != nil {
		return fault.New(fault.Cancelled, "interrupted, the content is undefined: %w", cause)
	}
	if err != nil {
		return undefined(classify(err, "roll back"))
	}
	if err := d.grow(ctx, volume.Spec{Ref: s.Volume, Size: size}); err != nil {
		return undefined(err)
	}
	if progress != nil {
		progress(100)
	}
	return nil
}

// undefined makes the error of a rollback that has begun one that is not taken for a
// refusal.
func undefined(err error) error {
	switch fault.KindOf(err) {
	case fault.Unavailable, fault.Exhausted, fault.Cancelled:
		return err
	default:
		return fault.New(fault.Internal, "the content is undefined: %w", err)
	}
}

// revertible refuses what cannot be reverted, and returns the id of the image.
func (d *Driver) revertible(s volume.SnapshotRef, size int64) (string, error) {
	if err := driver.CheckName(s.Name); err != nil {
		return "", err
	}
	if err := driver.CheckSize(size); err != nil {
		return "", err
	}
	img, err := d.openWhole(d.control, s.Volume, rbd.OpenImageReadOnly)
	if err != nil {
		return "", err
	}
	defer img.discard()
	others, err := img.watchers()
	if err != nil {
		return "", err
	}
	if len(others) > 0 {
		return "", fault.New(fault.Busy, "the image is open in other clients").WithBlockers(others...).
			WithHint("detach it first; a client that died holds it for up to 30 s").WithRetryAfter(openRetry)
	}
	return img.id, img.goesBack(s.Name, size)
}

// goesBack refuses a snapshot that is larger than the size, and one of which a
// rollback would lose data: it takes from the image what the snapshot does not have
// itself, so both must share the same with the same parent.
func (i *image) goesBack(snapshot string, size int64) error {
	head, err := i.shared()
	if err != nil {
		return err
	}
	if err := i.SetSnapshot(snapshot); err != nil {
		return classify(err, "read the snapshot")
	}
	then, err := i.shared()
	if err != nil {
		return err
	}
	bytes, err := i.GetSize()
	if err != nil {
		return classify(err, "read the size of the snapshot")
	}
	switch {
	case bytes > uint64(size)*volume.GiB:
		return fault.New(fault.Invalid, "size is %d GiB, the snapshot has %d bytes", size, bytes).WithField("size")
	case then.overlap > 0 && then != head:
		return fault.New(fault.Unsupported, "the snapshot shares data with a parent, and the volume was flattened since").
			WithHint("make a volume from the snapshot instead")
	}
	return nil
}

// sharing is what an image, or a snapshot of it, shares with its parent.
type sharing struct {
	parent  volume.ImageParent
	overlap uint64 // bytes from the beginning; 0 for no parent
}

// shared returns what the image shares, as it is set to its head or a snapshot.
func (i *image) shared() (s sharing, err error) {
	parent, err := i.parent()
	if err != nil || parent == nil {
		return s, err
	}
	s.parent = *parent
	s.overlap, err = i.GetOverlap()
	return s, classify(err, "read the overlap")
}
