package worker

import (
	"context"
	"errors"
	"strconv"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/image"
	"github.com/volumed/volumed/internal/redact"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/volume"
)

// lookup is what a creation knows of the cache.
type lookup struct {
	entered bool // by this process
	repeats bool // what a process before has begun
	begun   bool // the server has been asked
	changed bool // more than once, as the image had been changed when it came

	image string // tells the image from all others; empty if nothing does
	fetch string // the operation that brings it into the cache, if that is known
	own   bool   // it was begun for this volume
	entry string // the volume in the cache to be cloned; empty for none
	lost  string // one that could not be
}

// mostLookups is how many ask at once whether an image has changed.
const mostLookups = 8

// createCached makes a volume of an image that comes from a file or a web server: as a
// clone of what the cache has of it. What it has not is brought there first, by an
// operation for all who want that image now (cache.go). The server is asked each time,
// by the URL of the request: what is in the cache may be another image than it has by
// now, and is not for everybody.
func (w *Worker) createCached() operation.Method[creation] {
	hit := func(c *creation) bool { return c.cache.entry != "" }
	return operation.Method[creation]{
		Name: methodCreateCached, Since: "1.1", Resource: volume.VolumeResource, Lane: operation.Bulk, Target: operation.Exclusive, Creates: true,
		Overwrites: true,
		Accept:     w.acceptImport,
		Steps: []operation.Step[creation]{
			{Name: "lookup", Free: true, Interruptible: true, Run: w.lookUp},
			{Name: "clone", Lane: operation.Work, When: hit, Run: w.cloneCached},
			{Name: "detach", Lane: operation.Flatten, Interruptible: true, When: func(c *creation) bool { return hit(c) && c.apart }, Run: w.detach},
			{Name: "import", Interruptible: true, When: func(c *creation) bool { return !hit(c) }, Run: w.importNew},
		},
		Undo: w.removeCreated, Finish: w.finishCached,
	}
}

// lookUp finds what the cache has of the image, and waits for that to come. Whatever is
// wrong with the cache, the volume is made without it. As long as nothing was made of it,
// the deadline counts.
func (w *Worker) lookUp(ctx context.Context, t *operation.Task, c *creation) (err error) {
	if !c.cache.entered {
		c.cache.entered, c.cache.repeats = true, t.Repeat()
	}
	if err := w.beginLookup(ctx, t, c); err != nil {
		return err
	}
	if late := t.Late(); late != nil && !c.cache.repeats {
		return late
	}
	if c.cache.image == "" {
		return nil
	}
	coming, err := w.coming(ctx, c)
	if err != nil {
		return err
	}
	if coming {
		return fetching(t, c.cache.fetch)
	}
	found, err := w.useCached(ctx, t, c)
	if err != nil || found {
		return err
	}
	return w.awaitCached(ctx, t, c)
}

// coming reports whether the operation that is waited for has not ended. Those who wait
// for it are many: it is looked for among those at work here first.
func (w *Worker) coming(ctx context.Context, c *creation) (bool, error) {
	if c.cache.fetch == "" {
		return false, nil
	}
	if _, here := w.engine.Find(c.cache.fetch); here {
		return true, nil
	}
	op, err := w.store.Operation(ctx, c.cache.fetch)
	return err == nil && !op.Status.Terminal(), unless(err, fault.NotFound)
}

