package mem

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// find returns the live image that v names. Kinds: NotFound; Conflict for an
// image of that name with another id; Invalid.
func (w *World) find(v volume.Ref) (*image, error) {
	if err := driver.CheckName(v.Name); err != nil {
		return nil, err
	}
	img := w.live[v.Name]
	switch {
	case img == nil:
		return nil, fault.New(fault.NotFound, "no image of that name")
	case v.ImageID != "" && v.ImageID != img.id:
		return nil, fault.New(fault.Conflict, "the image of that name has the id %s, not %s: it is another one", img.id, v.ImageID)
	}
	return img, nil
}

// CreateVolume makes an image.
func (d *Driver) CreateVolume(ctx context.Context, v volume.Spec) (loc volume.Location, err error) {
	defer fault.Wrap(&err, "create %s", v.Name)
	w, err := d.enter(ctx)
	if err != nil {
		return loc, err
	}
	defer w.mu.Unlock()
	if err := driver.CheckSize(v.Size); err != nil {
		return loc, err
	}
	img, err := w.claim(v, nil)
	if err != nil {
		return loc, err
	}
	return volume.Location{ImageID: img.id}, nil
}

// claim returns the image of the spec as a clone of parent (nil for none): a
// new one, or the one that an earlier attempt made.
func (w *World) claim(v volume.Spec, parent *snapshot) (*image, error) {
	if err := driver.CheckName(v.Name); err != nil {
		return nil, err
	}
	img := w.live[v.Name]
	switch {
	case img == nil && w.full:
		return nil, fault.New(fault.Exhausted, "the pool is full")
	case img == nil:
		img = w.add(v.Name, v.Size)
		img.parent, img.format = parent, w.format
		if parent != nil {
			img.data = parent.data
			maps.Copy(img.metadata, parent.of.metadata)
		}
	case !v.Repeat:
		return nil, fault.New(fault.Exists, "an image of that name is there already")
	case img.size != v.Size || img.parent != nil && (parent == nil || img.parent.of != parent.of):
		return nil, fault.New(fault.Exists, "an image of that name is there already, of %d GiB or with another parent", img.size)
	}
	return img, nil
}

// DeleteVolume moves the image to the trash.
func (d *Driver) DeleteVolume(ctx context.Context, v volume.Ref, keep time.Duration) (loc volume.Location, err error) {
	defer fault.Wrap(&err, "delete %s", v.Name)
	w, err := d.enter(ctx)
	if err != nil {
		return loc, err
	}
	defer w.mu.Unlock()
	if w.trash[v.ImageID] != nil {
		return volume.Location{ImageID: v.ImageID}, nil
	}
	img, err := w.find(v)
	switch {
	case fault.KindOf(err) == fault.NotFound && v.ImageID == "":
		return w.trashed(v.Name), nil
	case fault.KindOf(err) == fault.NotFound:
		return loc, nil
	case err != nil:
		return loc, err
	case len(img.watchers) > 0:
		return loc, fault.New(fault.Busy, "the image is open").
			WithBlockers(slices.Sorted(maps.Keys(img.watchers))...).WithHint("detach it first")
	case img.group != "":
		return loc, fault.New(fault.Busy, "the image is a member of the group %s", img.group).WithBlockers("group " + img.group)
	}
	delete(w.live, img.name)
	w.trash[img.id] = img
	img.trashed, img.keepUntil = true, time.Now().Add(keep)
	return volume.Location{ImageID: img.id}, nil
}

// trashed returns where in the trash the image that had the name is.
func (w *World) trashed(name string) volume.Location {
	for id, img := range w.trash {
		if img.name == name {
			return volume.Location{ImageID: id}
		}
	}
	return volume.Location{}
}

// UndeleteVolume takes the image out of the trash.
func (d *Driver) UndeleteVolume(ctx context.Context, v volume.Ref) (err error) {
	defer fault.Wrap(&err, "undelete %s", v)
	w, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer w.mu.Unlock()
	if err := driver.CheckName(v.Name); err != nil {
		return err
	}
	if v.ImageID == "" {
		return fault.New(fault.Invalid, "no image id: the trash is searched by id only")
	}
	img, taken := w.trash[v.ImageID], w.live[v.Name]
	switch {
	case taken != nil && taken.id == v.ImageID:
		return nil
	case img == nil:
		return fault.New(fault.NotFound, "the image is not in the trash any more")
	case taken != nil:
		return fault.New(fault.Conflict, "another image has the name %s", v.Name).
			WithBlockers("image " + taken.id).WithHint("rename or remove that image")
	}
	delete(w.trash, img.id)
	img.trashed, img.name, img.keepUntil = false, v.Name, time.Time{}
	w.live[img.name] = img
	return nil
}

// PurgeVolume removes the image from the trash.
func (d *Driver) PurgeVolume(ctx context.Context, v volume.Ref, progress driver.Progress) (err error) {
	defer fault.Wrap(&err, "purge %s", v)
	w, err := d.enter(ctx)
	if err != nil {
		return err
	}
	err = w.purge(v)
	w.mu.Unlock()
	if err == nil && progress != nil {
		progress(100)
	}
	return err
}

func (w *World) purge(v volume.Ref) error {
	if v.ImageID == "" {
		return fault.New(fault.Invalid, "no image id: the trash is searched by id only")
	}
	img := w.trash[v.ImageID]
	if img == nil {
		if live := w.live[v.Name]; live != nil && live.id == v.ImageID {
			return fault.New(fault.Conflict, "the image is not in the trash: delete it first")
		}
		return nil
	}
	if children := w.childrenOf(img, func(*image) bool { return true }); len(children) > 0 {
		return fault.New(fault.Busy, "clones depend on it").WithBlockers(children...).
			WithHint("delete and purge the clones, or flatten them")
	}
	if left := time.Until(img.keepUntil); left > 0 {
		return fault.New(fault.Busy, "it is kept until %s", img.keepUntil.UTC().Format(time.RFC3339)).WithRetryAfter(left)
	}
	delete(w.trash, img.id)
	return nil
}

// ExtendVolume grows the image.
func (d *Driver) ExtendVolume(ctx context.Context, v volume.Ref, size int64) (err error) {
	defer fault.Wrap(&err, "extend %s to %d GiB", v.Name, size)
	w, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer w.mu.Unlock()
	if err := driver.CheckSize(size); err != nil {
		return err
	}
	img, err := w.find(v)
	if err != nil {
		return err
	}
	if size < img.size {
		return fault.New(fault.Invalid, "the volume has %d GiB already: volumes never shrink", img.size).WithField("size")
	}
	img.size = size
	return nil
}
