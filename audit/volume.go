package audit

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/volumed/volumed/volume"
)

// volume compares a live row with its image.
func (c *comparison) volume(v *volume.Volume) {
	ref := v.Ref(c.VolumeNames)
	if c.notTakenOver(v) {
		return
	}
	img := c.match(v, ref)
	if v.Status.Transient() && c.busy[v.ID] == nil {
		if img != nil {
			ref = img.Ref()
		}
		c.stuck(v, ref)
		return
	}
	if img == nil {
		return
	}
	if img.Broken != "" {
		c.found(volume.Finding{
			Kind: volume.ImageBroken, VolumeID: v.ID, Image: img.Ref(), Message: "the image cannot be read: " + img.Broken,
			Hint: "delete the volume, or restore the image from a backup",
		})
		return
	}
	c.size(v, img)
	c.parent(v, img)
	c.snapshotsOf(v, img)
	c.settings(v, img)
	c.clients(v, img)
}

// notTakenOver reports whether the image of the row is not the volume's yet: whatever it
// is called is right.
func (c *comparison) notTakenOver(v *volume.Volume) bool {
	stuck := v.Status == volume.Managing && c.busy[v.ID] == nil
	if !stuck && v.Status != volume.ErrorManaging {
		return false
	}
	ref := v.Ref(c.VolumeNames)
	if img := c.byID[v.ImageID]; img != nil {
		c.matched[img.ID], ref = true, img.Ref()
	}
	if stuck {
		c.stuck(v, ref)
	}
	return true
}

// match returns the image of the row, and finds out why if there is none to compare.
func (c *comparison) match(v *volume.Volume, ref volume.Ref) *volume.Image {
	named, known := c.byName[ref.Name], c.byID[ref.ImageID]
	if ref.ImageID == "" && named != nil {
		known = named // its id was never recorded, its name is what it has
	}
	if known != nil {
		c.matched[known.ID] = true
	}
	if named != nil && named != known {
		c.matched[named.ID] = true
		c.found(volume.Finding{
			Kind: volume.ImageReplaced, VolumeID: v.ID, Image: named.Ref(),
			Message: fmt.Sprintf("the image of that name has the id %s; the volume's has %s", named.ID, ref.ImageID),
			Hint:    "find out who made it, and rename or remove it by hand",
		})
	}
	switch {
	case known == nil:
		c.missing(v, ref, named)
	case known.Trashed:
		c.inTrash(v, known)
		return nil
	case known.Name != ref.Name:
		f := volume.Finding{
			Kind: volume.ImageRenamed, VolumeID: v.ID, Image: known.Ref(),
			Message: fmt.Sprintf("the image is named %s instead of %s", known.Name, ref.Name),
		}
		if named != nil {
			f.Hint = "another image has that name: rename or remove it by hand, and audit again"
		}
		c.found(f)
	}
	return known
}

// missing tells of a row without an image, unless its status says that there need not
// be one. An image that another has replaced is missing as well.
func (c *comparison) missing(v *volume.Volume, ref volume.Ref, named *volume.Image) {
	if v.Status == volume.Error || v.Status == volume.ErrorDeleting || v.Status.Transient() && c.busy[v.ID] == nil || named != nil {
		return
	}
	c.found(volume.Finding{
		Kind: volume.ImageMissing, VolumeID: v.ID, Image: ref,
		Message: fmt.Sprintf("the volume is %s and has no image, neither in the pool nor in its trash", v.Status),
		Hint:    "restore the image from a backup, or delete the volume",
	})
}

// inTrash tells of an image in the trash whose row lives. A delete that failed may
// have left it there; it is deleted again.
func (c *comparison) inTrash(v *volume.Volume, img *volume.Image) {
	if v.Status == volume.ErrorDeleting {
		return
	}
	c.found(volume.Finding{
		Kind: volume.ImageTrashed, VolumeID: v.ID, Image: img.Ref(),
		Message: fmt.Sprintf("the volume is %s and its image is in the trash", v.Status),
		Hint:    fmt.Sprintf("take it out again: rbd trash restore --pool %s %s", c.Pool, img.ID),
	})
}

// stuck tells of a transient status that no operation will end.
func (c *comparison) stuck(v *volume.Volume, ref volume.Ref) {
	c.found(volume.Finding{
		Kind: volume.RowStuck, VolumeID: v.ID, Image: ref,
		Message: fmt.Sprintf("the volume is %s and no operation is at work on it", v.Status),
	})
}

// size compares the sizes. An extend that failed may have grown the image.
func (c *comparison) size(v *volume.Volume, img *volume.Image) {
	if img.Size == v.Size*volume.GiB || v.Status == volume.ErrorExtend && img.Size > v.Size*volume.GiB || v.Status == volume.Error {
		return
	}
	f := volume.Finding{
		Kind: volume.SizeDiffers, VolumeID: v.ID, Image: img.Ref(),
		Message: fmt.Sprintf("the image has %d bytes, the volume %d GiB (%d bytes)", img.Size, v.Size, v.Size*volume.GiB),
	}
	switch {
	case img.Size < v.Size*volume.GiB:
		f.Hint = "what was beyond the end of the image is lost; look at the data before you use the volume"
	case img.Size%volume.GiB != 0:
		f.Hint = "no row can have this size: extend the volume beyond it"
	}
	c.found(f)
}

