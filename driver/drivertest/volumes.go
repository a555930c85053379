package drivertest

import (
	"strings"
	"sync"
	"time"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

func (s *suite) createVolume() {
	v := s.volume(1)
	if !s.exists(v) {
		s.Error("the volume cannot be reached")
	}
	_, err := s.d.CreateVolume(s.Context(), volume.Spec{Ref: volume.Ref{Name: v.Name}, Size: 1})
	s.want(fault.Exists, err)
}

func (s *suite) createVolumeRepeat() {
	v := s.volume(2)
	again := volume.Spec{Ref: v, Size: 2, Repeat: true}
	loc, err := s.d.CreateVolume(s.Context(), again)
	s.want("", err)
	if loc.ImageID != v.ImageID {
		s.Errorf("image id = %q after the repeat, was %q", loc.ImageID, v.ImageID)
	}
	again.Size = 3
	_, err = s.d.CreateVolume(s.Context(), again)
	s.want(fault.Exists, err)

	clone := s.cloneOf(s.snapshot(v), 2)
	_, err = s.d.CreateVolume(s.Context(), volume.Spec{Ref: clone, Size: 2, Repeat: true})
	s.want(fault.Exists, err)
	fresh := volume.Ref{Name: name()}
	loc, err = s.d.CreateVolume(s.Context(), volume.Spec{Ref: fresh, Size: 1, Repeat: true})
	s.made(fresh, loc, err) // the earlier attempt had no effect
}

func (s *suite) sizes() {
	for _, size := range []int64{0, -1, driver.MaxSize + 1, 1 << 62} {
		v := volume.Ref{Name: name()}
		_, err := s.d.CreateVolume(s.Context(), volume.Spec{Ref: v, Size: size})
		s.want(fault.Invalid, err)
		if s.exists(v) {
			s.Errorf("a volume of %d GiB was made", size)
		}
	}
}

func (s *suite) deleteVolume() {
	v := s.create(name(), 1)
	for _, ref := range []volume.Ref{{Name: v.Name}, {Name: v.Name}, v} {
		loc, err := s.d.DeleteVolume(s.Context(), ref, time.Hour)
		s.want("", err)
		if loc.ImageID != v.ImageID {
			s.Errorf("delete of %s tells of image id %q, want %q", ref, loc.ImageID, v.ImageID)
		}
		if s.exists(v) {
			s.Fatal("the volume can still be reached")
		}
	}
	for _, never := range []volume.Ref{{Name: name()}, {Name: name(), ImageID: "1f2e3d4c"}} {
		loc, err := s.d.DeleteVolume(s.Context(), never, 0)
		s.want("", err)
		if loc.ImageID != "" {
			s.Errorf("delete of nothing tells of image id %q", loc.ImageID)
		}
	}

	second := s.create(v.Name, 1) // the name is free again
	if second.ImageID == v.ImageID {
		s.Fatal("two volumes have one image id")
	}
	s.want("", s.delete(v, 0))
	if !s.exists(second) {
		s.Error("a repeated delete took the next volume of that name")
	}
	s.want("", s.delete(second, 0))
	s.want("", s.d.PurgeVolume(s.Context(), second, nil))
	s.want(fault.Busy, s.d.PurgeVolume(s.Context(), v, nil)) // kept for its hour
}

func (s *suite) deleteForeign() {
	v := s.volume(1)
	other := volume.Ref{Name: v.Name, ImageID: "0" + v.ImageID}
	s.want(fault.Conflict, s.delete(other, 0))
	s.want(fault.Conflict, s.d.ExtendVolume(s.Context(), other, 2))
	s.want(fault.Conflict, s.d.FlattenVolume(s.Context(), other, nil))
	snap := volume.SnapshotRef{Volume: other, Name: snapName()}
	s.want(fault.Conflict, s.d.CreateSnapshot(s.Context(), snap))
	s.want(fault.Conflict, s.d.DeleteSnapshot(s.Context(), snap))
	_, err := s.d.InitializeConnection(s.Context(), other, "id", nil)
	s.want(fault.Conflict, err)
	s.want("", s.d.PurgeVolume(s.Context(), other, nil)) // no such image id: gone
	if !s.exists(v) {
		s.Error("a volume with another image id was touched")
	}
}

func (s *suite) deleteWithSnapshots() {
	v := s.volume(1)
	snap := s.snapshot(v)
	s.snapshot(v)
	s.want("", s.delete(v, 0))
	s.want("", s.d.DeleteSnapshot(s.Context(), snap)) // its volume is not there
	s.want("", s.d.PurgeVolume(s.Context(), v, nil))
}

func (s *suite) undelete() {
	v := s.volume(1)
	snap := s.snapshot(v)
	clone := s.cloneOf(snap, 1)
	for range 2 {
		s.want("", s.delete(v, time.Hour))
		for range 2 {
			s.want("", s.d.UndeleteVolume(s.Context(), v))
		}
		if !s.exists(v) {
			s.Fatal("the restored volume cannot be reached")
		}
	}
	s.want("", s.d.UndeleteVolume(s.Context(), clone)) // which was never deleted
	s.cloneOf(snap, 2)                                 // its snapshot is back as well
	s.want(fault.Conflict, s.d.PurgeVolume(s.Context(), v, nil))
}

func (s *suite) undeleteRefused() {
	v := s.volume(1)
	s.want("", s.delete(v, time.Hour))
	s.want(fault.Invalid, s.d.UndeleteVolume(s.Context(), volume.Ref{Name: v.Name}))
	taken := s.create(v.Name, 2)
	err := s.d.UndeleteVolume(s.Context(), v)
	s.want(fault.Conflict, err)
	if f := fault.Of(err); len(f.BlockedBy) != 1 || !strings.Contains(f.BlockedBy[0], taken.ImageID) || f.Hint == "" {
		s.Errorf("%+v", f)
	}
	s.gone(taken)
	s.want("", s.d.UndeleteVolume(s.Context(), v))
	s.want("", s.delete(v, 0))
	s.want("", s.d.PurgeVolume(s.Context(), v, nil))
	s.want(fault.NotFound, s.d.UndeleteVolume(s.Context(), v))
	s.create(v.Name, 1)
	s.want(fault.NotFound, s.d.UndeleteVolume(s.Context(), v)) // whoever has the name
	taken = volume.Ref{Name: v.Name}
	loc, err := s.d.DeleteVolume(s.Context(), taken, 0)
	s.want("", err)
	s.want("", s.d.PurgeVolume(s.Context(), volume.Ref{Name: v.Name, ImageID: loc.ImageID}, nil))
}

func (s *suite) purgeVolume() {
	v := s.volume(1)
	s.want(fault.Conflict, s.d.PurgeVolume(s.Context(), v, nil))
	if !s.exists(v) {
		s.Fatal("a volume outside the trash was purged")
	}
	s.want(fault.Invalid, s.d.PurgeVolume(s.Context(), volume.Ref{Name: v.Name}, nil))
	s.want("", s.delete(v, 0))
	var last int
	s.want("", s.d.PurgeVolume(s.Context(), v, func(percent int) { last = percent }))
	if last != 100 {
		s.Errorf("progress ended at %d", last)
	}
	s.want("", s.d.PurgeVolume(s.Context(), v, nil))
	s.want("", s.delete(v, 0))
	s.want("", s.d.PurgeVolume(s.Context(), volume.Ref{Name: name(), ImageID: "1f2e3d4c"}, nil))
}

func (s *suite) purgeKept() {
	v := s.create(name(), 1)
	s.want("", s.delete(v, time.Hour))
	err := s.d.PurgeVolume(s.Context(), v, nil)
	s.want(fault.Busy, err)
	if after := fault.Of(err).RetryAfter; after < time.Minute || after > time.Hour+time.Minute {
		s.Errorf("retry after %v, want the hour it is kept", after)
	}
}

func (s *suite) purgeBlockedByClones() {
	v := s.volume(1)
	snap := s.snapshot(v)
	first, second := s.cloneOf(snap, 1), s.cloneOf(snap, 2)
	s.want("", s.delete(v, 0))
	s.blocked(s.d.PurgeVolume(s.Context(), v, nil), first.Name, second.Name)
	s.want("", s.d.FlattenVolume(s.Context(), first, nil))
	s.want("", s.delete(second, 0))
	err := s.d.PurgeVolume(s.Context(), v, nil)
	s.blocked(err, second.Name, "trash")
	s.want("", s.d.PurgeVolume(s.Context(), second, nil))
	s.want("", s.d.PurgeVolume(s.Context(), v, nil))
	if !s.exists(first) {
		s.Error("the flattened clone is gone")
	}
}

// purgeAtOnce purges one volume from several goroutines, which would abort a
// process that calls librbd so.
func (s *suite) purgeAtOnce() {
	v := s.volume(1)
	s.want("", s.delete(v, 0))
	errs := make([]error, 4)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = s.d.PurgeVolume(s.Context(), v, nil) })
	}
	wg.Wait()
	for _, err := range errs {
		s.want("", err)
	}
}

func (s *suite) extend() {
	v := s.volume(2)
	s.want("", s.d.ExtendVolume(s.Context(), v, 2))
	s.want("", s.d.ExtendVolume(s.Context(), v, 4))
	s.want("", s.d.ExtendVolume(s.Context(), v, 4))
	for _, size := range []int64{3, 1, 0, -1, driver.MaxSize + 1} {
		s.want(fault.Invalid, s.d.ExtendVolume(s.Context(), v, size))
	}
	_, err := s.d.CreateVolume(s.Context(), volume.Spec{Ref: v, Size: 4, Repeat: true})
	s.want("", err) // it has 4 GiB
	s.want(fault.NotFound, s.d.ExtendVolume(s.Context(), volume.Ref{Name: name()}, 2))
}
