package worker_test

import (
	"strings"
	"testing"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

func (s *site) revert(v volume.Volume, to volume.Snapshot) error {
	_, err := s.RevertToSnapshot(s.Context(), s.host, rpc.RevertToSnapshotRequest{VolumeID: v.ID, SnapshotID: to.ID}, wait())
	return err
}

// A revert is refused for what makes it impossible, and leaves all as it was.
func TestRevertIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	v, other := s.create(rpc.CreateVolumeRequest{Size: 1}), s.create(rpc.CreateVolumeRequest{Size: 1})
	snap := s.snapshot(v)
	_ = wantKind(t, s.revert(other, snap), fault.Invalid, "snapshot_id")

	_, err := s.as("p2").RevertToSnapshot(t.Context(), s.host, rpc.RevertToSnapshotRequest{VolumeID: v.ID, SnapshotID: snap.ID}, wait())
	_ = wantKind(t, err, fault.NotFound, "volume_id")

	release := must[func()](t)(s.world.Watch(image(v), "10.0.0.1:0/7"))
	if f := wantKind(t, s.revert(v, snap), fault.Busy, ""); len(f.BlockedBy) != 1 || f.BlockedBy[0] != "10.0.0.1:0/7" {
		t.Errorf("blocked by %v", f.BlockedBy)
	}
	release()
	if got := s.status(v.ID); got != volume.Available {
		t.Errorf("the volume is %s", got)
	}
	s.wantSnapshot(snap.ID, volume.Available)
	s.audit()
	if err := s.revert(v, snap); err != nil {
		t.Error(err)
	}
}

// Where the content is undefined the volume is in error, why says what to do, and
// doing it brings the volume back.
func TestRevertThatFailed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	snap := s.snapshot(v)
	p.faulty.FailAfter("RevertToSnapshot", 1, fault.New(fault.Internal, "an object cannot be read"))
	_ = wantKind(t, s.revert(v, snap), fault.Internal, "")
	if got := s.status(v.ID); got != volume.Error {
		t.Errorf("the volume is %s", got)
	}
	s.wantSnapshot(snap.ID, volume.Available)
	why := must[rpc.WhyReply](t)(s.Why(t.Context(), rpc.WhyRequest{VolumeID: v.ID}))
	if len(why.Causes) == 0 || !strings.Contains(why.Causes[0].Hint, "volume revert "+v.ID+" --snapshot "+snap.ID) {
		t.Errorf("%+v", why.Causes)
	}
	if err := s.revert(v, snap); err != nil {
		t.Error(err)
	}
	if got := s.status(v.ID); got != volume.Available {
		t.Errorf("the volume is %s", got)
	}
	s.audit()
}

// A process that dies before it has begun leaves a volume that nobody has written to: who
// has it open is still a reason to refuse.
func TestRevertTakenOverIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	snap := s.snapshot(v)
	p.fuse.arm(1) // it accepts, and is dead when it would begin
	accepted := must[rpc.VolumeReply](t)(s.RevertToSnapshot(t.Context(), s.host, rpc.RevertToSnapshotRequest{VolumeID: v.ID, SnapshotID: snap.ID}, rpc.CallOptions{}))
	receive(t, "the death", p.fuse.blew)
	_ = p.end()
	_ = must[func()](t)(s.world.Watch(image(v), "10.0.0.1:0/7"))
	next := s.start()
	if op := s.wants(accepted.Operation.ID, volume.Failed); op.Error == nil || op.Error.Kind != fault.Busy {
		t.Errorf("ended by %v", op.Error)
	}
	if got := s.status(v.ID); got != volume.Available {
		t.Errorf("the volume is %s", got)
	}
	if n := next.faulty.Calls("RevertToSnapshot"); n != 1 {
		t.Errorf("%d calls", n)
	}
	s.audit()
}

// Once a rollback may have begun, a client that has the volume open is waited out: what
// is rolled back in half is not handed out again.
func TestRevertOutlastsWatchers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	snap := s.snapshot(v)
	p.faulty.FailBefore("RevertToSnapshot", 1, fault.New(fault.Unavailable, "not answered"))
	p.faulty.FailBefore("RevertToSnapshot", 2, fault.New(fault.Busy, "open").WithBlockers("10.0.0.1:0/7"))
	if err := s.revert(v, snap); err != nil {
		t.Error(err)
	}
	if n := p.faulty.Calls("RevertToSnapshot"); n != 3 {
		t.Errorf("%d calls", n)
	}
	s.audit()
}
