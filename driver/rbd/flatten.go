package rbd

import (
	"context"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/crashpoint"
	"github.com/volumed/volumed/volume"
)

// FlattenVolume copies all that a clone shares with its parent, as fast as the clients
// of the pool do not suffer from it, over a connection of its own; one that somebody waits
// for hardly slower, over the data connection. ctx is looked at between two objects;
// while an object hangs it interrupts nothing.
func (d *Driver) FlattenVolume(ctx context.Context, v volume.Ref, progress driver.Progress) (err error) {
	defer fault.Wrap(&err, "flatten %s", v.Name)
	leave, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := d.control.read(); err != nil {
		return err // over the connections without timeouts it would hang
	}
	over := d.data
	if !driver.IsAwaited(ctx) {
		link, done, err := d.aside.use(ctx, d.cfg)
		if err != nil {
			return err
		}
		defer done()
		over = link
	}
	img, err := d.openClone(ctx, over, v, rbd.OpenImage)
	if err != nil {
		return err
	}
	defer img.close(&err)
	defer d.pace.begin(d)()
	callback := d.paced(ctx, img, step(ctx, progress))
	err = crashpoint.Around(ctx, "rbd.flatten", func() error { return d.flatten(ctx, img, callback) })
	switch errno(err) {
	case 0:
	case syscall.EINVAL: // so says librbd of what is no clone
		if _, parent := img.GetParent(); errno(parent) != syscall.ENOENT {
			return classify(err, "copy from the parent")
		}
	case syscall.ECANCELED:
		if cause := ctx.Err(); cause != nil {
			return fault.New(fault.Cancelled, "interrupted, the volume is still a clone: %w", cause)
		}
		return classify(err, "copy from the parent")
	default:
		return classify(err, "copy from the parent")
	}
	if progress != nil {
		progress(100)
	}
	return nil
}

// flatten does it in two parts: it copies, and stops; then it goes on, with nothing left
// to copy, while no snapshot of the parent is taken or removed here. At its end librbd
// removes the parent's snapshot that only lived on for this clone; beside another change
// of the parent's snapshots the process has been seen to abort. Where librbd cannot tell
// what it has copied it is one part.
func (d *Driver) flatten(ctx context.Context, img *image, callback rbd.FlattenCallback) error {
	parent, err := img.parentInfo()
	if err != nil {
		return err
	}
	features, err := img.GetFeatures()
	if err != nil || parent == nil || features&rbd.FeatureObjectMap == 0 {
		return img.FlattenWithProgress(callback, nil)
	}
	var copied atomic.Bool
	err = img.FlattenWithProgress(func(object, total uint64, data any) int {
		if code := callback(object, total, data); code != 0 || object+1 < total {
			return code
		}
		copied.Store(true)
		return -int(syscall.ECANCELED)
	}, nil)
	if !copied.Load() || errno(err) != syscall.ECANCELED {
		return err
	}
	unlock, err := d.snapshots.lock(context.WithoutCancel(ctx), parent.Image.ImageID)
	if err != nil {
		return err
	}
	defer unlock()
	return crashpoint.Around(ctx, "rbd.flatten_copied", func() error { return img.FlattenWithProgress(step(ctx, nil), nil) })
}

// step returns a callback for librbd, which calls it from threads of its own:
// it reports each percent, in order, and the last one again after each second, and
// asks to stop when ctx is over.
func step(ctx context.Context, progress driver.Progress) rbd.FlattenCallback {
	var reported, signed atomic.Int64 // percent; when, in seconds
	reported.Store(-1)
	return func(offset, total uint64, _ any) int {
		if ctx.Err() != nil {
			return -int(syscall.ECANCELED)
		}
		if progress == nil || total == 0 {
			return 0
		}
		percent := int64(min(offset, total) * 100 / total)
		last, at, now := reported.Load(), signed.Load(), time.Now().Unix()
		switch {
		case percent > last && percent < 100 && reported.CompareAndSwap(last, percent):
			signed.Store(now)
			progress(int(percent))
		case last >= 0 && now > at && signed.CompareAndSwap(at, now):
			progress(int(last))
		}
		return 0
	}
}
