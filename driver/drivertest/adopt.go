package drivertest

import (
	"context"
	"slices"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// adopter returns the driver as a driver.Adopter, nil for one that is none.
func (s *suite) adopter() driver.Adopter {
	a, ok := driver.As[driver.Adopter](s.d)
	if !ok {
		s.Log("the driver takes nothing over")
	}
	return a
}

// adopt checks what lists images.
func (s *suite) adopt() {
	a := s.adopter()
	if a == nil {
		return
	}
	source := s.volume(2)
	clone := s.cloneOf(s.snapshot(source), 2)
	gone := s.volume(1)
	s.want("", s.delete(gone, 0))
	s.want("", s.d.PurgeVolume(s.Context(), gone, nil))
	refs, err := a.Images(s.Context())
	s.want("", err)
	for v, want := range map[volume.Ref]bool{source: true, clone: true, gone: false} {
		if slices.Contains(refs, v) != want {
			s.Errorf("%s among the images: %v, want %v", v, !want, want)
		}
	}
	for v, want := range map[volume.Ref]int{source: 0, clone: 1, s.cloneOf(s.snapshot(clone), 2): 2} {
		if depth, err := a.Depth(s.Context(), v); err != nil || depth != want {
			s.Errorf("depth of %s: %d, %v, want %d", v, depth, err, want)
		}
	}
	_, err = a.Depth(s.Context(), gone)
	s.want(fault.NotFound, err)
	asked := []volume.Ref{clone, gone, source}
	for _, deep := range []bool{false, true} {
		images, err := a.Survey(s.Context(), asked, deep)
		s.want("", err)
		if len(images) != 2 || images[0].Ref() != clone || images[1].Ref() != source {
			s.Fatalf("survey: %+v", images)
		}
		if images[0].Parent == nil || images[0].Parent.ImageID != source.ImageID || images[1].Size != 2*volume.GiB || len(images[1].Snapshots) != 1 {
			s.Errorf("survey: %+v", images)
		}
		if images[0].Grouped || images[0].Migrating {
			s.Errorf("a clone is in a group, or migrates: %+v", images[0])
		}
	}
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	_, err = a.Images(ctx)
	s.want(fault.Cancelled, err)
	_, err = a.Survey(ctx, asked, false)
	s.want(fault.Cancelled, err)
	_, err = a.Depth(ctx, clone)
	s.want(fault.Cancelled, err)
}

// adoptSnapshots checks that snapshots get other names, and clones do not mind.
func (s *suite) adoptSnapshots() {
	a := s.adopter()
	if a == nil {
		return
	}
	v := s.volume(1)
	snap, other, to := s.snapshot(v), s.snapshot(v), snapName()
	clone := s.cloneOf(snap, 1)
	s.want(fault.Exists, a.RenameSnapshot(s.Context(), snap, other.Name))
	for range 2 {
		s.want("", a.RenameSnapshot(s.Context(), snap, to))
		s.want("", a.RenameSnapshot(s.Context(), other, other.Name))
	}
	renamed := volume.SnapshotRef{Volume: v, Name: to}
	s.want(fault.NotFound, a.RenameSnapshot(s.Context(), volume.SnapshotRef{Volume: v, Name: snapName()}, snapName()))
	s.want(fault.NotFound, a.RenameSnapshot(s.Context(), volume.SnapshotRef{Volume: volume.Ref{Name: name()}, Name: to}, snapName()))
	s.want(fault.Conflict, a.RenameSnapshot(s.Context(), volume.SnapshotRef{Volume: volume.Ref{Name: v.Name, ImageID: "none"}, Name: to}, snapName()))
	for _, bad := range []string{"", "a@b", "a/b", "a\x00b"} {
		s.want(fault.Invalid, a.RenameSnapshot(s.Context(), renamed, bad))
		s.want(fault.Invalid, a.RenameSnapshot(s.Context(), volume.SnapshotRef{Volume: v, Name: bad}, snapName()))
	}
	images, err := a.Survey(s.Context(), []volume.Ref{v, clone}, false)
	s.want("", err)
	if len(images) != 2 || images[0].Snapshot(to) == nil || images[0].Snapshot(snap.Name) != nil || images[0].Snapshot(other.Name) == nil ||
		images[1].Parent == nil || images[1].Parent.SnapshotID != images[0].Snapshot(to).ID {
		s.Errorf("after the renames: %+v", images)
	}
	second := s.cloneOf(renamed, 2)
	if !s.exists(second) {
		s.Error("the renamed snapshot cannot be cloned")
	}
}
