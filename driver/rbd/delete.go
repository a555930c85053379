package rbd

import (
	"context"
	"slices"
	"syscall"
	"time"

	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// DeleteVolume moves the image to the trash. librbd would do that to an image
// that is open elsewhere, or in a group, of which it could then never be removed;
// so both are looked for first. What opens the image in the instant between is
// not seen: the cluster has no operation that does both.
func (d *Driver) DeleteVolume(ctx context.Context, v volume.Ref, keep time.Duration) (loc volume.Location, err error) {
	defer fault.Wrap(&err, "delete %s", v.Name)
	leave, err := d.enter(ctx)
	if err != nil {
		return loc, err
	}
	defer leave()
	img, err := d.open(d.control, v, rbd.OpenImageReadOnly)
	switch fault.KindOf(err) {
	case "":
		loc.ImageID = img.id
		err = img.unused()
		img.discard()
		if err != nil {
			return volume.Location{}, err
		}
	case fault.NotFound:
		if loc.ImageID, err = d.control.locate(v.Name); err != nil {
			return volume.Location{}, err
		}
		if loc.ImageID == "" {
			return d.deleted(v)
		}
		if err := sameImage(v, loc.ImageID); err != nil {
			return d.deletedUnless(v, err)
		}
	case fault.Conflict:
		return d.deletedUnless(v, err)
	default:
		return loc, err
	}
	return d.trash(v.Name, loc, keep)
}

// trash moves the image to the trash, or completes such a move.
func (d *Driver) trash(name string, loc volume.Location, keep time.Duration) (volume.Location, error) {
	err := rbd.GetImage(d.control.io, name).Trash(max(keep, 0))
	switch errno(err) {
	case 0:
		return loc, nil
	case syscall.ENOENT:
		// Another process was faster, or there was nothing but the name, which
		// must be given back.
		at, err := d.deleted(volume.Ref{Name: name, ImageID: loc.ImageID})
		if err != nil || at.ImageID != "" {
			return at, err
		}
		return at, d.drop(name, "it is nothing but a name")
	default:
		return volume.Location{}, classify(err, "move to the trash")
	}
}

// deleted returns where the image is that has no name any more: in the trash,
// or nowhere.
func (d *Driver) deleted(v volume.Ref) (volume.Location, error) {
	var entry *trashEntry
	var err error
	if v.ImageID != "" {
		entry, err = d.control.trashGet(v.ImageID)
	} else {
		entry, err = d.control.trashFind(v.Name)
	}
	if err != nil || entry == nil {
		return volume.Location{}, err
	}
	return volume.Location{ImageID: entry.id}, nil
}

// deletedUnless returns where the deleted image is, and the error if it is not in
// the trash: another image has its name.
func (d *Driver) deletedUnless(v volume.Ref, foreign error) (volume.Location, error) {
	loc, err := d.deleted(v)
	if err == nil && loc.ImageID == "" {
		err = foreign
	}
	return loc, err
}

// unused refuses, with the kind Busy, an image that others have open or that
// belongs to a group.
func (i *image) unused() error {
	others, err := i.watchers()
	if err != nil {
		return err
	}
	if len(others) > 0 {
		return fault.New(fault.Busy, "the image is open in other clients").WithBlockers(others...).
			WithHint("detach it first; a client that died holds it for up to 30 s")
	}
	group, err := i.GetGroup()
	if err != nil {
		return classify(err, "read the group")
	}
	if group.Name != "" {
		return fault.New(fault.Busy, "the image is a member of the group %s", group.Name).
			WithBlockers("group " + group.Name).WithHint("take it out of the group first")
	}
	return nil
}

// watchers returns the addresses of the clients that have the image open for
// writing, but for those of this driver.
func (i *image) watchers() ([]string, error) {
	list, err := i.ListWatchers()
	if err != nil {
		return nil, classify(err, "list the watchers")
	}
	var others []string
	for _, w := range list {
		if !slices.Contains(i.d.Addrs(), w.Addr) {
			others = append(others, w.Addr)
		}
	}
	return others, nil
}
