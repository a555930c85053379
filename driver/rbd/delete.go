package rbd

import (
	"context"
	"slices"
	"syscall"
	"time"

	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/crashpoint"
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
		return d.trash(ctx, v.Name, loc, keep)
	case fault.NotFound:
		return d.trashHalf(ctx, v, keep)
	case fault.Conflict:
		return d.deletedUnless(v, err)
	default:
		return loc, err
	}
}

// trash moves the image to the trash.
func (d *Driver) trash(ctx context.Context, name string, loc volume.Location, keep time.Duration) (volume.Location, error) {
	err := d.moveToTrash(ctx, name, keep)
	if errno(err) != syscall.ENOENT {
		return orNowhere(loc, classify(err, "move to the trash"))
	}
	// Another process was faster; or librbd means the trash, which it cannot
	// make in a full pool.
	id, err := d.control.imageID(name)
	if err == nil && id == loc.ImageID {
		err = fault.New(fault.Exhausted, "the pool is full and has no trash yet").WithHint("raise the quota or add space for a moment")
	}
	if err != nil {
		return volume.Location{}, err
	}
	return d.deleted(volume.Ref{Name: name, ImageID: loc.ImageID})
}

// trashHalf ends what cannot be opened: it completes a move to the trash, or
// gives the name back if that is all there is.
func (d *Driver) trashHalf(ctx context.Context, v volume.Ref, keep time.Duration) (loc volume.Location, err error) {
	id, err := d.control.locate(v.Name)
	if err != nil {
		return loc, err
	}
	if id == "" {
		return d.deleted(v)
	}
	if err := sameImage(v, id); err != nil {
		return d.deletedUnless(v, err)
	}
	err = d.moveToTrash(ctx, v.Name, keep)
	if errno(err) != syscall.ENOENT {
		return orNowhere(volume.Location{ImageID: id}, classify(err, "move to the trash"))
	}
	if loc, err = d.deleted(volume.Ref{Name: v.Name, ImageID: id}); err != nil || loc.ImageID != "" {
		return loc, err
	}
	return loc, d.drop(ctx, v.Name, "it is nothing but a name")
}

// moveToTrash returns the error of librbd as it is.
func (d *Driver) moveToTrash(ctx context.Context, name string, keep time.Duration) error {
	return crashpoint.Around(ctx, "rbd.move_to_trash", func() error {
		return rbd.GetImage(d.control.io, name).Trash(max(keep, 0))
	})
}

// orNowhere returns the location unless there is an error.
func orNowhere(loc volume.Location, err error) (volume.Location, error) {
	if err != nil {
		return volume.Location{}, err
	}
	return loc, nil
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
			WithHint("detach it first; a client that died holds it for up to 30 s").WithRetryAfter(openRetry)
	}
	group, err := i.group()
	if err != nil {
		return err
	}
	if group != "" {
		return fault.New(fault.Busy, "the image is a member of the group %s", group).
			WithBlockers("group " + group).WithHint("take it out of the group first")
	}
	return nil
}

// group returns the name of the group that the image belongs to, empty if there is
// none. The features, which an open image knows, tell whether it is worth asking: what
// librbd can do with an image beyond reading and writing, membership too, sets one.
func (i *image) group() (string, error) {
	features, err := i.GetFeatures()
	if err != nil {
		return "", classify(err, "read the features")
	}
	if features&rbd.FeatureOperations == 0 {
		return "", nil
	}
	group, err := i.GetGroup()
	if err != nil {
		return "", classify(err, "read the group")
	}
	return group.Name, nil
}

// watchers returns the addresses of the clients that have the image open for
// writing, but for those of this driver and of ghosts.
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
	return i.d.control.alive(others)
}
