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

// RenameVolume gives the image another name.
func (d *Driver) RenameVolume(ctx context.Context, v volume.Ref, to string) (err error) {
	defer fault.Wrap(&err, "rename %s to %s", v.Name, to)
	leave, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := driver.CheckName(to); err != nil {
		return err
	}
	if renamed, err := d.endRename(ctx, v, to); err != nil || renamed {
		return err
	}
	if err := d.control.isNamed(v); err != nil {
		return err
	}
	err = crashpoint.Around(ctx, "rbd.rename", func() error { return rbd.GetImage(d.control.io, v.Name).Rename(to) })
	if errno(err) == syscall.EEXIST {
		return fault.New(fault.Exists, "another image has that name")
	}
	return classify(err, "rename")
}

// endRename reports whether the image has its new name, and ends a rename that was cut
// off. librbd takes the new name first, in an object of its own, then changes the
// directory, and gives the old name up last: a process that dies between leaves an
// image with two names, and librbd would not go on. What the directory has counts.
func (d *Driver) endRename(ctx context.Context, v volume.Ref, to string) (renamed bool, err error) {
	id, err := d.control.imageID(to)
	if err != nil || id == "" || id != v.ImageID {
		return false, err
	}
	value, err := d.control.omapValue(directory, "id_"+id)
	if err != nil {
		return false, err
	}
	listed, _, _ := cutString(value)
	switch listed {
	case "": // it is in the trash
		return false, nil
	case to:
		if v.Name == to {
			return true, nil
		}
		return true, d.control.giveUpName(ctx, v.Name, id)
	default:
		return false, d.control.giveUpName(ctx, to, id)
	}
}

// giveUpName removes a name of the image, if it has it.
func (l *link) giveUpName(ctx context.Context, name, id string) error {
	if err := driver.CheckName(name); err != nil {
		return err
	}
	if has, err := l.imageID(name); err != nil || has != id {
		return err
	}
	err := crashpoint.Around(ctx, "rbd.give_up_name", func() error { return l.io.Delete("rbd_id." + name) })
	if errno(err) == syscall.ENOENT {
		return nil
	}
	return classify(err, "give the name "+name+" up")
}

// isNamed refuses an image that is not there, with the kind NotFound, and one of that
// name with another id, with the kind Conflict.
func (l *link) isNamed(v volume.Ref) error {
	if err := driver.CheckName(v.Name); err != nil {
		return err
	}
	id, err := l.imageID(v.Name)
	if err != nil {
		return err
	}
	if id == "" {
		return fault.New(fault.NotFound, "no image of that name")
	}
	return sameImage(v, id)
}
