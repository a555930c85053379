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

// No image gets more snapshots than rbd_max_snapshots_per_image. Those that were taken
// for clones live on, hidden, as long as the clones share data with them. So before a
// volume has as many as it may the clones that hold the oldest are flattened in the
// background; a clone that comes to the limit waits for that.

// relief is what a step knows of flattens that it has begun: the operation of each
// volume.
type relief map[string]string

// reliefBounds are how many snapshots have clones flattened, and how many are to be left.
func (w *Worker) reliefBounds() (from, left int) {
	limit := w.cfg.MaxSnapshots
	return max(1, limit*3/4), limit / 2
}

// relieve has clones of the volume flattened if it has many snapshots. It returns the
// flattens under way that will make room. What it has begun before is not begun again.
func (w *Worker) relieve(ctx context.Context, source volume.Ref, before relief) (flattens []string, err error) {
	crowded, able := driver.As[driver.Crowded](w.driver)
	if !able || w.cfg.MaxSnapshots <= 0 {
		return nil, nil
	}
	if pin, err := w.pin(ctx); err != nil || volume.CompareVersions(flattenLaterSince, pin.Version) > 0 {
		return nil, err
	}
	from, left := w.reliefBounds()
	total, held, err := crowded.HeldSnapshots(ctx, source, from)
	if err != nil {
		return nil, err
	}
	for _, clones := range held {
		if total <= left {
			break
		}
		ids, err := w.release(ctx, clones, before)
		if err != nil {
			return flattens, err
		}
		if len(ids) > 0 {
			total--
		}
		flattens = append(flattens, ids...)
	}
	return flattens, nil
}

// release has all clones of one snapshot flattened, and returns the flattens; none if one
// of them cannot be.
func (w *Worker) release(ctx context.Context, clones []volume.Ref, before relief) (flattens []string, err error) {
	volumes := make([]volume.Volume, 0, len(clones))
	for _, clone := range clones {
		id, ours := volume.IDIn(w.cfg.VolumeNameTemplate, clone.Name)
		if !ours {
			return nil, nil
		}
		v, err := w.store.VolumeRecord(ctx, id)
		if errors.Is(err, fault.NotFound) || err == nil && (usable(&v) != nil || v.ImageID != clone.ImageID || w.here(&v, "") != nil) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		volumes = append(volumes, v)
	}
	for _, v := range volumes {
		ids, err := w.flattenClone(ctx, &v, before)
		if err != nil || len(ids) == 0 {
			return nil, err
		}
		flattens = append(flattens, ids...)
	}
	return flattens, nil
}

// flattenClone has one clone flattened in the background, unless it is being flattened,
// and returns the operation that does it; none if it has failed.
func (w *Worker) flattenClone(ctx context.Context, v *volume.Volume, before relief) ([]string, error) {
	if id, begun := before[v.ID]; begun {
		if _, atWork := w.engine.Find(id); !atWork {
			return nil, nil
		}
		return []string{id}, nil
	}
	op, err := w.engine.Submit(ctx, operation.Request{
		RequestID: "relief-" + uuid.NewString(), ProjectID: v.ProjectID,
		Method: methodFlattenLater, Args: flattening{FlattenVolumeRequest: flattenRequest(v.ID)},
	})
	switch {
	case errors.Is(err, fault.Busy): // by whoever
		return fault.Of(err).BlockedBy, nil
	case errors.Is(err, fault.Conflict), errors.Is(err, fault.NotFound): // it has changed since
		return nil, nil
	case err != nil:
		return nil, err
	}
	before[v.ID] = op.ID
	return []string{op.ID}, nil
}

// crowdedOut is the error for a snapshot of the source beyond the limit: one to wait
// with, as long as there are flattens that make room.
func (w *Worker) crowdedOut(ctx context.Context, source volume.Ref, before relief, refusal error) error {
	flattens, err := w.relieve(ctx, source, before)
	if kind := fault.KindOf(err); kind == fault.Unavailable || kind == fault.Cancelled {
		return err
	}
	if err != nil || len(flattens) == 0 {
		return refusal
	}
	f := fault.Of(refusal).WithBlockers(flattens...).WithHint("clones of it are being flattened, which makes room")
	return untilItWorks(f)
}

// thinOut has clones of the source flattened where that has many snapshots. Whoever is
// the next to come to the limit tries again, so a failure is only told.
func (w *Worker) thinOut(ctx context.Context, source volume.Ref) {
	if _, err := w.relieve(ctx, source, relief{}); err != nil {
		w.log.Debug("no room is made for snapshots", "image", source.Name, "error", err)
	}
}
