package rbd

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/crashpoint"
	"github.com/volumed/volumed/volume"
)

var _ driver.Copier = (*Driver)(nil)

// copiedKey is the metadata key of a copy that tells how far it has come, as
// stage:offset. Only the copy itself is asked: its name is the proof that it is ours.
const copiedKey = "volumed.copied"

// Place returns the id of the cluster and the name of the pool.
func (d *Driver) Place() (cluster, pool string) { return d.fsid, d.cfg.Pool }

// CopyVolume copies by reading and writing, over the data connections of both sides.
// librbd's own deep copy could neither be interrupted nor gone on with, and does not
// leave its cluster. The stages are the snapshots, oldest first, and the head: of each,
// what differs from the one before is copied.
func (d *Driver) CopyVolume(
	ctx context.Context, v volume.Ref, keep []string, to driver.Driver, name string, progress driver.Progress,
) (volume.Location, error) {
	return d.copyBy(ctx, v, keep, to, name, progress, copySpan)
}

// copyBy copies so many bytes at once.
func (d *Driver) copyBy(
	ctx context.Context, v volume.Ref, keep []string, to driver.Driver, name string, progress driver.Progress, window uint64,
) (loc volume.Location, err error) {
	defer fault.Wrap(&err, "copy %s to %s", v.Name, name)
	dest, leave, err := d.enterBoth(ctx, to)
	if err != nil {
		return loc, err
	}
	defer leave()
	if err := driver.CheckName(name); err != nil {
		return loc, err
	}
	src, err := d.openWhole(d.data, v, rbd.OpenImageReadOnly)
	if fault.KindOf(err) == fault.NotFound {
		return d.copiedBefore(v, dest, name, err)
	}
	if err != nil {
		return loc, err
	}
	defer src.discard()
	if err := src.unused(); err != nil {
		return loc, err
	}
	stages, err := src.stages(keep)
	if err != nil {
		return loc, err
	}
	if loc.ImageID, err = dest.begun(ctx, name, stages); err != nil {
		return loc, err
	}
	c := &transfer{src: src, dest: dest, name: volume.Ref{Name: name, ImageID: loc.ImageID}, stages: stages, advance: advance{progress: progress, stages: stages}, window: window}
	return loc, c.run(ctx)
}

// enterBoth admits one call that uses the other backend, too, and looks whether both
// sides answer: over the data connections it would hang.
func (d *Driver) enterBoth(ctx context.Context, to driver.Driver) (dest *Driver, leave func(), err error) {
	dest, ok := driver.As[*Driver](to)
	if !ok {
		return nil, nil, fault.New(fault.Unsupported, "the other backend is no RBD pool")
	}
	leaveHere, err := d.enter(ctx)
	if err != nil {
		return nil, nil, err
	}
	leaveThere, err := dest.enter(ctx)
	if err != nil {
		leaveHere()
		return nil, nil, err
	}
	leave = func() { leaveThere(); leaveHere() }
	for _, side := range []*Driver{d, dest} {
		if err := side.control.read(); err != nil {
			leave()
			return nil, nil, err
		}
	}
	return dest, leave, nil
}

// copiedBefore returns where the copy is of an image that is not there any more: nobody
// takes the image away before its copy is whole.
func (d *Driver) copiedBefore(v volume.Ref, dest *Driver, name string, gone error) (loc volume.Location, err error) {
	if v.ImageID == "" {
		return loc, gone
	}
	entry, err := d.control.trashGet(v.ImageID)
	if err != nil || entry == nil {
		return loc, orElse(err, gone)
	}
	if loc.ImageID, err = dest.control.imageID(name); err == nil && loc.ImageID == "" {
		err = gone
	}
	return loc, err
}

