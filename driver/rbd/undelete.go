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

// UndeleteVolume restores the image from the trash. librbd writes the name first and
// takes the entry away last, and goes on where a dead process has stopped.
func (d *Driver) UndeleteVolume(ctx context.Context, v volume.Ref) (err error) {
	defer fault.Wrap(&err, "undelete %s", v.Name)
	leave, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := driver.CheckName(v.Name); err != nil {
		return err
	}
	if v.ImageID == "" {
		return fault.New(fault.Invalid, "no image id: the trash is searched by id only")
	}
	unlock, err := d.purging.lock(ctx, v.ImageID) // this process may be at the end of its purge
	if err != nil {
		return err
	}
	defer unlock()
	entry, err := d.control.trashGet(v.ImageID)
	if err != nil {
		return err
	}
	if entry == nil {
		return d.restored(v)
	}
	if err := d.restorable(ctx, entry); err != nil {
		return err
	}
	return d.restore(ctx, v)
}

// restored refuses, with the kind NotFound, an image that is not back.
func (d *Driver) restored(v volume.Ref) error {
	id, err := d.control.imageID(v.Name)
	if err == nil && id != v.ImageID {
		err = fault.New(fault.NotFound, "the image %s is not in the trash any more", v.ImageID).
			WithHint("its data is gone; restore a backup")
	}
	return err
}

// restorable refuses, with the kind Conflict, an entry that is being removed, and
// completes one whose move to the trash was interrupted.
func (d *Driver) restorable(ctx context.Context, entry *trashEntry) error {
	switch entry.state {
	case trashRemoving:
		return fault.New(fault.Conflict, "the image %s is being removed: its data is gone", entry.id).
			WithHint("restore a backup")
	case trashMoving:
		return d.completeTrash(ctx, entry)
	default:
		return nil
	}
}

// restore gives the image its name back.
func (d *Driver) restore(ctx context.Context, v volume.Ref) error {
	err := crashpoint.Around(ctx, "rbd.restore_from_trash", func() error { return rbd.TrashRestore(d.control.io, v.ImageID, v.Name) })
	switch errno(err) {
	case syscall.EEXIST:
		return d.nameTaken(v)
	case syscall.ENOENT:
		return d.restored(v) // another process was faster
	default:
		return classify(err, "restore from the trash")
	}
}

// nameTaken is the error for a name that another image has.
func (d *Driver) nameTaken(v volume.Ref) error {
	id, err := d.control.imageID(v.Name)
	if err != nil {
		return err
	}
	return fault.New(fault.Conflict, "another image, of id %s, has the name %s in the pool %s", id, v.Name, d.cfg.Pool).
		WithBlockers("image "+id).
		WithHint("rename or remove that image, and try again: rbd mv %s/%s %s/NEW-NAME", d.cfg.Pool, v.Name, d.cfg.Pool)
}
