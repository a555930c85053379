package mem

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

var (
	_ driver.Inventory = (*Driver)(nil)
	_ driver.Repairer  = (*Driver)(nil)
)

// Inventory tells the images as they were at one moment.
func (d *Driver) Inventory(ctx context.Context, deep bool, each func(img volume.Image, total int) error) (err error) {
	defer fault.Wrap(&err, "take the inventory")
	w, err := d.enter(ctx)
	if err != nil {
		return err
	}
	var all []volume.Image
	for _, images := range []map[string]*image{w.live, w.trash} {
		for _, img := range images {
			all = append(all, img.tell(deep))
		}
	}
	w.mu.Unlock()
	for _, img := range all {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := each(img, len(all)); err != nil {
			return err
		}
	}
	return nil
}

// Inspect tells the images of the id and of the name.
func (d *Driver) Inspect(ctx context.Context, v volume.Ref, deep bool) (found []volume.Image, err error) {
	defer fault.Wrap(&err, "inspect %s", v)
	w, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer w.mu.Unlock()
	if img := w.byID(v.ImageID); img != nil {
		found = append(found, img.tell(deep))
	}
	if img := w.live[v.Name]; img != nil && img.id != v.ImageID {
		found = append(found, img.tell(deep))
	}
	return found, nil
}

// byID returns the image with that id, in the trash or not; nil for none.
func (w *World) byID(id string) *image {
	if img := w.trash[id]; img != nil {
		return img
	}
	for _, img := range w.live {
		if img.id == id {
			return img
		}
	}
	return nil
}

// tell is what an inventory tells of the image.
func (i *image) tell(deep bool) volume.Image {
	told := volume.Image{ID: i.id, Name: i.name, Trashed: i.trashed, KeepUntil: i.keepUntil, Broken: i.broken}
	if i.broken != "" {
		return told
	}
	told.Size, told.Metadata, told.Grouped = i.size*volume.GiB, maps.Clone(i.metadata), i.group != ""
	if i.parent != nil {
		told.Parent = &volume.ImageParent{ImageID: i.parent.of.id, SnapshotID: uint64(i.parent.id)}
	}
	for _, s := range i.snapshots {
		told.Snapshots = append(told.Snapshots, volume.ImageSnapshot{
			ID: uint64(s.id), Name: s.name, Size: s.size * volume.GiB, Protected: s.protected,
		})
	}
	slices.SortFunc(told.Snapshots, func(a, b volume.ImageSnapshot) int { return cmp.Compare(a.ID, b.ID) })
	if deep {
		told.Watchers, told.Locks = slices.Sorted(maps.Keys(i.watchers)), slices.Clone(i.locks)
	}
	return told
}

// RenameVolume gives the image another name.
func (d *Driver) RenameVolume(ctx context.Context, v volume.Ref, to string) (err error) {
	defer fault.Wrap(&err, "rename %s to %s", v.Name, to)
	w, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer w.mu.Unlock()
	if err := driver.CheckName(to); err != nil {
		return err
	}
	if img := w.live[to]; img != nil && img.id == v.ImageID {
		return nil
	}
	img, err := w.find(v)
	if err != nil {
		return err
	}
	if w.live[to] != nil {
		return fault.New(fault.Exists, "another image has that name")
	}
	delete(w.live, img.name)
	img.name, w.live[to] = to, img
	return nil
}

// RemoveSetting removes a key of the image's metadata.
func (d *Driver) RemoveSetting(ctx context.Context, v volume.Ref, key string) (err error) {
	defer fault.Wrap(&err, "remove the setting %s of %s", key, v.Name)
	w, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer w.mu.Unlock()
	img, err := w.find(v)
	if err == nil {
		delete(img.metadata, key)
	}
	return err
}

// RemoveLock removes a lock that was taken by hand.
func (d *Driver) RemoveLock(ctx context.Context, v volume.Ref, lock volume.ImageLock) (err error) {
	defer fault.Wrap(&err, "remove the lock %s from %s", lock, v.Name)
	w, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer w.mu.Unlock()
	if lock.Managed {
		return fault.New(fault.Invalid, "the backend gives this lock up by itself")
	}
	img, err := w.find(v)
	if err == nil {
		img.locks = slices.DeleteFunc(img.locks, func(l volume.ImageLock) bool { return l == lock })
	}
	return err
}