func orElse(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// stage is one state of the source: a snapshot, or the head with an empty name.
type stage struct {
	snapshot string
	size     uint64 // bytes
}

// stages returns the snapshots that are to be kept, oldest first, and the head.
func (i *image) stages(keep []string) ([]stage, error) {
	all, err := i.GetSnapshotNames()
	if err != nil {
		return nil, classify(err, "list the snapshots")
	}
	slices.SortFunc(all, func(a, b rbd.SnapInfo) int { return int(int64(a.Id) - int64(b.Id)) })
	var stages []stage
	for _, s := range all {
		if slices.Contains(keep, s.Name) {
			stages = append(stages, stage{s.Name, s.Size})
		}
	}
	head, err := i.GetSize()
	return append(stages, stage{"", head}), classify(err, "read the size")
}

// begun returns the id of the copy, which it makes if there is none. What an earlier
// call was making when it died, and what was being removed, is removed first.
func (d *Driver) begun(ctx context.Context, name string, stages []stage) (string, error) {
	ref := volume.Ref{Name: name}
	img, err := d.resume(ctx, ref)
	if err != nil {
		return "", err
	}
	if img != nil {
		id := img.id
		flaw, err := img.flawAsCopy(stages)
		img.discard()
		if err != nil || flaw == "" {
			return id, err
		}
		if err := waited(d.removeCopy(ctx, name, flaw)); err != nil {
			return "", err
		}
	}
	loc, err := d.CreateVolume(ctx, volume.Spec{Ref: ref, Size: int64((stages[0].size + volume.GiB - 1) / volume.GiB)})
	return loc.ImageID, err
}

// flawAsCopy says why a copy cannot be gone on with; nothing if it can.
func (i *image) flawAsCopy(stages []stage) (string, error) {
	whole, err := i.complete()
	if err != nil {
		return "", err
	}
	if !whole {
		return "it has no object map", nil
	}
	snapshots, err := i.GetSnapshotNames()
	if err != nil {
		return "", classify(err, "list the snapshots")
	}
	first, _ := i.copied(len(stages))
	for _, s := range stages[:first] {
		taken := func(info rbd.SnapInfo) bool { return info.Name == s.snapshot }
		if s.snapshot != "" && !slices.ContainsFunc(snapshots, taken) {
			return "the snapshot " + s.snapshot + " was removed from it", nil
		}
	}
	return "", nil
}

// copied reads how far the copy has come, of so many stages: the first one that is not
// whole, and where to go on in it.
func (i *image) copied(stages int) (first int, offset uint64) {
	value, err := i.GetMetadata(copiedKey)
	if err != nil {
		return 0, 0 // from the beginning is always right
	}
	n, at, _ := strings.Cut(value, ":")
	first, _ = strconv.Atoi(n)
	offset, _ = strconv.ParseUint(at, 10, 64)
	if first < 0 || first > stages {
		return 0, 0
	}
	return first, offset
}

// transfer is one CopyVolume at work.
type transfer struct {
	src     *image
	dest    *Driver
	name    volume.Ref // of the copy
	stages  []stage
	advance advance
	window  uint64 // bytes
	to      *image // the copy, while it is open
}

// run copies what is not copied yet. A process before this one that was only silent may
// come back, and go on: as long as it has the copy open that is not whole.
func (c *transfer) run(ctx context.Context) (err error) {
	if c.to, err = c.dest.open(c.dest.data, c.name, rbd.OpenImage); err != nil {
		return err
	}
	defer c.to.close(&err)
	if err := waited(c.to.unused()); err != nil {
		return err
	}
	first, offset := c.to.copied(len(c.stages))
	c.advance.reach(first, offset)
	for n := first; n < len(c.stages); n, offset = n+1, 0 {
		if err := c.copyStage(ctx, n, offset); err != nil {
			return err
		}
	}
	return waited(c.to.unused())
}

// note writes down how far the copy has come. What it has is on the disks by then.
func (c *transfer) note(ctx context.Context, n int, offset uint64) error {
	if err := c.to.Flush(); err != nil {
		return classify(err, "flush")
	}
	value := strconv.Itoa(n) + ":" + strconv.FormatUint(offset, 10)
	err := crashpoint.Around(ctx, "rbd.set_metadata", func() error { return c.to.SetMetadata(copiedKey, value) })
	return classify(err, "note how far the copy is")
}

// copyStage makes the copy what the source was at the stage, and takes the snapshot.
func (c *transfer) copyStage(ctx context.Context, n int, offset uint64) error {
	s, from := c.stages[n], ""
	if n > 0 {
		from = c.stages[n-1].snapshot
	}
	if err := c.src.SetSnapshot(s.snapshot); err != nil { // empty for the head
		return classify(err, "read the snapshot "+s.snapshot)
	}
	if err := c.fit(ctx, s.size); err != nil {
		return err
	}
	for ; offset < s.size; offset += c.window {
		if offset > 0 {
			if err := c.note(ctx, n, offset); err != nil {
				return err
			}
		}
		if err := c.copyWindow(ctx, from, offset, min(c.window, s.size-offset)); err != nil {
			return err
		}
		c.advance.reach(n, min(offset+c.window, s.size))
	}
	if s.snapshot != "" {
		if err := c.takeSnapshot(ctx, s.snapshot); err != nil {
			return err
		}
	}
	return c.note(ctx, n+1, 0)
}

// fit gives the copy the size of the stage: what an earlier snapshot had beyond it goes.
func (c *transfer) fit(ctx context.Context, size uint64) error {
	now, err := c.to.GetSize()
	if err != nil || now == size {
		return classify(err, "read the size")
	}
	err = crashpoint.Around(ctx, "rbd.resize", func() error { return c.to.Resize(size) })
	return classify(err, "resize")
}

// takeSnapshot ends a stage. All that was written is in the snapshot.
func (c *transfer) takeSnapshot(ctx context.Context, name string) error {
	if err := c.to.Flush(); err != nil {
		return classify(err, "flush")
	}
	return c.dest.CreateSnapshot(ctx, volume.SnapshotRef{Volume: c.name, Name: name})
}
