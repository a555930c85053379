package drivertest

import (
	"context"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// revert goes back and forth between snapshots of two sizes, over a clone of one.
func (s *suite) revert() {
	r, err := driver.Ability[driver.Reverter](s.d, "revert volumes")
	s.want("", err)
	v := s.volume(1)
	old := s.snapshot(v)
	s.want("", s.d.ExtendVolume(s.Context(), v, 2))
	recent := s.snapshot(v)
	c := s.cloneOf(recent, 2)
	last := 0
	for _, to := range []volume.SnapshotRef{old, recent, old, old} { // not only the newest, and repeated
		s.want("", r.RevertToSnapshot(s.Context(), to, 2, func(percent int) { last = percent }))
		s.want("", s.d.ExtendVolume(s.Context(), v, 2)) // it has that size
		s.want(fault.Invalid, s.d.ExtendVolume(s.Context(), v, 1))
	}
	if last != 100 {
		s.Errorf("progress ended at %d", last)
	}
	if !s.exists(c) {
		s.Error("a clone is gone")
	}
	s.want(fault.Invalid, r.RevertToSnapshot(s.Context(), recent, 1, nil))
	s.want(fault.NotFound, r.RevertToSnapshot(s.Context(), volume.SnapshotRef{Volume: v, Name: snapName()}, 2, nil))
	s.want(fault.NotFound, r.RevertToSnapshot(s.Context(), volume.SnapshotRef{Volume: volume.Ref{Name: name()}, Name: old.Name}, 2, nil))
	s.want(fault.Conflict, r.RevertToSnapshot(s.Context(), volume.SnapshotRef{Volume: volume.Ref{Name: v.Name, ImageID: "other"}, Name: old.Name}, 2, nil))
	s.want(fault.Invalid, r.RevertToSnapshot(s.Context(), volume.SnapshotRef{Volume: v, Name: "a@b"}, 2, nil))
	over, cancel := context.WithCancel(s.Context())
	cancel()
	s.want(fault.Cancelled, r.RevertToSnapshot(over, old, 2, nil))
}
