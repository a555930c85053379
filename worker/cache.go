package worker

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/image"
	"github.com/volumed/volumed/internal/crashpoint"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// caching is the state of the operation that brings an image into the cache: it makes a
// volume, of the cache's own project, with a snapshot that others are cloned from. Its
// Size is 0 until the image is there.
type caching struct {
	creation
	// Most is the size of the largest image that may come, in GiB.
	Most int64 `json:"most"`
	// Identity tells the image from all others, as it was when the operation was wanted.
	Identity string `json:"identity"`
	// Snapshot is the id of the snapshot.
	Snapshot string `json:"snapshot,omitempty"`
}

// cacheCounts count since the process began. images and gb are as last reported.
type cacheCounts struct{ hits, misses, evictions, images, gb atomic.Int64 }

// read returns them.
func (c *cacheCounts) read() CacheCounts {
	return CacheCounts{
		Hits: c.hits.Load(), Misses: c.misses.Load(), Evictions: c.evictions.Load(), Images: c.images.Load(), GB: c.gb.Load(),
	}
}

// countCached finds out what is in the cache.
func (w *Worker) countCached(ctx context.Context) error {
	all, err := w.store.CacheVolumes(ctx, w.cfg.Host)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(v volume.CacheVolume) bool { return v.Status == volume.Creating })
	gb := int64(0)
	for _, v := range all {
		gb += v.Size
	}
	w.cacheStats.images.Store(int64(len(all)))
	w.cacheStats.gb.Store(gb)
	return nil
}

// cacheImage brings an image into the cache. There is one such operation for an image at
// a time, whose claim tells others what to wait for.
func (w *Worker) cacheImage() operation.Method[caching] {
	return operation.Method[caching]{
		Name: methodCacheImage, Since: "1.1", Resource: volume.VolumeResource, Lane: operation.Bulk, Target: operation.Exclusive, Creates: true,
		Overwrites: true, // what has been cloned since
		Accept:     w.acceptCache,
		Steps: []operation.Step[caching]{
			{Name: "import", Interruptible: true, Run: w.importCached},
			{Name: "snapshot", Lane: operation.Control, Run: func(ctx context.Context, t *operation.Task, k *caching) error {
				return w.driver.CreateSnapshot(ctx, w.cacheSnapshot(t, k))
			}},
		},
		Undo: func(ctx context.Context, t *operation.Task, k *caching, cause error) error {
			return w.removeCreated(ctx, t, &k.creation, cause)
		},
		Finish: w.finishCache,
	}
}

func (w *Worker) acceptCache(tx operation.Tx, op *volume.Operation, k *caching) error {
	if err := tx.Claim(op.ID, w.cacheResource(k.Identity), operation.Exclusive); err != nil {
		return err
	}
	_, _, err := w.entryOf(tx, k.Identity)
	if err == nil {
		return fault.New(fault.Exists, "the image is in the cache already")
	}
	if !errors.Is(err, fault.NotFound) {
		return err
	}
	// One whose volume is of no use any more, whatever became of that.
	if stale, err := tx.CachedImage(w.cfg.Host, k.Identity); err == nil {
		if err := tx.DropCachedImage(stale.VolumeID); err != nil {
			return err
		}
	}
	k.Snapshot = uuid.NewString()
	return w.insertVolume(tx, op, &k.creation, nil)
}

// cacheResource is an image in this service's cache: others that use the database have
// caches of their own.
func (w *Worker) cacheResource(image string) volume.Resource {
	return volume.Resource{Type: volume.CachedImageResource, ID: w.cfg.Host + " " + image}
}

// importCached makes the volume, as large as the image.
func (w *Worker) importCached(ctx context.Context, t *operation.Task, k *caching) (err error) {
	if t.Repeat() {
		if err := w.startOver(ctx, t, &k.creation); err != nil {
			return err
		}
	}
	in, err := w.receiveWanted(ctx, t, *k.Image, k.Most, false, k.Identity)
	if err != nil {
		return err
	}
	defer in.close()
	if err := w.measure(ctx, k, in); err != nil {
		return err
	}
	if err := w.makeRoom(ctx, t, k); err != nil {
		return err
	}
	// As in importNew.
	if k.made, err = w.driver.CreateVolume(context.WithoutCancel(ctx), w.spec(t, &k.creation)); err != nil {
		return err
	}
	ref := w.spec(t, &k.creation).Ref
	ref.ImageID, k.facts = k.made.ImageID, in.facts
	if err := w.fill(ctx, t, ref, in); err != nil {
		return err
	}
	return unchanged(in.stream, k.Identity) // a file may have been written to
}

