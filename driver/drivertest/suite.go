package drivertest

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// Run checks every promise of package driver on the driver that open returns.
// Each case opens its own driver and closes it; all may share one pool, since
// the names are random. A pool of its own is best: what a case leaves there
// after a failure stays.
func Run(t *testing.T, open func(t *testing.T) driver.Driver) {
	cases := map[string]func(*suite){
		"CreateVolume":            (*suite).createVolume,
		"CreateVolume/repeat":     (*suite).createVolumeRepeat,
		"CreateVolume/sizes":      (*suite).sizes,
		"DeleteVolume":            (*suite).deleteVolume,
		"DeleteVolume/foreign":    (*suite).deleteForeign,
		"DeleteVolume/snapshots":  (*suite).deleteWithSnapshots,
		"UndeleteVolume":          (*suite).undelete,
		"UndeleteVolume/refused":  (*suite).undeleteRefused,
		"PurgeVolume":             (*suite).purgeVolume,
		"PurgeVolume/keep":        (*suite).purgeKept,
		"PurgeVolume/clones":      (*suite).purgeBlockedByClones,
		"PurgeVolume/at_once":     (*suite).purgeAtOnce,
		"CreateSnapshot":          (*suite).createSnapshot,
		"DeleteSnapshot":          (*suite).deleteSnapshot,
		"CloneVolume":             (*suite).clone,
		"CloneVolume/repeat":      (*suite).cloneRepeat,
		"CloneVolume/refused":     (*suite).cloneRefused,
		"CloneVolume/at_once":     (*suite).cloneAtOnce,
		"CloneVolume/source_gone": (*suite).cloneOutlivesSource,
		"CloneVolume/depth":       (*suite).depth,
		"FlattenVolume":           (*suite).flatten,
		"FlattenVolume/cancel":    (*suite).flattenCancel,
		"RevertToSnapshot":        (*suite).revert,
		"ExtendVolume":            (*suite).extend,
		"WriteVolume":             (*suite).write,
		"WriteVolume/refused":     (*suite).writeRefused,
		"ClearVolume":             (*suite).clear,
		"InitializeConnection":    (*suite).connect,
		"Stats":                   (*suite).stats,
		"Inventory":               (*suite).inventory,
		"Repair":                  (*suite).repair,
		"Settings":                (*suite).settings,
		"Adopt":                   (*suite).adopt,
		"Adopt/snapshots":         (*suite).adoptSnapshots,
		"Names":                   (*suite).hostileNames,
		"Context":                 (*suite).cancelledContext,
		"Close":                   (*suite).closed,
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			s := &suite{T: t, d: open(t)}
			t.Cleanup(func() {
				if err := s.d.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
			test(s)
		})
	}
}

// suite is one case at work on one driver.
type suite struct {
	*testing.T
	d driver.Driver
}

// name returns an image name that nobody uses.
func name() string { return "volume-" + strings.ToLower(rand.Text()) }

// snapName returns a snapshot name that nobody uses.
func snapName() string { return "snapshot-" + strings.ToLower(rand.Text()) }

// want fails the test unless err is of the kind; "" stands for no error.
func (s *suite) want(kind fault.Kind, err error) {
	s.Helper()
	if got := fault.KindOf(err); got != kind {
		s.Fatalf("kind = %q, want %q: %v", got, kind, err)
	}
}

// blocked fails the test unless err is Busy and names every blocker.
func (s *suite) blocked(err error, blockers ...string) {
	s.Helper()
	s.want(fault.Busy, err)
	all := strings.Join(fault.Of(err).BlockedBy, "\n")
	for _, b := range blockers {
		if !strings.Contains(all, b) {
			s.Errorf("blocked by %q, which does not name %s", all, b)
		}
	}
}

// create makes an empty volume that stays.
func (s *suite) create(name string, size int64) volume.Ref {
	s.Helper()
	loc, err := s.d.CreateVolume(s.Context(), volume.Spec{Ref: volume.Ref{Name: name}, Size: size})
	s.want("", err)
	return volume.Ref{Name: name, ImageID: loc.ImageID}
}

// volume makes an empty volume that is deleted and purged after the test, after
// everything made later.
func (s *suite) volume(size int64) volume.Ref {
	s.Helper()
	v := s.create(name(), size)
	return s.made(v, volume.Location{ImageID: v.ImageID}, nil)
}

// delete deletes v and tells no more than the error.
func (s *suite) delete(v volume.Ref, keep time.Duration) error {
	_, err := s.d.DeleteVolume(s.Context(), v, keep)
	return err
}

// snapshot takes a snapshot of v.
func (s *suite) snapshot(v volume.Ref) volume.SnapshotRef {
	s.Helper()
	snap := volume.SnapshotRef{Volume: v, Name: snapName()}
	s.want("", s.d.CreateSnapshot(s.Context(), snap))
	return snap
}

// cloneOf makes a clone that goes as volume's do.
func (s *suite) cloneOf(from volume.SnapshotRef, size int64) volume.Ref {
	s.Helper()
	v := volume.Ref{Name: name()}
	loc, err := s.d.CreateVolumeFromSnapshot(s.Context(), volume.Spec{Ref: v, Size: size}, from)
	return s.made(v, loc, err)
}

// made checks a volume just made, and lets it go after the test.
func (s *suite) made(v volume.Ref, loc volume.Location, err error) volume.Ref {
	s.Helper()
	s.want("", err)
	if loc.ImageID == "" {
		s.Fatal("no image id")
	}
	v.ImageID = loc.ImageID
	s.Cleanup(func() { s.gone(v) })
	return v
}

// gone deletes and purges the volume.
func (s *suite) gone(v volume.Ref) {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := s.d.DeleteVolume(ctx, v, 0); err != nil {
		s.Errorf("clean up: %v", err)
	}
	if err := s.d.PurgeVolume(ctx, v, nil); err != nil {
		s.Errorf("clean up: %v", err)
	}
}

// exists tells whether the volume can be reached by its users.
func (s *suite) exists(v volume.Ref) bool {
	s.Helper()
	_, err := s.d.InitializeConnection(s.Context(), v, "id", nil)
	if kind := fault.KindOf(err); kind != "" && kind != fault.NotFound {
		s.Fatalf("connect: %v", err)
	}
	return err == nil
}
