package rbd

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/crashpoint"
	"github.com/volumed/volumed/volume"
)

// shownChildren is how many clones an error names.
const shownChildren = 20

// PurgeVolume removes the image with its snapshots from the trash. The time grows
// with what is stored. ctx is looked at between snapshots, and between the objects of
// a large image.
func (d *Driver) PurgeVolume(ctx context.Context, v volume.Ref, progress driver.Progress) (err error) {
	defer fault.Wrap(&err, "purge %s", v)
	leave, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if v.ImageID == "" {
		return fault.New(fault.Invalid, "no image id: the trash is searched by id only")
	}
	// Two removals of one entry at once abort the process inside librbd.
	unlock, err := d.purging.lock(ctx, v.ImageID)
	if err != nil {
		return err
	}
	defer unlock()
	if progress == nil {
		progress = func(int) {}
	}
	entry, err := d.control.trashGet(v.ImageID)
	if err != nil {
		return err
	}
	if entry == nil {
		return d.purged(v, progress)
	}
	if err := d.purgeable(ctx, entry); err != nil {
		return err
	}
	snapshots, err := d.purgeSnapshots(ctx, entry.id, progress)
	if err != nil {
		return err
	}
	if err := d.empty(ctx, entry.id, part(snapshots, snapshots+1, progress)); err != nil {
		return err
	}
	err = d.despiteGhosts(entry.id, func() error {
		return crashpoint.Around(ctx, "rbd.remove_from_trash", func() error { return rbd.TrashRemove(d.data.io, entry.id, true) })
	})
	if err != nil && errno(err) != syscall.ENOENT {
		return soon(classify(err, "remove from the trash"))
	}
	progress(100)
	return nil
}

// openRetry is how soon to look again whether an image is still open: by a client that
// died, for up to 30 s, or by another call of this driver, such as the purge of a
// clone, for an instant.
const openRetry = 2 * time.Second

// soon has an image that is in use looked at again soon. Whoever has it open will not
// tell when he is done, as clones do.
func soon(err error) error {
	if f := fault.Of(err); fault.KindOf(err) == fault.Busy && len(f.BlockedBy) == 0 {
		return f.WithRetryAfter(openRetry)
	}
	return err
}

// purged refuses, with the kind Conflict, an image that has not been deleted.
func (d *Driver) purged(v volume.Ref, progress driver.Progress) error {
	name, err := d.control.omapValue(directory, "id_"+v.ImageID)
	if err != nil {
		return err
	}
	if name != nil {
		return fault.New(fault.Conflict, "the image is not in the trash: delete it first")
	}
	progress(100)
	return nil
}

// purgeable refuses, with the kind Busy, an entry whose time to be kept is not
// over, and completes one whose move to or from the trash was interrupted.
func (d *Driver) purgeable(ctx context.Context, entry *trashEntry) error {
	if left := time.Until(entry.keepUntil); left > 0 {
		return fault.New(fault.Busy, "it is kept until %s", entry.keepUntil.UTC().Format(time.RFC3339)).WithRetryAfter(left)
	}
	switch entry.state {
	case trashMoving, trashRestoring:
		return d.completeTrash(ctx, entry)
	default:
		return nil
	}
}

// completeTrash makes an entry usable that a dead process has left half moved,
// unless the image is still, or again, in the pool. Kind: Conflict.
func (d *Driver) completeTrash(ctx context.Context, entry *trashEntry) error {
	name, err := d.control.omapValue(directory, "id_"+entry.id)
	if err != nil {
		return err
	}
	if name != nil {
		return fault.New(fault.Conflict, "its move to or from the trash was interrupted: delete it again")
	}
	return crashpoint.Around(ctx, "rbd.complete_trash", func() error { return d.control.trashComplete(entry.id, entry.state) })
}