// parent compares what the row says the volume was made from with what its image
// depends on. One that depends on nothing is right: it may have been flattened. So is
// what it depended on when it was taken over from others.
func (c *comparison) parent(v *volume.Volume, img *volume.Image) {
	if img.Parent == nil || v.AdoptedParent != nil && *v.AdoptedParent == *img.Parent {
		return
	}
	source := v.SourceVolID
	if v.SnapshotID != "" {
		source = c.volumeOf[v.SnapshotID]
	}
	says := "empty"
	switch {
	case v.SnapshotID != "":
		says = "from snapshot " + v.SnapshotID
	case source != "":
		says = "from volume " + source
	case img.Parent.Pool == "" && c.cached[img.Parent.ImageID]:
		return // of which nobody but the service makes clones
	case strings.HasPrefix(v.ImageMetadata[volume.ImageURL], "rbd:"):
		if img.Parent.Pool != "" {
			return // an image of others, in a pool of theirs
		}
		says = "from image " + v.ImageMetadata[volume.ImageURL]
	}
	if source != "" && c.isImageOf(*img.Parent, source) {
		return
	}
	c.found(volume.Finding{
		Kind: volume.ParentDiffers, VolumeID: v.ID, Image: img.Ref(),
		Message: fmt.Sprintf("the image is a clone of %s, the volume was made %s", c.nameOf(*img.Parent), says),
		Hint:    "compare the data; volumectl volume flatten " + v.ID + " makes it independent of that image",
	})
}

// isImageOf reports whether the parent is an image of the volume.
func (c *comparison) isImageOf(parent volume.ImageParent, volumeID string) bool {
	row := c.rows[volumeID]
	if row == nil || parent.Pool != "" {
		return false
	}
	if left := c.deleted[parent.ImageID]; left != nil && left.MigrationStatus == volume.MigrationSourceOf(volumeID) {
		return true // what the volume has left here when it moved
	}
	if row.ImageID != "" {
		return row.ImageID == parent.ImageID
	}
	img := c.byID[parent.ImageID]
	return img != nil && img.Name == row.Ref(c.VolumeNames).Name
}

// nameOf names a parent for a person.
func (c *comparison) nameOf(p volume.ImageParent) string {
	img := c.byID[p.ImageID]
	if p.Pool != "" || img == nil {
		return strings.TrimSpace(fmt.Sprintf("image id %s %s", p.ImageID, p.Pool))
	}
	for _, s := range img.Snapshots {
		if s.ID == p.SnapshotID {
			return img.Name + "@" + s.Name
		}
	}
	return img.Name
}

// settings compares the settings on the image with those that the volume's type wants.
// After an extend that failed they may be those of either size.
func (c *comparison) settings(v *volume.Volume, img *volume.Image) {
	wanted := c.Settings[v.ID]
	for _, name := range slices.Sorted(maps.Keys(img.Metadata)) {
		if _, known := wanted[name]; !known && strings.HasPrefix(name, settingsPrefix) {
			c.found(volume.Finding{
				Kind: volume.StraySetting, VolumeID: v.ID, Image: img.Ref(), Key: name,
				Message: fmt.Sprintf("the image has the setting %s = %q, which the volume does not want", name, img.Metadata[name]),
			})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if img.Metadata[name] != wanted[name] && v.Status != volume.ErrorExtend {
			c.found(volume.Finding{
				Kind: volume.SettingDiffers, VolumeID: v.ID, Image: img.Ref(), Key: name,
				Message: fmt.Sprintf("the image has the setting %s = %q, the type of the volume wants %q", name, img.Metadata[name], wanted[name]),
				Hint:    fmt.Sprintf("apply the type anew: volumectl volume retype %s --type %s", v.ID, v.VolumeTypeID),
			})
		}
	}
}

// clients finds watchers of a volume that is attached nowhere, and locks whose owner
// does not watch: it is gone.
func (c *comparison) clients(v *volume.Volume, img *volume.Image) {
	for _, addr := range img.Watchers {
		if v.Status == volume.Available && v.AttachStatus != volume.Attached && !slices.Contains(c.Addrs, addr) {
			c.found(volume.Finding{
				Kind: volume.StrayWatcher, VolumeID: v.ID, Image: img.Ref(),
				Message: fmt.Sprintf("client %s has the image open, and the volume is attached nowhere", addr),
				Hint:    "find the client and let it close the image; one that died is forgotten within 30 s",
			})
		}
	}
	for _, lock := range img.Locks {
		if slices.Contains(img.Watchers, lock.Addr) || slices.Contains(c.Addrs, lock.Addr) {
			continue
		}
		f := volume.Finding{
			Kind: volume.StrayLock, VolumeID: v.ID, Image: img.Ref(), Lock: &lock,
			Message: fmt.Sprintf("the lock %s is held, and that client does not have the image open", lock),
		}
		if lock.Managed {
			f.Note, f.Hint = true, "the next client that writes takes it over by itself"
		}
		c.found(f)
	}
}
