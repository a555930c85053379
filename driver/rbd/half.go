package rbd

import (
	"context"
	"syscall"

	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/crashpoint"
	"github.com/volumed/volumed/volume"
)

// locate returns the id under which the pool knows the name, also when the image
// cannot be opened: librbd takes a name first in the object rbd_id.<name>, then
// in the directory, and gives both back in the same order, so a process that
// dies in between leaves a name in one of them.
func (l *link) locate(name string) (string, error) {
	if id, err := l.imageID(name); err != nil || id != "" {
		return id, err
	}
	value, err := l.omapValue(directory, "name_"+name)
	if err != nil || value == nil {
		return "", err
	}
	id, _, _ := cutString(value)
	return id, nil
}

// drop removes what an earlier attempt of the running operation left under the
// name: an image that nobody was told of. Kind: Busy while a dead client still
// holds it.
func (d *Driver) drop(ctx context.Context, name, why string) error {
	d.log.Info("removing a half-made image of an earlier attempt", "image", name, "reason", why)
	id, err := d.control.locate(name)
	if err != nil {
		return err
	}
	err = d.despiteGhosts(id, func() error {
		return crashpoint.Around(ctx, "rbd.remove_image", func() error { return rbd.RemoveImage(d.data.io, name) })
	})
	if errno(err) == syscall.ENOENT {
		return nil // what was left is gone: librbd removes it on the way to this answer
	}
	return classify(err, "remove the half-made image")
}

// finishDrop ends a drop that died: librbd takes what it removes through the trash,
// so that the name is given back, and may be anew in use, long before the image is
// gone.
func (d *Driver) finishDrop(ctx context.Context, name string) error {
	loc, err := d.trashHalf(ctx, volume.Ref{Name: name}, 0)
	if err != nil || loc.ImageID == "" {
		return err
	}
	return d.PurgeVolume(ctx, volume.Ref{Name: name, ImageID: loc.ImageID}, nil)
}

// waited makes the error of removing a half-made image one that is waited out: nobody
// was told of the image, so whoever has it open is a process before this one.
func waited(err error) error {
	if fault.KindOf(err) == fault.Busy {
		return fault.New(fault.Unavailable, "%w", err).WithBlockers(fault.Of(err).BlockedBy...).WithRetryAfter(openRetry)
	}
	return err
}

// resume opens the image that an earlier attempt may have made. It returns nil
// when there is none, after removing what cannot be opened.
func (d *Driver) resume(ctx context.Context, v volume.Ref) (*image, error) {
	img, err := d.open(d.control, v, rbd.OpenImageReadOnly)
	if fault.KindOf(err) != fault.NotFound {
		return img, err
	}
	entry, err := d.control.trashFind(v.Name)
	if err != nil {
		return nil, err
	}
	if entry != nil && entry.source == sourceRemoving {
		return nil, waited(d.finishDrop(ctx, v.Name))
	}
	id, err := d.control.locate(v.Name)
	if err != nil || id == "" {
		return nil, err
	}
	return nil, waited(d.drop(ctx, v.Name, "it cannot be opened"))
}

// complete reports whether the object map of an image is there, the last thing
// that librbd makes of one.
func (i *image) complete() (bool, error) {
	features, err := i.GetFeatures()
	if err != nil {
		return false, classify(err, "read the features")
	}
	if features&rbd.FeatureObjectMap == 0 {
		return true, nil
	}
	return i.d.control.hasContent("rbd_object_map." + i.id)
}

// hasContent reports whether an object is there, with something in it. Whoever opens
// an image for writing locks its object map, which makes an empty one.
func (l *link) hasContent(object string) (bool, error) {
	stat, err := l.io.Stat(object)
	if errno(err) == syscall.ENOENT {
		return false, nil
	}
	return err == nil && stat.Size > 0, classify(err, "read "+object)
}

// holdsData reports whether anything is stored in the image itself.
func (i *image) holdsData() (bool, error) {
	size, err := i.GetSize()
	if err != nil {
		return false, classify(err, "read the size")
	}
	found := false
	err = i.DiffIterate(rbd.DiffIterateConfig{
		Length: size, IncludeParent: rbd.ExcludeParent, WholeObject: rbd.EnableWholeObject,
		Callback: func(uint64, uint64, int, any) int { found = true; return -int(syscall.ECANCELED) },
	})
	if found {
		return true, nil
	}
	return false, classify(err, "look for data")
}
