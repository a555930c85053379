package worker_test

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/volumed/volumed/volume"
)

// settle waits until no operation of the service is at work. Purges may wait for
// what still depends on their volume.
func (s *site) settle() {
	s.Helper()
	s.until("the operations end", s.settled)
}

func (s *site) settled() bool {
	for _, op := range s.operations(volume.OperationFilter{Unfinished: true}) {
		if cleans := op.Method == "purge_volume" || op.Method == "drop_clone_snapshot"; !cleans || op.Status != volume.Waiting {
			return false
		}
	}
	return true
}

// audit compares the rows with the storage, in both directions, once nothing is
// at work.
func (s *site) audit() {
	s.Helper()
	s.settle()
	ctx := context.WithoutCancel(s.Context())
	volumes, next, err := s.db.Volumes(ctx, volume.VolumeFilter{Host: s.host, Page: volume.Page{Limit: 1000}})
	if err != nil || next != "" {
		s.Fatal("volumes", next, err)
	}
	images := s.world.Images()
	for _, v := range volumes {
		s.auditVolume(v, slices.Contains(images, image(v)))
		images = slices.DeleteFunc(images, func(name string) bool { return name == image(v) })
	}
	if len(images) > 0 {
		s.Errorf("images without a volume: %v", images)
	}
	s.auditTrash(volumes)
	s.auditClaims()
}

// auditVolume compares a volume with its image.
func (s *site) auditVolume(v volume.Volume, there bool) {
	s.Helper()
	size := s.world.Size(image(v))
	switch {
	case v.Status.Transient():
		s.Errorf("volume %s rests in %s", v.ID, v.Status)
	case v.Status == volume.Error || v.Status == volume.ErrorDeleting:
		// Its image may be there or not.
	case !there:
		s.Errorf("volume %s is %s and has no image", v.ID, v.Status)
	case size != v.Size && (v.Status != volume.ErrorExtend || size < v.Size):
		s.Errorf("volume %s has %d GiB, its image %d", v.ID, v.Size, size)
	}
	if there {
		s.auditSnapshots(v)
	}
}

// auditSnapshots compares the snapshots of a volume with those of its image.
func (s *site) auditSnapshots(v volume.Volume) {
	s.Helper()
	rows, _, err := s.db.Snapshots(context.WithoutCancel(s.Context()), volume.SnapshotFilter{VolumeID: v.ID})
	if err != nil {
		s.Fatal(err)
	}
	found := s.world.Snapshots(image(v))
	for _, row := range rows {
		name := row.Ref(v.Ref(template), snapshotTemplate).Name
		there := slices.Contains(found, name)
		switch {
		case row.Status.Transient():
			s.Errorf("snapshot %s rests in %s", row.ID, row.Status)
		case row.Status == volume.Available && !there:
			s.Errorf("snapshot %s is available and not on the image", row.ID)
		}
		found = slices.DeleteFunc(found, func(n string) bool { return n == name })
	}
	if len(found) > 0 {
		s.Errorf("snapshots without a row on %s: %v", image(v), found)
	}
}

// auditTrash checks that exactly those images are in the trash that are being
// purged, and those that a failed delete has left to be deleted again. A purge
// that waited may be at work again, so the two may differ for a moment.
func (s *site) auditTrash(volumes []volume.Volume) {
	s.Helper()
	var trash, purged []string
	defer func() {
		if s.Failed() {
			s.Logf("in the trash %v, to be purged %v", trash, purged)
		}
	}()
	s.until("the trash holds what is to be purged", func() bool {
		trash = slices.DeleteFunc(s.world.Trash(), func(name string) bool {
			return slices.ContainsFunc(volumes, func(v volume.Volume) bool {
				return v.Status == volume.ErrorDeleting && image(v) == name
			})
		})
		purged = nil
		for _, op := range s.operations(volume.OperationFilter{Unfinished: true}) {
			if op.Method == "purge_volume" {
				purged = append(purged, strings.Replace(template, "%s", op.Resource.ID, 1))
			}
		}
		slices.Sort(purged)
		return slices.Equal(trash, purged)
	})
}

// auditClaims checks that only unfinished operations hold claims.
func (s *site) auditClaims() {
	s.Helper()
	db, err := sql.Open("sqlite", "file:"+strings.TrimPrefix(s.url, "sqlite:///")+"?mode=ro")
	if err != nil {
		s.Fatal(err)
	}
	defer db.Close()
	var left int
	row := db.QueryRow(`SELECT count(*) FROM claims JOIN operations ON operations.id = claims.operation_id
		WHERE status IN ('succeeded', 'failed', 'cancelled')`)
	if err := row.Scan(&left); err != nil || left > 0 {
		s.Errorf("%d claims of ended operations, %v", left, err)
	}
}
