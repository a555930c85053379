package worker

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// surveyed is how many headers are read between two looks at whether a page is full.
const surveyed = 64

// handleManageableSnapshots lists the snapshots on the images of the pool. In the order
// of their names headers are read until the page is full; else all are.
func (w *Worker) handleManageableSnapshots(ctx context.Context, r rpc.ManageableSnapshotsRequest) (reply rpc.ManageableSnapshotsReply, err error) {
	p, leave, err := w.beginListing(ctx, r.Page, r.SortKey, r.SortDir)
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
