package audit

import (
	"fmt"
	"strings"

	"github.com/volumed/volumed/volume"
)

// ownerless tells of an image that belongs to no live row of the service.
func (c *comparison) ownerless(img *volume.Image) {
	deleted := c.deleted[img.ID]
	id, named := volume.IDIn(c.VolumeNames, strings.TrimSuffix(img.Name, volume.SilentSuffix))
	row := c.rows[id]
	switch {
	case deleted != nil && img.Trashed:
		c.unpurged(deleted, img)
	case deleted != nil:
		c.found(volume.Finding{
			Kind: volume.RowMissing, VolumeID: deleted.ID, Image: img.Ref(), Message: "the volume was deleted, and its image is in the pool",
		})
	case named && row != nil && !row.Deleted() && !c.ours(row):
		c.elsewhere(row, img)
	case row != nil && row.Unmanaged() && img.Name == row.Ref(c.VolumeNames).Name:
		c.found(volume.Finding{
			Kind: volume.ForeignImage, Note: true, VolumeID: id, Image: img.Ref(), Message: "the volume was unmanaged, and its image left to others",
		})
	case named && c.busy[id] != nil:
		c.found(volume.Finding{Kind: volume.RowMissing, VolumeID: id, Image: img.Ref()})
	case named && img.Trashed:
		c.found(volume.Finding{
			Kind: volume.StrayTrash, VolumeID: id, Image: img.Ref(),
			Message: "the image in the trash had a volume's name, and no row has its id",
			Hint:    fmt.Sprintf("remove it by hand if nobody needs it: rbd trash rm --pool %s %s", c.Pool, img.ID),
		})
	case named:
		c.found(volume.Finding{
			Kind: volume.RowMissing, VolumeID: id, Image: img.Ref(), Message: c.unclaimed(img),
			Hint: fmt.Sprintf("find out whose it is; if it is nobody's: rbd rm %s/%s", c.Pool, img.Name),
		})
	default:
		c.foreign(img)
	}
}

// elsewhere tells of an image with the name of a volume of another service, which audits
// its own, and removes what it copies; unless that failed for good.
func (c *comparison) elsewhere(row *volume.Volume, img *volume.Image) {
	if row.MigrationStatus != volume.MigrationError || row.ImageID == "" || row.ImageID == img.ID || c.busy[row.ID] != nil {
		return
	}
	c.found(volume.Finding{
		Kind: volume.RowMissing, VolumeID: row.ID, Image: img.Ref(), Message: "the volume is at " + row.Host + ", and a migration that failed has left a copy here",
		Hint: fmt.Sprintf("when the volume is well there: rbd rm %s/%s", c.Pool, img.Name),
	})
}

// unpurged tells of a deleted volume in the trash that no operation purges.
func (c *comparison) unpurged(v *volume.Volume, img *volume.Image) {
	if c.busy[v.ID] == nil {
		c.found(volume.Finding{
			Kind: volume.StrayTrash, VolumeID: v.ID, Image: img.Ref(), Message: "the volume was deleted, and nobody purges its image from the trash",
		})
	}
}

// unclaimed says of an image with a volume's name what is known.
func (c *comparison) unclaimed(img *volume.Image) string {
	switch {
	case img.Broken != "":
		return "the image has a volume's name, no row has its id, and it cannot be read: " + img.Broken
	case strings.HasSuffix(img.Name, volume.SilentSuffix):
		return "cinder-volume has left the image behind for the clones of a deleted volume"
	default:
		return "the image has a volume's name, and no row has its id"
	}
}

// foreign tells of an image that is not of this service. In a pool that others use
// too that is as it should be.
func (c *comparison) foreign(img *volume.Image) {
	where := "in the pool"
	if img.Trashed {
		where = "in the trash"
	}
	c.found(volume.Finding{
		Kind: volume.ForeignImage, Note: c.SharedPool, Image: img.Ref(),
		Message: fmt.Sprintf("the image %s is not of this service; it is never touched", where),
	})
}