// unchanged refuses an image that is another one than was wanted.
func unchanged(in *image.Stream, identity string) error {
	if in.Identity() != identity {
		return fault.New(fault.Conflict, "the image has been changed").WithField("image.url").WithHint("try again")
	}
	return nil
}

// measure finds out how large the volume has to be, and writes that into its row.
func (w *Worker) measure(ctx context.Context, k *caching, in *incoming) error {
	bytes, err := strconv.ParseInt(in.facts[volume.ImageVirtual], 10, 64)
	if err != nil {
		return err
	}
	k.Size = (bytes + volume.GiB - 1) / volume.GiB
	return crashpoint.Around(ctx, "sql.status", func() error {
		return w.store.Write(context.WithoutCancel(ctx), w.fence, func(tx operation.Tx) error {
			v, err := tx.Volume(k.VolumeID)
			if err != nil {
				return err
			}
			from := v.Status
			v.Size, v.Status = k.Size, volume.Downloading
			return tx.UpdateVolume(&v, from)
		})
	})
}

// cacheSnapshot names the snapshot that others are cloned from.
func (w *Worker) cacheSnapshot(t *operation.Task, k *caching) volume.SnapshotRef {
	ref := w.spec(t, &k.creation).Ref
	ref.ImageID = k.made.ImageID
	s := volume.Snapshot{ID: k.Snapshot}
	return s.Ref(ref, w.cfg.SnapshotNameTemplate)
}

// finishCache makes the volume an entry. One that failed goes.
func (w *Worker) finishCache(tx operation.Tx, t *operation.Task, k *caching, err error) error {
	if lost := w.finishCreate(tx, t, &k.creation, err); lost != nil {
		return lost
	}
	if err != nil {
		if !errors.Is(err, fault.Cancelled) {
			t.Follow(evict(k.VolumeID, t.Operation().TraceParent))
		}
		return nil
	}
	return errors.Join(
		tx.InsertSnapshot(&volume.Snapshot{
			ID: k.Snapshot, VolumeID: k.VolumeID, ProjectID: volume.CacheProject, Name: k.Name, Status: volume.Available, VolumeSize: k.Size,
		}),
		tx.InsertCachedImage(&volume.CachedImage{VolumeID: k.VolumeID, Host: w.cfg.Host, Image: k.Identity}),
	)
}

// awaitCached has the image brought into the cache, unless somebody does that, and
// returns an error that is waited out until it is there; or nil for a volume that has to
// be made without the cache.
func (w *Worker) awaitCached(ctx context.Context, t *operation.Task, c *creation) error {
	if most := w.cfg.ImageCache.MaxGB; most > 0 && c.Size > most {
		return nil // the image may be as large as the volume
	}
	if c.cache.fetch != "" {
		again, err := w.fetched(ctx, c)
		if err != nil || !again {
			return err
		}
		if !c.cache.begun {
			return w.lookUp(ctx, t, c)
		}
	}
	op, err := w.engine.Submit(ctx, operation.Request{
		RequestID: "cache-" + uuid.NewString(), ProjectID: volume.CacheProject, TraceParent: t.Operation().TraceParent,
		Method: methodCacheImage, Args: c.cacheArgs(),
	})
	switch fault.KindOf(err) {
	case "":
		w.cacheStats.misses.Add(1)
		c.cache.fetch, c.cache.own = op.ID, true
		return fetching(t, op.ID)
	case fault.Busy:
		by := fault.Of(err).BlockedBy
		if len(by) == 1 {
			c.cache.fetch, c.cache.own = by[0], false
		}
		return fetching(t, by...)
	case fault.Exists, fault.Overloaded: // it has come meanwhile; or will, if one waits
		return untilItWorks(fault.Of(err))
	case fault.Unavailable, fault.Cancelled:
		return err
	default:
		w.log.Warn("an image cannot be cached", "operation", t.Operation().ID, "error", err)
		return nil
	}
}

