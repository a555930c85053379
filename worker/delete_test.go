package worker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

func TestDeleteIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	watched, snapped := s.create(rpc.CreateVolumeRequest{Size: 1}), s.create(rpc.CreateVolumeRequest{Size: 1})
	release := must[func()](t)(s.world.Watch(image(watched), "10.0.0.1:0/7"))
	snap := s.snapshot(snapped)
	tests := map[string]struct {
		of        volume.Volume
		kind      fault.Kind
		blockedBy string
	}{
		"watched":      {watched, fault.Busy, "10.0.0.1:0/7"},
		"has_snapshot": {snapped, fault.Conflict, "snapshot " + snap.ID},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := s.DeleteVolume(t.Context(), s.host, rpc.DeleteVolumeRequest{VolumeID: tc.of.ID}, wait())
			if f := wantKind(t, err, tc.kind, ""); len(f.BlockedBy) != 1 || f.BlockedBy[0] != tc.blockedBy || f.Hint == "" {
				t.Errorf("%+v", f)
			}
			if got := s.status(tc.of.ID); got != volume.Available {
				t.Errorf("the volume is %s", got)
			}
		})
	}
	s.audit()
	release()
	s.remove(watched)
	s.audit()
}

// purge returns the purge of the volume once it is in the status.
func (s *site) purge(of string, status volume.OperationStatus) (op volume.Operation) {
	s.Helper()
	s.until("the purge of "+of+" is "+string(status), func() bool {
		for _, op = range s.operations(volume.OperationFilter{Method: "purge_volume", ResourceID: of}) {
			if op.Status == status {
				return true
			}
		}
		return false
	})
	return op
}

// A deleted volume stays in the trash for its clones; the end of the last one
// has it purged at once.
func TestPurgeWaitsForClones(t *testing.T) {
	for name, end := range map[string]func(s *site, clone volume.Volume){
		"deleted": func(s *site, clone volume.Volume) { s.remove(clone) },
		"flattened": func(s *site, clone volume.Volume) {
			must[rpc.VolumeReply](s)(s.FlattenVolume(s.Context(), s.host, rpc.FlattenVolumeRequest{VolumeID: clone.ID}, wait()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			p := s.start()
			source := s.create(rpc.CreateVolumeRequest{Size: 1})
			one, other := s.clone(source), s.clone(source)
			s.remove(source)
			waiting := s.purge(source.ID, volume.Waiting)
			if len(s.world.Trash()) != 1 || !strings.Contains(waiting.Reason, "clones depend") {
				t.Errorf("trash %v, the purge waits for %q", s.world.Trash(), waiting.Reason)
			}
			// From its second try on it relies on being woken.
			s.until("the second try", func() bool { return p.faulty.Calls("PurgeVolume") >= 2 })
			s.until("the long wait", func() bool {
				return time.Until(s.purge(source.ID, volume.Waiting).NextTry) > patience
			})
			end(s, one)
			end(s, other)
			s.purge(source.ID, volume.Succeeded)
			s.until("the trash is empty", func() bool { return len(s.world.Trash()) == 0 })
			s.audit()
		})
	}
}

// Nothing that a project does keeps the space of a deleted volume from coming back.
func TestPurgeIsNobodysToStop(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	source := s.create(rpc.CreateVolumeRequest{Size: 1})
	clone := s.clone(source)
	taken := rpc.CallOptions{RequestID: "purge-" + source.ID, Wait: patience}
	must[rpc.VolumeReply](t)(s.CreateVolume(t.Context(), s.host, rpc.CreateVolumeRequest{Size: 1}, taken))
	s.remove(source)
	purge := s.purge(source.ID, volume.Waiting)
	_, err := s.CancelOperation(t.Context(), s.host, rpc.OperationRequest{OperationID: purge.ID}, rpc.CallOptions{})
	_ = wantKind(t, err, fault.Unsupported, "operation_id")
	s.remove(clone)
	s.purge(source.ID, volume.Succeeded)
	s.audit()
}

// A purge that fails is tried again.
func TestPurgeOutlastsFailures(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.prepare()
	p.faulty.FailBefore("PurgeVolume", 1, fault.New(fault.Internal, "broken").WithHint("mend it"))
	p.start()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	s.remove(v)
	if op := s.purge(v.ID, volume.Waiting); !strings.Contains(op.Reason, "broken") || op.Hint != "mend it" || time.Until(op.NextTry) < time.Minute {
		t.Errorf("waits for %q until %s", op.Reason, op.NextTry)
	}
	if err := p.end(); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.purge(v.ID, volume.Succeeded)
	s.audit()
}

// A project deletes nothing of another one, not even with its own volume.
func TestCascadeSparesOtherProjects(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	own := s.snapshot(v)
	other := volume.Snapshot{ID: uuid.NewString(), VolumeID: v.ID, ProjectID: "p2", Status: volume.Available, VolumeSize: 1}
	err := s.db.Write(t.Context(), operation.Fence{Host: s.host, Epoch: 1}, func(tx operation.Tx) error { return tx.InsertSnapshot(&other) })
	if err != nil {
		t.Fatal(err)
	}
	req := rpc.DeleteVolumeRequest{VolumeID: v.ID, Cascade: true}
	_, err = s.DeleteVolume(t.Context(), s.host, req, wait())
	_ = wantKind(t, err, fault.Conflict, "")
	if strings.Contains(err.Error(), other.ID) {
		t.Errorf("the id is told: %v", err)
	}
	s.wantSnapshot(own.ID, volume.Available)
	if got := s.status(v.ID); got != volume.Available {
		t.Errorf("the volume is %s", got)
	}
	must[rpc.VolumeReply](t)(s.as("").DeleteVolume(t.Context(), s.host, req, wait()))
	s.wantSnapshot(other.ID, volume.Deleted)
}
