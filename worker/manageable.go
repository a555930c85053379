package worker

import (
	"context"
	"strings"

	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// handleManageableVolumes lists the images of the pool. In the order of their names only
// those of the page are looked at; for the order of their sizes every header is read.
// Only those of the page are opened, to see who else has them open.
func (w *Worker) handleManageableVolumes(ctx context.Context, r rpc.ManageableVolumesRequest) (reply rpc.ManageableVolumesReply, err error) {
	p, leave, err := w.beginListing(ctx, r.Page, r.SortKey, r.SortDir)
	if err != nil {
		return reply, err
	}
	defer leave()
	refs, err := w.adopter().Images(ctx)
	if err != nil {
		return reply, err
	}
	names := make(map[string]string, len(refs)) // by id
	for _, v := range refs {
		names[v.ImageID] = v.Name
	}
	places, err := w.placesOf(ctx, p, refs)
	if err != nil {
		return reply, err
	}
	if places, reply.Next = p.cut(places); len(places) == 0 {
		reply.ManageableVolumes = []rpc.ManageableVolume{}
		return reply, nil
	}
	page := make([]volume.Ref, len(places))
	for i, at := range places {
		page[i] = at.ref
	}
	images, err := w.adopter().Survey(ctx, page, true)
	if err != nil {
		return reply, err
	}
	reply.ManageableVolumes, err = w.describeImages(ctx, images, names)
	return reply, err
}

// beginListing checks a request for a list, and lets one be made at a time: each keeps the
// cluster as busy as an audit does.
func (w *Worker) beginListing(ctx context.Context, page rpc.Page, key, direction string) (p paging, leave func(), err error) {
	p, err = newPaging(page, key, direction)
	if err := firstOf(forOperators(ctx), w.adopts(), err); err != nil {
		return p, nil, err
	}
	select {
	case w.listing <- struct{}{}:
		return p, func() { <-w.listing }, nil
	case <-ctx.Done():
		return p, nil, ctx.Err()
	}
}

// placesOf returns where in the order of the list each image stands.
func (w *Worker) placesOf(ctx context.Context, p paging, refs []volume.Ref) ([]place, error) {
	var places []place
	if !p.bySize {
		for _, v := range refs {
			places = append(places, place{name: v.Name, ref: v})
		}
		return places, nil
	}
	images, err := w.adopter().Survey(ctx, refs, false)
	for i := range images {
		places = append(places, place{size: images[i].Size, name: images[i].Name, ref: images[i].Ref()})
	}
	return places, err
}

// describeImages says of each image whether it can be managed.
func (w *Worker) describeImages(ctx context.Context, images []volume.Image, names map[string]string) ([]rpc.ManageableVolume, error) {
	owners, err := w.ownersOf(ctx, images)
	if err != nil {
		return nil, err
	}
	ours, err := w.serviceAddrs(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]rpc.ManageableVolume, 0, len(images))
	for i := range images {
		img := &images[i]
		m := rpc.ManageableVolume{
			Reference: rpc.Reference{SourceName: img.Name, SourceID: img.ID}, Size: gib(img.Size),
			ExtraInfo: rpc.ManageableDetail{Bytes: img.Size, Snapshots: len(img.Snapshots), Watchers: img.Watchers, Parent: img.Parent},
		}
		if img.Parent != nil && img.Parent.Pool == "" {
			m.ExtraInfo.ParentName = names[img.Parent.ImageID]
		}
		w.judgeImage(&m, img, owners, ours)
		list = append(list, m)
	}
	return list, nil
}

// judgeImage says whether an image can be managed.
func (w *Worker) judgeImage(m *rpc.ManageableVolume, img *volume.Image, owners owners, ours []string) {
	name, silent := strings.CutSuffix(img.Name, volume.SilentSuffix)
	named, hasID := volume.IDIn(w.cfg.VolumeNameTemplate, name)
	owner := owners.byImage[img.ID]
	if live, taken := owners.byID[named]; owner == nil && hasID && taken && !live.Deleted() {
		owner = live
	}
	switch hindered := hindrance(img, ours); {
	case owner != nil:
		m.CinderID, m.ReasonNotSafe = owner.ID, "already managed"
	case hindered != nil:
		m.ReasonNotSafe = hindered.Message
	case silent && hasID && keptSnapshot(img, w.cfg.VolumeNameTemplate) == "":
		m.KeepID, m.AsDeleted, m.ReasonNotSafe = named, true, "volume marked as deleted"
	case silent:
		m.ReasonNotSafe = "volume marked as deleted"
	default:
		m.SafeToManage, m.KeepID = true, named
	}
}

// owners are the rows that have images.
type owners struct {
	byImage map[string]*volume.Volume // by the id of the image, deleted or not
	byID    map[string]*volume.Volume
}

// ownersOf finds the rows that have the images, and those of which the images have the
// name.
func (w *Worker) ownersOf(ctx context.Context, images []volume.Image) (o owners, err error) {
	o = owners{map[string]*volume.Volume{}, map[string]*volume.Volume{}}
	var imageIDs, ids []string
	for i := range images {
		imageIDs = append(imageIDs, images[i].ID)
		if id, named := volume.IDIn(w.cfg.VolumeNameTemplate, strings.TrimSuffix(images[i].Name, volume.SilentSuffix)); named {
			ids = append(ids, id)
		}
	}
	rows, err := w.store.VolumesOfImages(ctx, imageIDs)
	if err != nil {
		return o, err
	}
	for i := range rows {
		o.byImage[rows[i].ImageID] = &rows[i]
	}
	named, err := w.store.VolumeRecords(ctx, ids)
	for i := range named {
		o.byID[named[i].ID] = &named[i]
	}
	return o, err
}
