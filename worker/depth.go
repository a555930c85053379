package worker

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/volume"
)

// No volume is handed out that depends on more images than rbd_max_clone_depth, one
// above the other. Where a clone would, its source is flattened first: that copies
// less than a flatten of the clone would, and once for all clones of it. It seldom
// comes to that, since a source is flattened in the background when its clones have
// reached the limit (docs/decisions/0023).

// keepShallow are the steps of a clone that take place where the limit would be
// exceeded.
func (w *Worker) keepShallow() []operation.Step[creation] {
	deep, apart := func(c *creation) bool { return c.deep }, func(c *creation) bool { return c.apart }
	return []operation.Step[creation]{
		{Name: "shorten", Lane: operation.Flatten, Interruptible: true, When: deep, Run: w.shorten},
		{Name: "reclone", When: deep, Run: w.reclone},
		{Name: "detach", Lane: operation.Flatten, Interruptible: true, When: apart, Run: w.detach},
	}
}

// cloneSnapshot makes the clone, unless that has to wait for a shorter chain.
func (w *Worker) cloneSnapshot(ctx context.Context, t *operation.Task, c *creation) error {
	c.apart, c.deep = w.cfg.MaxCloneDepth <= 0, false
	err := w.makeClone(ctx, t, c)
	if errors.Is(err, driver.ErrTooDeep) {
		c.deep = true
		return nil
	}
	return err
}

// reclone makes the clone of a chain that has been shortened. Where that did not help,
// because the snapshot depends on what the volume does not any more, the clone is
// flattened itself.
func (w *Worker) reclone(ctx context.Context, t *operation.Task, c *creation) error {
	err := w.makeClone(ctx, t, c)
	if errors.Is(err, driver.ErrTooDeep) {
		c.apart = true
		return w.makeClone(ctx, t, c)
	}
	return err
}

// makeClone makes the clone, and leaves the batch if that is all that needs its
// snapshot.
func (w *Worker) makeClone(ctx context.Context, t *operation.Task, c *creation) (err error) {
	spec := w.spec(t, c)
	if !c.apart {
		spec.MaxDepth = w.cfg.MaxCloneDepth
	}
	if c.made, err = w.driver.CreateVolumeFromSnapshot(ctx, spec, c.From); err != nil {
		return err
	}
	if err := w.setUpCreated(ctx, t, c); err != nil {
		return err
	}
	// One that an earlier attempt has made, and not flattened yet, may be too deep.
	if c.apart = c.apart || c.made.Depth > w.cfg.MaxCloneDepth; !c.apart {
		w.batches.leave(c)
	}
	if limit := w.cfg.MaxCloneDepth; limit > 1 && c.made.Depth >= limit || w.cfg.FlattenFromSnapshot && c.SnapshotID != "" {
		pin, err := w.pin(ctx)
		c.later = err == nil && volume.CompareVersions(flattenLaterSince, pin.Version) <= 0
	}
	return nil
}

// shorten flattens the source. Clones of one source that come to this wait for the
// first of them; a flatten in the background makes room for it.
func (w *Worker) shorten(ctx context.Context, t *operation.Task, c *creation) error {
	op := t.Operation()
	err := w.store.Write(ctx, w.fence, func(tx operation.Tx) error {
		return tx.Claim(op.ID, volume.Resource{Type: flattenResource, ID: c.OriginID}, operation.Exclusive)
	})
	if errors.Is(err, fault.Busy) {
		for _, id := range fault.Of(err).BlockedBy {
			w.displace(ctx, id)
		}
		return untilItWorks(fault.Of(err))
	}
	if err != nil {
		return err
	}
	if err := w.driver.FlattenVolume(driver.Awaited(ctx), c.From.Volume, beforeTheEnd(t)); err != nil {
		return err
	}
	source, err := w.store.VolumeRecord(ctx, c.OriginID)
	if err == nil {
		c.drop, err = w.lineage(ctx, source.AdoptedParent)
	}
	return err
}

// displace has an operation cancelled if it is a flatten in the background.
func (w *Worker) displace(ctx context.Context, id string) {
	op, err := w.store.Operation(ctx, id)
	if err == nil && op.Method == methodFlattenLater && !op.CancelRequested {
		_, err = w.engine.Cancel(ctx, id)
	}
	if err != nil && !errors.Is(err, fault.Conflict) && !errors.Is(err, fault.NotFound) {
		w.log.Debug("a flatten in the background does not make room", "operation", id, "error", err)
	}
}

// detach flattens the new volume.
func (w *Worker) detach(ctx context.Context, t *operation.Task, c *creation) error {
	ref := w.spec(t, c).Ref
	ref.ImageID = c.made.ImageID
	err := w.driver.FlattenVolume(driver.Awaited(ctx), ref, beforeTheEnd(t))
	if err == nil {
		c.made.Depth = 0
		w.batches.leave(c)
	}
	return err
}

// beforeTheEnd is the progress of a step that is not the last.
func beforeTheEnd(t *operation.Task) driver.Progress {
	return func(percent int) { t.Progress(min(percent, 99)) }
}

// undoClone removes the clone, and sees that its source can be used, which a process
// before may have died while flattening.
func (w *Worker) undoClone(ctx context.Context, t *operation.Task, c *creation, cause error) error {
	if err := w.removeCreated(ctx, t, c, cause); err != nil {
		return err
	}
	if err := w.mend(ctx, t, c.From.Volume); fault.KindOf(err) != fault.NotFound {
		return err
	}
	return nil
}

// methodFlattenLater is a flatten that nobody asked for.
const methodFlattenLater = "flatten_in_background"

// flattenLaterSince is the version of the records that have it.
const flattenLaterSince = "1.1"

// flattenLater is what a clone that was made is followed by: a flatten of its source
// once the clones of that have reached the limit, so that the next clone of the clone
// need not wait; and of the clone, where it is to be independent of the snapshot.
func (w *Worker) flattenLater(tx operation.Tx, t *operation.Task, c *creation, err error) error {
	if err != nil || !c.later {
		return nil
	}
	if limit := w.cfg.MaxCloneDepth; limit > 1 && c.made.Depth >= limit {
		if err := w.followFlatten(tx, t, c.OriginID); err != nil {
			return err
		}
	}
	if w.cfg.FlattenFromSnapshot && c.SnapshotID != "" && !c.apart {
		return w.followFlatten(tx, t, c.VolumeID)
	}
	return nil
}

// followFlatten has the volume flattened in the background, unless somebody flattens it
// or it cannot be used now. A request of the kind must not be refused: it would take
// others that follow with it.
func (w *Worker) followFlatten(tx operation.Tx, t *operation.Task, id string) error {
	op := t.Operation()
	v, err := tx.Volume(id)
	if errors.Is(err, fault.NotFound) || err == nil && usable(&v) != nil {
		return nil
	}
	if err != nil {
		return err
	}
	err = tx.Claim(op.ID, volume.Resource{Type: flattenResource, ID: id}, operation.Exclusive)
	if errors.Is(err, fault.Busy) {
		return nil
	}
	if err != nil {
		return err
	}
	t.Follow(operation.Request{
		RequestID: "flatten-" + uuid.NewString(), ProjectID: op.ProjectID, UserID: op.UserID, TraceParent: op.TraceParent,
		Method: methodFlattenLater, Args: flattening{FlattenVolumeRequest: flattenRequest(id)},
	})
	return nil
}
