package drivertest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// inventory checks driver.Inventory, of a driver that has it.
func (s *suite) inventory() {
	inv, ok := driver.As[driver.Inventory](s.d)
	if !ok {
		s.Log("the driver has no inventory")
		return
	}
	source := s.volume(2)
	snap := s.snapshot(source)
	clone := s.cloneOf(snap, 3)
	deleted := s.volume(1)
	loc, err := s.d.DeleteVolume(s.Context(), deleted, 0)
	s.want("", err)

	for _, deep := range []bool{false, true} {
		images := s.takeInventory(inv, deep)
		img := images[source.ImageID]
		taken := img.Snapshot(snap.Name)
		if img.Name != source.Name || img.Trashed || img.Size != 2*volume.GiB || img.Parent != nil || len(img.Snapshots) != 1 || taken == nil || taken.Size != 2*volume.GiB {
			s.Errorf("source = %+v", img)
		}
		made := images[clone.ImageID]
		if taken != nil && (made.Size != 3*volume.GiB || made.Parent == nil || *made.Parent != volume.ImageParent{ImageID: source.ImageID, SnapshotID: taken.ID}) {
			s.Errorf("clone = %+v, parent %+v", made, made.Parent)
		}
		if gone := images[loc.ImageID]; gone.Name != deleted.Name || !gone.Trashed || time.Since(gone.KeepUntil).Abs() > time.Minute || gone.Size != volume.GiB {
			s.Errorf("deleted = %+v", gone)
		}
		for _, v := range []volume.Ref{source, {ImageID: source.ImageID}, {Name: source.Name}} {
			s.inspect(inv, v, deep, source.ImageID)
		}
		s.inspect(inv, volume.Ref{Name: clone.Name, ImageID: source.ImageID}, deep, source.ImageID, clone.ImageID)
		s.inspect(inv, deleted, deep, loc.ImageID)
		s.inspect(inv, volume.Ref{Name: name(), ImageID: "none"}, deep)
	}
	enough := errors.New("enough")
	if err := inv.Inventory(s.Context(), false, func(volume.Image, int) error { return enough }); !errors.Is(err, enough) {
		s.Errorf("an error of each became %v", err)
	}
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	s.want(fault.Cancelled, inv.Inventory(ctx, false, func(volume.Image, int) error { s.Error("told of after a cancel"); return nil }))
}

// takeInventory returns the images by their ids.
func (s *suite) takeInventory(inv driver.Inventory, deep bool) map[string]volume.Image {
	s.Helper()
	images := map[string]volume.Image{}
	s.want("", inv.Inventory(s.Context(), deep, func(img volume.Image, total int) error {
		if img.Broken != "" {
			s.Errorf("image %s: %s", img.Name, img.Broken)
		}
		images[img.ID] = img
		if len(images) > total {
			s.Errorf("%d images of %d", len(images), total)
		}
		return nil
	}))
	return images
}

// inspect checks which images are found.
func (s *suite) inspect(inv driver.Inventory, v volume.Ref, deep bool, want ...string) {
	s.Helper()
	found, err := inv.Inspect(s.Context(), v, deep)
	s.want("", err)
	var ids []string
	for _, img := range found {
		ids = append(ids, img.ID)
	}
	if !slices.Equal(ids, want) {
		s.Errorf("inspect %s: %v, want %v", v, ids, want)
	}
}

// repair checks driver.Repairer, of a driver that has it.
func (s *suite) repair() {
	rep, ok := driver.As[driver.Repairer](s.d)
	if !ok {
		s.Log("the driver repairs nothing")
		return
	}
	v, other, to := s.volume(1), s.volume(1), name()
	renamed := volume.Ref{Name: to, ImageID: v.ImageID}
	s.want(fault.Exists, rep.RenameVolume(s.Context(), v, other.Name))
	for range 2 {
		s.want("", rep.RenameVolume(s.Context(), v, to))
	}
	s.want(fault.NotFound, rep.RenameVolume(s.Context(), v, name()))
	s.want(fault.Conflict, rep.RenameVolume(s.Context(), volume.Ref{Name: other.Name, ImageID: v.ImageID}, name()))
	s.want(fault.Invalid, rep.RenameVolume(s.Context(), renamed, "a/b"))
	s.want("", s.d.ExtendVolume(s.Context(), renamed, 2))
	defer func() { s.want("", rep.RenameVolume(s.Context(), renamed, v.Name)) }()

	s.want("", rep.RemoveSetting(s.Context(), renamed, "conf_rbd_qos_iops_limit"))
	s.want(fault.NotFound, rep.RemoveSetting(s.Context(), v, "conf_rbd_qos_iops_limit"))

	lock := volume.ImageLock{Client: "client.999999999", Cookie: "none", Addr: "127.0.0.1:0/1"}
	s.want("", rep.RemoveLock(s.Context(), renamed, lock))
	s.want(fault.Conflict, rep.RemoveLock(s.Context(), volume.Ref{Name: other.Name, ImageID: v.ImageID}, lock))
	lock.Managed = true
	s.want(fault.Invalid, rep.RemoveLock(s.Context(), renamed, lock))
}
