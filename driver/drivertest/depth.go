package drivertest

import (
	"errors"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/volume"
)

// depth makes a clone of a clone, which two levels allow and one does not, until the
// first is flattened.
func (s *suite) depth() {
	c := s.cloneOf(s.snapshot(s.volume(1)), 1)
	snap := s.snapshot(c)
	spec := volume.Spec{Ref: volume.Ref{Name: name()}, Size: 1, MaxDepth: 1}
	if _, err := s.d.CreateVolumeFromSnapshot(s.Context(), spec, snap); !errors.Is(err, driver.ErrTooDeep) || s.exists(spec.Ref) {
		s.Fatalf("one that is too deep: %v", err)
	}
	spec.MaxDepth = 2
	loc, err := s.d.CreateVolumeFromSnapshot(s.Context(), spec, snap)
	s.made(spec.Ref, loc, err)
	if loc.Depth != 2 {
		s.Errorf("depth = %d, want 2", loc.Depth)
	}
	spec.MaxDepth, spec.Repeat = 1, true
	loc, err = s.d.CreateVolumeFromSnapshot(s.Context(), spec, snap)
	s.want("", err) // an earlier attempt made it
	if loc.Depth != 2 {
		s.Errorf("depth of what is there = %d, want 2", loc.Depth)
	}
	s.want("", s.d.FlattenVolume(s.Context(), c, nil))
	spec = volume.Spec{Ref: volume.Ref{Name: name()}, Size: 1, MaxDepth: 1}
	loc, err = s.d.CreateVolumeFromSnapshot(s.Context(), spec, s.snapshot(c))
	s.made(spec.Ref, loc, err)
	if loc.Depth != 1 {
		s.Errorf("depth after the flatten = %d, want 1", loc.Depth)
	}
}