// fetchRetry is how soon to look again whether an image has come, and up to twice that.
// Whoever waits is woken when its operation ends: this is for what ends elsewhere.
const fetchRetry = 30 * time.Second

// fetching is what a creation waits for, until its deadline.
func fetching(t *operation.Task, operations ...string) error {
	wait := fetchRetry + rand.N(fetchRetry)
	if d := t.Operation().Deadline; !d.IsZero() {
		wait = min(wait, max(time.Until(d), time.Second))
	}
	return fault.New(fault.Unavailable, "the image is being brought into the cache by operation %s", strings.Join(operations, ", ")).
		WithBlockers(operations...).WithRetryAfter(wait)
}

// fetched looks why the operation that was waited for has ended without an entry, and
// reports whether to try again. What is wrong with the image is an error, if it was found
// for this creation; without that and again, only the cache was at fault. An image that
// had been changed is asked for anew, once.
func (w *Worker) fetched(ctx context.Context, c *creation) (again bool, err error) {
	op, err := w.store.Operation(ctx, c.cache.fetch)
	if err != nil {
		return !c.cache.own && errors.Is(err, fault.NotFound), unless(err, fault.NotFound)
	}
	f := fault.Of(op.Error.Fault())
	own := c.cache.own
	switch {
	case f != nil && f.Kind == fault.Conflict && !c.cache.changed:
		c.cache = lookup{entered: true, repeats: c.cache.repeats, changed: true}
		return true, nil
	case own && f != nil && f.Kind != fault.Conflict && (strings.HasPrefix(f.Field, "image") || f.Field == "size"):
		return false, f
	}
	c.cache.fetch, c.cache.own = "", false
	return !own, nil
}

// unless returns the error if it is not of the kind.
func unless(err error, kind fault.Kind) error {
	if errors.Is(err, kind) {
		return nil
	}
	return err
}

// makeRoom has the images removed that were not used for the longest time, until there
// is room for the one that is coming. One of which a volume is being made stays.
func (w *Worker) makeRoom(ctx context.Context, t *operation.Task, k *caching) error {
	all, err := w.store.CacheVolumes(ctx, w.cfg.Host)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(v volume.CacheVolume) bool {
		// One that is on its way comes here itself when it is known how large it is.
		return v.Status == volume.Deleting || v.Status == volume.Creating
	})
	count, sum := len(all), int64(0)
	for _, v := range all {
		sum += v.Size
	}
	limits := w.cfg.ImageCache
	for _, v := range all {
		over := limits.MaxCount > 0 && count > limits.MaxCount || limits.MaxGB > 0 && sum > limits.MaxGB
		if v.Status.Transient() || !over && !v.UsedAt.IsZero() {
			continue
		}
		_, err := w.engine.Submit(ctx, evict(v.ID, t.Operation().TraceParent))
		switch fault.KindOf(err) {
		case "":
			w.cacheStats.evictions.Add(1)
			count, sum = count-1, sum-v.Size
		case fault.Unavailable, fault.Cancelled:
			return err
		default:
			leaves, err := w.leaves(ctx, v.ID, err)
			if err != nil {
				return err
			}
			if leaves {
				count, sum = count-1, sum-v.Size
			}
		}
	}
	return nil
}

// leaves reports whether an image that could not be removed is on its way out already.
func (w *Worker) leaves(ctx context.Context, volumeID string, refused error) (bool, error) {
	v, err := w.store.Volume(ctx, volumeID)
	if errors.Is(err, fault.NotFound) || err == nil && v.Status == volume.Deleting {
		return true, nil
	}
	w.log.Debug("an image stays in the cache", "volume", volumeID, "error", refused)
	return false, err
}

// evict is the request for the end of a volume of the cache. Its clones keep what they
// need of it.
func evict(volumeID, traceParent string) operation.Request {
	return operation.Request{
		RequestID: "evict-" + uuid.NewString(), ProjectID: volume.CacheProject, TraceParent: traceParent,
		Method: rpc.MethodDeleteVolume, Args: deletion{DeleteVolumeRequest: rpc.DeleteVolumeRequest{VolumeID: volumeID, Cascade: true}},
	}
}
