package drivertest

import (
	"context"
	"strings"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// imageCloner returns the driver as a driver.ImageCloner, nil for one that is none.
func (b *between) imageCloner() driver.ImageCloner {
	c, ok := driver.As[driver.ImageCloner](b.d)
	if !ok {
		b.Log("the driver clones no images of others")
	}
	return c
}

// imageURL names a snapshot at the other place.
func (b *between) imageURL(snap volume.SnapshotRef) string {
	cluster, pool := b.to.copier().Place()
	return "rbd://" + strings.Join([]string{cluster, pool, snap.Volume.Name, snap.Name}, "/")
}

// cloneImage checks that a volume made of an image holds that, at its own size, and is made
// once.
func (b *between) cloneImage() {
	cloner := b.imageCloner()
	if cloner == nil {
		return
	}
	image := b.to.snapshot(b.to.written(b.to.volume(1)))
	spec := volume.Spec{Ref: volume.Ref{Name: name()}, Size: 2}
	loc, err := cloner.CloneImage(b.Context(), spec, b.imageURL(image))
	v := b.made(spec.Ref, loc, err)
	if img := b.look(v); loc.Depth != 1 || img == nil || img.Parent == nil || img.Size != 2*volume.GiB {
		b.Errorf("the clone is %+v of depth %d", img, loc.Depth)
	}
	b.holds(v, sample())
	_, err = cloner.CloneImage(b.Context(), spec, b.imageURL(image))
	b.want(fault.Exists, err)
	spec.Repeat = true
	again, err := cloner.CloneImage(b.Context(), spec, b.imageURL(image))
	b.want("", err)
	if again.ImageID != loc.ImageID {
		b.Errorf("a repeat made %s beside %s", again.ImageID, loc.ImageID)
	}
}

func (b *between) cloneImageRefused() {
	cloner := b.imageCloner()
	if cloner == nil {
		return
	}
	image := b.to.snapshot(b.to.volume(2))
	cluster, own := b.copier().Place()
	_, theirs := b.to.copier().Place()
	ctx, cancel := context.WithCancel(b.Context())
	cancel()
	v := volume.Ref{Name: name()}
	for what, tc := range map[string]struct {
		ctx  context.Context
		url  string
		kind fault.Kind
	}{
		"larger":          {b.Context(), b.imageURL(image), fault.Invalid},
		"no image":        {b.Context(), b.imageURL(volume.SnapshotRef{Volume: volume.Ref{Name: name()}, Name: image.Name}), fault.NotFound},
		"no snapshot":     {b.Context(), b.imageURL(volume.SnapshotRef{Volume: image.Volume, Name: snapName()}), fault.NotFound},
		"no name":         {b.Context(), b.imageURL(volume.SnapshotRef{Volume: image.Volume}), fault.Invalid},
		"other cluster":   {b.Context(), "rbd://other/" + theirs + "/image/snap", fault.Invalid},
		"pool of volumes": {b.Context(), "rbd://" + cluster + "/" + own + "/image/snap", fault.Invalid},
		"no URL of rbd":   {b.Context(), "rbd://", fault.Invalid},
		"cancelled":       {ctx, b.imageURL(image), fault.Cancelled},
	} {
		if _, err := cloner.CloneImage(tc.ctx, volume.Spec{Ref: v, Size: 1}, tc.url); fault.KindOf(err) != tc.kind {
			b.Errorf("%s: kind %q, want %q: %v", what, fault.KindOf(err), tc.kind, err)
		}
	}
	if img := b.look(v); img != nil {
		b.Errorf("a refused clone has left %+v", img)
	}
}
