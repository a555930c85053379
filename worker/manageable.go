package worker

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// handleManageableVolumes lists the images of the pool. In the order of their names only
// those of the page are looked at; for the order of their sizes every header is read.
// Only those of the page are opened, to see who else has them open.
func (w *Worker) handleManageableVolumes(ctx context.Context, r rpc.ManageableVolumesRequest) (reply rpc.ManageableVolumesReply, err error) {
	p, err := newPaging(r.Page, r.SortKey, r.SortDir)
	if err := firstOf(forOperators(ctx), w.adopts(), err); err != nil {
		return reply, err
	}
	leave, err := w.enterListing(ctx)
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

// enterListing lets one list be made at a time: each keeps the cluster as busy as an
// audit does.
func (w *Worker) enterListing(ctx context.Context) (leave func(), err error) {
	select {
	case w.listing <- struct{}{}:
		return func() { <-w.listing }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
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
	name, silent := strings.CutSuffix(img.Name, silentParent)
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
		if id, named := volume.IDIn(w.cfg.VolumeNameTemplate, strings.TrimSuffix(images[i].Name, silentParent)); named {
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

// surveyed is how many headers are read between two looks at whether a page is full.
const surveyed = 64

// handleManageableSnapshots lists the snapshots on the images of the pool. In the order
// of their names headers are read until the page is full; else all are.
func (w *Worker) handleManageableSnapshots(ctx context.Context, r rpc.ManageableSnapshotsRequest) (reply rpc.ManageableSnapshotsReply, err error) {
	p, err := newPaging(r.Page, r.SortKey, r.SortDir)
	if err := firstOf(forOperators(ctx), w.adopts(), err); err != nil {
		return reply, err
	}
	leave, err := w.enterListing(ctx)
	if err != nil {
		return reply, err
	}
	defer leave()
	refs, err := w.snapshotted(ctx, r.VolumeID)
	if err != nil {
		return reply, err
	}
	images, places, err := w.snapshotPlaces(ctx, p, refs)
	if err != nil {
		return reply, err
	}
	places, reply.Next = p.cut(places)
	reply.ManageableSnapshots, err = w.describeSnapshots(ctx, images, places)
	return reply, err
}

// snapshotted returns the images whose snapshots are asked for.
func (w *Worker) snapshotted(ctx context.Context, volumeID string) ([]volume.Ref, error) {
	if volumeID == "" {
		return w.adopter().Images(ctx)
	}
	if err := checkID("volume_id", volumeID); err != nil {
		return nil, err
	}
	v, err := w.visibleVolume(ctx, volumeID)
	if err != nil {
		return nil, err
	}
	return []volume.Ref{v.Ref(w.cfg.VolumeNameTemplate)}, w.here(&v, "volume_id")
}

// snapshotPlaces reads images, as many as the page needs, and returns where their
// snapshots stand.
func (w *Worker) snapshotPlaces(ctx context.Context, p paging, refs []volume.Ref) (map[string]*volume.Image, []place, error) {
	slices.SortFunc(refs, func(a, b volume.Ref) int { return p.direction * strings.Compare(a.Name, b.Name) })
	read := map[string]*volume.Image{} // by id
	var places []place
	for batch := range slices.Chunk(refs, surveyed) {
		if !p.bySize && p.after != nil && p.direction*strings.Compare(batch[len(batch)-1].Name, p.after.name) < 0 {
			continue // pages before
		}
		images, err := w.adopter().Survey(ctx, batch, false)
		if err != nil {
			return nil, nil, err
		}
		for i := range images {
			img := &images[i]
			read[img.ID] = img
			for _, s := range img.Snapshots {
				if at := (place{size: s.Size, name: img.Name, snapshot: s.Name, ref: img.Ref()}); p.follows(at) {
					places = append(places, at)
				}
			}
		}
		if !p.bySize && len(places) > p.limit {
			break
		}
	}
	return read, places, nil
}

// describeSnapshots says of each snapshot whether it can be managed.
func (w *Worker) describeSnapshots(ctx context.Context, read map[string]*volume.Image, places []place) ([]rpc.ManageableSnapshot, error) {
	var images []volume.Image
	var ids []string
	for _, at := range places {
		images = append(images, *read[at.ref.ImageID])
		if id, named := volume.IDIn(w.cfg.SnapshotNameTemplate, at.snapshot); named {
			ids = append(ids, id)
		}
	}
	owners, err := w.ownersOf(ctx, images)
	if err != nil {
		return nil, err
	}
	rows, err := w.store.SnapshotRecords(ctx, ids)
	if err != nil {
		return nil, err
	}
	list := make([]rpc.ManageableSnapshot, 0, len(places))
	for i, at := range places {
		m := rpc.ManageableSnapshot{
			Reference:       rpc.Reference{SourceName: at.snapshot, SourceID: strconv.FormatUint(images[i].Snapshot(at.snapshot).ID, 10)},
			SourceReference: rpc.Reference{SourceName: at.name, SourceID: at.ref.ImageID}, Size: gib(at.size),
		}
		w.judgeSnapshot(&m, owners.byImage[at.ref.ImageID], rows)
		list = append(list, m)
	}
	return list, nil
}

// judgeSnapshot says whether a snapshot can be managed. of has the image, nil for nobody.
func (w *Worker) judgeSnapshot(m *rpc.ManageableSnapshot, of *volume.Volume, rows []volume.Snapshot) {
	id, _ := volume.IDIn(w.cfg.SnapshotNameTemplate, m.Reference.SourceName)
	if of != nil && !of.Deleted() {
		m.VolumeID = of.ID
	}
	managed := slices.ContainsFunc(rows, func(s volume.Snapshot) bool {
		return s.ID == id && s.DeletedAt.IsZero() && s.VolumeID == m.VolumeID
	})
	serves := w.servesOthers(m.Reference.SourceName)
	switch {
	case managed:
		m.CinderID, m.ReasonNotSafe = id, "already managed"
	case serves != "":
		m.ReasonNotSafe = serves
	case m.VolumeID == "":
		m.ReasonNotSafe = "its volume is not managed"
	default:
		m.SafeToManage = true
	}
	if !managed && serves == "" {
		m.KeepID = id
	}
}

// checkSort refuses an order that no list has.
func checkSort(key, dir string) error {
	if !slices.Contains([]string{"", rpc.SortByReference, rpc.SortBySize}, key) {
		return fault.New(fault.Invalid, "sort_key %q is neither %s nor %s", key, rpc.SortByReference, rpc.SortBySize).WithField("sort_key")
	}
	if !slices.Contains([]string{"", rpc.Ascending, rpc.Descending}, dir) {
		return fault.New(fault.Invalid, "sort_dir %q is neither %s nor %s", dir, rpc.Ascending, rpc.Descending).WithField("sort_dir")
	}
	return nil
}