// beginLookup asks for the image, once in a process. Servers are asked by a few at a
// time: after a start all that waited before ask again.
func (w *Worker) beginLookup(ctx context.Context, t *operation.Task, c *creation) (err error) {
	if c.cache.begun {
		return nil
	}
	select {
	case w.lookups <- struct{}{}:
		defer func() { <-w.lookups }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if c.cache.repeats {
		// Perhaps it is a clone, and will be written now, or the other way round.
		if err := w.startOver(ctx, t, c); err != nil {
			return err
		}
	}
	if w.cfg.ImageCache.Enabled {
		c.cache.image, err = w.images.Identify(ctx, image.Source{URL: c.Image.URL, Format: image.Format(c.Image.Format), Checksum: c.Image.Checksum})
	}
	if c.cache.begun = err == nil; c.cache.begun && w.cfg.ImageCache.Enabled && c.cache.image == "" {
		w.log.Debug("an image cannot be told from others, and is not cached", "operation", t.Operation().ID)
	}
	return err
}

// startOver removes what a process before has made, which a qemu-img of that one may be
// at work on.
func (w *Worker) startOver(ctx context.Context, t *operation.Task, c *creation) error {
	ctx = context.WithoutCancel(ctx)       // as in importNew
	if err := w.confirm(ctx); err != nil { // whoever has it open may be a successor
		return err
	}
	if err := w.alone(ctx, w.spec(t, c).Ref); err != nil && fault.KindOf(err) != fault.NotFound {
		return err
	}
	return w.removeCreated(ctx, t, c, nil)
}

// useCached takes the entry of the image, if there is one, and keeps it from being
// removed.
func (w *Worker) useCached(ctx context.Context, t *operation.Task, c *creation) (found bool, err error) {
	var entry volume.Volume
	err = w.store.Write(context.WithoutCancel(ctx), w.fence, func(tx operation.Tx) error {
		v, s, err := w.entryOf(tx, c.cache.image)
		if found = err == nil; !found { // a change that is refused has others made twice
			return unless(err, fault.NotFound)
		}
		entry = v
		c.From = s.Ref(v.Ref(w.cfg.VolumeNameTemplate), w.cfg.SnapshotNameTemplate)
		return errors.Join(
			tx.Claim(t.Operation().ID, volume.Resource{Type: volume.SnapshotResource, ID: s.ID}, operation.Shared),
			tx.UseCachedImage(v.ID),
		)
	})
	if err != nil || !found {
		return false, err
	}
	w.cacheStats.hits.Add(1)
	c.cache.entry, c.OriginID = entry.ID, entry.ID
	return true, w.suits(c, &entry)
}

// entryOf returns the volume that the cache has of an image, and the snapshot of it that
// is cloned. Kind: NotFound.
func (w *Worker) entryOf(tx operation.Tx, image string) (v volume.Volume, s volume.Snapshot, err error) {
	e, err := tx.CachedImage(w.cfg.Host, image)
	if err != nil {
		return v, s, err
	}
	if v, err = tx.Volume(e.VolumeID); err != nil {
		return v, s, err
	}
	snapshots, err := tx.Snapshots(v.ID)
	if err == nil && (v.Status != volume.Available || len(snapshots) == 0) {
		err = fault.New(fault.NotFound, "there is no %s", w.cacheResource(image))
	}
	if err != nil {
		return v, s, err
	}
	s, err = tx.Snapshot(snapshots[0].ID)
	return v, s, err
}

// suits refuses what would be refused of the image itself.
func (w *Worker) suits(c *creation, entry *volume.Volume) error {
	has := entry.ImageMetadata
	if f := c.Image.Format; f != "" && f != has[volume.ImageFormat] {
		return fault.New(fault.Invalid, "the image is of the format %s, not %s", has[volume.ImageFormat], f).WithField("image.format")
	}
	size, err := strconv.ParseInt(has[volume.ImageVirtual], 10, 64)
	if err != nil {
		return fault.New(fault.Internal, "volume %s in the cache does not tell the size of its image: %w", entry.ID, err)
	}
	if err := image.CheckFits(size, c.Size*volume.GiB); err != nil {
		return err
	}
	c.facts = imageFacts(*c.Image, image.Format(has[volume.ImageFormat]))
	for _, name := range []string{volume.ImageVirtual, volume.ImageSize} {
		c.facts[name] = has[name]
	}
	return nil
}

// cloneCached makes the clone. Where the image in the cache is not there any more, or
// not what it was, the volume is made without it.
func (w *Worker) cloneCached(ctx context.Context, t *operation.Task, c *creation) error {
	c.apart = w.cfg.MaxCloneDepth <= 0
	err := w.makeClone(ctx, t, c)
	kind := fault.KindOf(err)
	if kind != fault.NotFound && kind != fault.Conflict {
		return err
	}
	w.log.Warn("an image of the cache cannot be cloned", "volume", c.cache.entry, "operation", t.Operation().ID, "error", err)
	c.cache.lost, c.cache.entry = c.cache.entry, ""
	return nil
}

// finishCached brings the volume to rest. An entry that turned out to be lost is one no
// more, and goes.
func (w *Worker) finishCached(tx operation.Tx, t *operation.Task, c *creation, err error) error {
	if lost := c.cache.lost; lost != "" {
		if err := tx.DropCachedImage(lost); err != nil {
			return err
		}
		t.Follow(evict(lost, t.Operation().TraceParent))
	}
	return w.finishCreate(tx, t, c, err)
}

// cacheArgs are the arguments of the operation that brings the image of the creation
// into the cache.
func (c *creation) cacheArgs() caching {
	var k caching
	src := *c.Image
	k.Image, k.Most, k.Identity = &src, c.Size, c.cache.image
	k.Name = redact.URL(src.URL)
	k.Name = k.Name[:min(len(k.Name), maxText)]
	return k
}