// purgeSnapshots removes the snapshots of an image in the trash, unless clones
// depend on it, and returns how many there were.
func (d *Driver) purgeSnapshots(ctx context.Context, id string, progress driver.Progress) (n int, err error) {
	img, err := d.openAs(d.control, id, rbd.OpenImageByIdReadOnly)
	if fault.KindOf(err) == fault.NotFound {
		severed, severErr := d.sever(ctx, id)
		if severErr != nil {
			return 0, severErr
		}
		if !severed {
			return 0, nil // an earlier removal came as far as the header
		}
		img, err = d.openAs(d.control, id, rbd.OpenImageByIdReadOnly)
	}
	if err != nil {
		return 0, err
	}
	err = img.childless("")
	if err == nil {
		err = img.unused()
	}
	snapshots, listErr := img.GetSnapshotNames()
	img.discard()
	if err != nil {
		return 0, err
	}
	if listErr != nil {
		return 0, classify(listErr, "list the snapshots")
	}
	progress(0)
	if len(snapshots) == 0 {
		return 0, nil
	}
	if img, err = d.openAs(d.data, id, rbd.OpenImageById); err != nil {
		return 0, err
	}
	defer img.close(&err)
	for n, s := range snapshots {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if err := img.removeSnapshot(ctx, s); err != nil {
			return 0, err
		}
		part(n, len(snapshots)+1, progress)(100) // the image itself is the last
	}
	return len(snapshots), nil
}

// part returns the progress of one of several parts, when so many are done.
func part(done, of int, progress driver.Progress) driver.Progress {
	return func(percent int) { progress((done*100 + percent) / of) }
}

// removeSnapshot removes a snapshot by what it is: one that was removed before
// but outlived its clones has only its id.
func (i *image) removeSnapshot(ctx context.Context, s rbd.SnapInfo) error {
	kind, err := i.GetSnapNamespaceType(s.Id)
	if errno(err) == syscall.ENOENT {
		return nil // it went with the last of its clones
	}
	if err != nil {
		return classify(err, "read the snapshot "+s.Name)
	}
	if kind == rbd.SnapNamespaceTypeTrash {
		err = crashpoint.Around(ctx, "rbd.remove_snapshot", func() error { return i.RemoveSnapByID(s.Id) })
		if errno(err) != syscall.ENOENT {
			return classify(err, "remove the snapshot "+s.Name)
		}
		return nil
	}
	return i.dropSnapshot(ctx, s.Name)
}

// childless refuses, with the kind Busy and the clones in BlockedBy, an image
// with clones: of the given snapshot, or of any with an empty name.
func (i *image) childless(snapshot string) error {
	if snapshot != "" {
		if err := i.SetSnapshot(snapshot); err != nil {
			return classify(err, "read the snapshot")
		}
		defer func() { _ = i.SetSnapshot("") }() // the caller reads nothing after it
	}
	children, err := i.ListChildrenAttributes()
	if errno(err) == syscall.ERANGE {
		return fault.New(fault.Busy, "thousands of clones depend on it")
	}
	if errno(err) == syscall.ENOENT { // librbd looks each of them up after it has listed them
		return fault.New(fault.Unavailable, "a clone of it has just gone: %w", err).WithRetryAfter(openRetry)
	}
	if err != nil {
		return classify(err, "list the clones")
	}
	if len(children) == 0 {
		return nil
	}
	return i.d.hasChildren(children)
}

// hasChildren is the error for an image or snapshot that clones depend on.
func (d *Driver) hasChildren(children []rbd.ImageSpec) error {
	names := make([]string, len(children))
	for n, c := range children {
		names[n] = d.childName(c)
	}
	slices.Sort(names)
	if more := len(names) - shownChildren; more > 0 {
		names = append(names[:shownChildren], fmt.Sprintf("and %d more", more))
	}
	return fault.New(fault.Busy, "%d clones depend on it", len(children)).WithBlockers(names...).
		WithHint("delete and purge the clones, or flatten them")
}

// childName names a clone for a person.
func (d *Driver) childName(c rbd.ImageSpec) string {
	name := c.ImageName
	if c.PoolName != d.cfg.Pool {
		name = c.PoolName + "/" + name
	}
	if c.Trash {
		name += " (in the trash)"
	}
	return name
}
