package drivertest

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

func (s *suite) createSnapshot() {
	v := s.volume(1)
	snap := s.snapshot(v)
	s.want("", s.d.CreateSnapshot(s.Context(), snap))
	s.want(fault.NotFound, s.d.CreateSnapshot(s.Context(),
		volume.SnapshotRef{Volume: volume.Ref{Name: name()}, Name: snap.Name}))
}

func (s *suite) deleteSnapshot() {
	v := s.volume(1)
	snap := s.snapshot(v)
	for range 2 {
		s.want("", s.d.DeleteSnapshot(s.Context(), snap))
	}
	_, err := s.d.CreateVolumeFromSnapshot(s.Context(), volume.Spec{Ref: volume.Ref{Name: name()}, Size: 1}, snap)
	s.want(fault.NotFound, err)
	s.want("", s.d.DeleteSnapshot(s.Context(), volume.SnapshotRef{Volume: volume.Ref{Name: name()}, Name: snap.Name}))
}

func (s *suite) clone() {
	v := s.volume(1)
	snap := s.snapshot(v)
	same, larger := s.cloneOf(snap, 1), s.cloneOf(snap, 3)
	if !s.exists(same) || !s.exists(larger) {
		s.Error("a clone cannot be reached")
	}
	s.want(fault.Invalid, s.d.ExtendVolume(s.Context(), larger, 2)) // it has 3 GiB
}

func (s *suite) cloneRepeat() {
	v := s.volume(1)
	snap := s.snapshot(v)
	c := s.cloneOf(snap, 2)
	again := volume.Spec{Ref: c, Size: 2, Repeat: true}
	for _, from := range []volume.SnapshotRef{snap, s.snapshot(v)} { // an attempt may take a snapshot of its own
		loc, err := s.d.CreateVolumeFromSnapshot(s.Context(), again, from)
		s.want("", err)
		if loc.ImageID != c.ImageID {
			s.Errorf("image id = %q after the repeat, was %q", loc.ImageID, c.ImageID)
		}
	}
	_, err := s.d.CreateVolumeFromSnapshot(s.Context(), volume.Spec{Ref: volume.Ref{Name: c.Name}, Size: 2}, snap)
	s.want(fault.Exists, err)

	_, err = s.d.CreateVolumeFromSnapshot(s.Context(), again, s.snapshot(s.volume(2)))
	s.want(fault.Exists, err) // a clone of another volume
	s.want("", s.d.ExtendVolume(s.Context(), c, 3))
	_, err = s.d.CreateVolumeFromSnapshot(s.Context(), again, snap)
	s.want(fault.Exists, err) // larger than this operation makes it
}

func (s *suite) cloneRefused() {
	v := s.volume(2)
	snap := s.snapshot(v)
	spec := volume.Spec{Ref: volume.Ref{Name: name()}, Size: 1}
	_, err := s.d.CreateVolumeFromSnapshot(s.Context(), spec, snap)
	s.want(fault.Invalid, err)
	spec.Size = 2
	_, err = s.d.CreateVolumeFromSnapshot(s.Context(), spec, volume.SnapshotRef{Volume: v, Name: snapName()})
	s.want(fault.NotFound, err)
	_, err = s.d.CreateVolumeFromSnapshot(s.Context(), spec, volume.SnapshotRef{Volume: volume.Ref{Name: name()}, Name: snap.Name})
	s.want(fault.NotFound, err)
	if s.exists(spec.Ref) {
		s.Error("a refused clone was made")
	}
}

func (s *suite) cloneAtOnce() {
	snap := s.snapshot(s.volume(1))
	specs := make([]volume.Spec, 20)
	locs, errs := make([]volume.Location, 20), make([]error, 20)
	var wg sync.WaitGroup
	for i := range specs {
		specs[i] = volume.Spec{Ref: volume.Ref{Name: name()}, Size: 1}
		wg.Go(func() { locs[i], errs[i] = s.d.CreateVolumeFromSnapshot(s.Context(), specs[i], snap) })
	}
	wg.Wait()
	ids := map[string]bool{}
	for i := range specs {
		ids[s.made(specs[i].Ref, locs[i], errs[i]).ImageID] = true
	}
	if len(ids) != len(specs) {
		s.Errorf("%d image ids for %d clones", len(ids), len(specs))
	}
}

func (s *suite) flatten() {
	c := s.cloneOf(s.snapshot(s.volume(1)), 1)
	var last atomic.Int64
	falls := false
	s.want("", s.d.FlattenVolume(s.Context(), c, func(percent int) {
		falls = falls || int64(percent) < last.Load() || percent > 100
		last.Store(int64(percent))
	}))
	if last.Load() != 100 || falls {
		s.Errorf("progress ended at %d, went back: %v", last.Load(), falls)
	}
	s.want("", s.d.FlattenVolume(s.Context(), c, nil))
	s.want(fault.NotFound, s.d.FlattenVolume(s.Context(), volume.Ref{Name: name()}, nil))
}

func (s *suite) flattenCancel() {
	parent := s.volume(8)
	snap := s.snapshot(parent)
	c := s.cloneOf(snap, 8)
	ctx, cancel := context.WithCancel(s.Context())
	defer cancel()
	var at atomic.Int64
	err := s.d.FlattenVolume(ctx, c, func(int) {
		if at.CompareAndSwap(0, time.Now().UnixNano()) {
			cancel()
		}
	})
	s.want(fault.Cancelled, err)
	if took := time.Since(time.Unix(0, at.Load())); took > time.Second {
		s.Errorf("returned %v after the cancel", took)
	}
	s.want("", s.delete(parent, 0))
	s.blocked(s.d.PurgeVolume(s.Context(), parent, nil), c.Name) // still a clone
	s.want("", s.d.FlattenVolume(s.Context(), c, nil))
	s.want("", s.d.PurgeVolume(s.Context(), parent, nil))
}

// cloneOutlivesSource deletes the snapshot and the source of a clone, and goes
// on with the clone.
func (s *suite) cloneOutlivesSource() {
	v := s.volume(1)
	snap := s.snapshot(v)
	c := s.cloneOf(snap, 1)
	if err := s.d.DeleteSnapshot(s.Context(), snap); err != nil {
		s.blocked(err, c.Name) // a clone of format 1 holds its snapshot
	}
	_, err := s.d.CreateVolumeFromSnapshot(s.Context(), volume.Spec{Ref: c, Size: 1, Repeat: true}, snap)
	s.want("", err) // made by the earlier attempt, which is all a repeat needs
	s.want("", s.delete(v, 0))
	s.want("", s.d.ExtendVolume(s.Context(), c, 2))
	s.want("", s.d.FlattenVolume(s.Context(), c, nil))
	s.want("", s.d.PurgeVolume(s.Context(), v, nil))
}
