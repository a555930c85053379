package worker_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/store/storetest"
	"github.com/volumed/volumed/volume"
)

// clones asks for n clones of the volume at once, without waiting for any, and
// returns their operations.
func (s *site) clones(of volume.Volume, n int) []volume.Operation {
	s.Helper()
	ops := make([]volume.Operation, n)
	var all sync.WaitGroup
	for i := range ops {
		all.Go(func() {
			r, err := s.CreateVolume(s.Context(), s.host, rpc.CreateVolumeRequest{SourceVolID: of.ID}, rpc.CallOptions{})
			if err != nil {
				s.Error(err)
				return
			}
			ops[i] = *r.Operation
		})
	}
	all.Wait()
	if s.Failed() {
		s.FailNow()
	}
	return ops
}

// ended waits for the end of an operation.
func (s *site) ended(id string) volume.Operation {
	s.Helper()
	o := wait()
	return must[rpc.OperationReply](s)(s.WaitOperation(s.Context(), s.host, rpc.OperationRequest{OperationID: id}, o)).Operation
}

// want checks how an operation has ended.
func (s *site) want(id string, status volume.OperationStatus) {
	s.Helper()
	if op := s.ended(id); op.Status != status {
		s.Errorf("%s is %s, want %s: %+v", op.Method, op.Status, status, op.Error)
	}
}

func TestClonesShareSnapshots(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start()
	source := s.create(rpc.CreateVolumeRequest{Size: 2})
	for _, op := range s.clones(source, 200) {
		s.want(op.ID, volume.Succeeded)
	}
	s.audit()
	if n := len(s.world.Images()); n != 201 {
		t.Errorf("%d images", n)
	}
	if n := p.faulty.Calls("CreateSnapshot"); n > 100 {
		t.Errorf("%d snapshots for 200 clones", n)
	}
	if n, m := p.faulty.Calls("CreateSnapshot"), p.faulty.Calls("DeleteSnapshot"); n != m {
		t.Errorf("%d snapshots taken, %d removed", n, m)
	}
}

// When the snapshot cannot be taken, everybody who waits for it fails, and
// nothing stays, even if it was taken and only the answer was wrong.
// What is made of a volume that machines start from is one, too, and tells of the same image.
func TestClonesAreBootable(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	_, err := storetest.Raw(t, s.url).Exec(`UPDATE volumes SET bootable = true, image_metadata = '{"disk_format": "raw"}' WHERE id = ?`, v.ID)
	s.did(err)
	snap := s.snapshot(v)
	for _, made := range []volume.Volume{s.clone(v), s.create(rpc.CreateVolumeRequest{SnapshotID: snap.ID})} {
		if !made.Bootable || made.ImageMetadata[volume.ImageFormat] != "raw" {
			t.Errorf("bootable %v, %v", made.Bootable, made.ImageMetadata)
		}
	}
	if made := s.create(rpc.CreateVolumeRequest{Size: 1}); made.Bootable {
		t.Error("an empty volume is bootable")
	}
}

func TestLeaderOfClonesFails(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start()
	source := s.create(rpc.CreateVolumeRequest{Size: 1})
	broken := fault.New(fault.Internal, "broken")
	p.faulty.FailAfter("CreateSnapshot", 1, broken)
	s.want(s.clones(source, 1)[0].ID, volume.Failed)
	s.audit()
	p.faulty.FailAfter("CreateSnapshot", 2, fault.New(fault.Unavailable, "away"))
	for _, op := range s.clones(source, 5) {
		s.want(op.ID, volume.Succeeded)
	}
	s.audit()
}

func TestLeaderOfClonesIsCancelled(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start()
	source := s.create(rpc.CreateVolumeRequest{Size: 1})
	reached, release := p.faulty.Hold("CreateSnapshot", 1)
	defer release()
	ops := s.clones(source, 5)
	receive(t, "the snapshot", reached)
	leader := s.leader(p, ops)
	must[rpc.OperationReply](t)(s.CancelOperation(t.Context(), s.host, rpc.OperationRequest{OperationID: leader}, rpc.CallOptions{}))
	release()
	for _, op := range ops {
		want := volume.Succeeded
		if op.ID == leader {
			want = volume.Cancelled
		}
		s.want(op.ID, want)
	}
	s.audit()
}

// leader returns the operation that was the first to take a snapshot.
func (s *site) leader(p *process, ops []volume.Operation) string {
	s.Helper()
	name := p.recorder.firstSnapshot()
	i := slices.IndexFunc(ops, func(op volume.Operation) bool { return strings.HasSuffix(name, op.ID) })
	if i < 0 {
		s.Fatalf("no operation took %q", name)
	}
	return ops[i].ID
}

// Clones of format 1 keep the snapshot of their leader, until the source goes.
func TestClonesOfFormat1(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.world.SetCloneFormat(1)
	first := s.start()
	source := s.create(rpc.CreateVolumeRequest{Size: 1})
	// The leader has its clone already when the process dies, and another one
	// joins its successor's batch.
	first.faulty.FailAfter("CreateVolumeFromSnapshot", 1, fault.New(fault.Unavailable, "away"))
	op := s.clones(source, 1)[0]
	s.until("the clone is there", func() bool { return first.faulty.Calls("CreateVolumeFromSnapshot") > 0 })
	first.fuse.arm(0)
	_ = first.end()
	s.start()
	other := s.clones(source, 1)[0]
	s.want(op.ID, volume.Succeeded)
	s.want(other.ID, volume.Succeeded)
	for _, v := range []string{op.Resource.ID, other.Resource.ID} {
		s.remove(volume.Volume{ID: v})
	}
	s.remove(source)
	s.until("all is purged", func() bool { return len(s.world.Trash()) == 0 })
	s.audit()
}

// A source that is deleted waits for the clones that were accepted before.
func TestDeleteOfASourceWaitsForItsClones(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start()
	source := s.create(rpc.CreateVolumeRequest{Size: 1})
	reached, release := p.faulty.Hold("CreateVolumeFromSnapshot", 1)
	defer release()
	clone := s.clones(source, 1)[0]
	receive(t, "the clone", reached)
	del := must[rpc.VolumeReply](t)(s.DeleteVolume(t.Context(), s.host, rpc.DeleteVolumeRequest{VolumeID: source.ID}, rpc.CallOptions{}))
	if del.Operation.Status != volume.Waiting || !strings.Contains(del.Operation.Reason, clone.ID) {
		t.Errorf("the delete is %s: %s", del.Operation.Status, del.Operation.Reason)
	}
	_, err := s.CreateVolume(t.Context(), s.host, rpc.CreateVolumeRequest{SourceVolID: source.ID}, rpc.CallOptions{})
	_ = wantKind(t, err, fault.Conflict, "source_volid")
	if p.faulty.Calls("DeleteVolume") != 0 {
		t.Error("the source is deleted under its clone")
	}
	release()
	s.want(clone.ID, volume.Succeeded)
	s.want(del.Operation.ID, volume.Succeeded)
	s.audit()
}

// A delete that waited for clones of its volume, and was then refused, leaves nothing
// that was taken for them.
func TestRefusedDeleteOfASource(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start()
	source := s.create(rpc.CreateVolumeRequest{Size: 1})
	reached, release := p.faulty.Hold("CreateVolumeFromSnapshot", 1)
	defer release()
	p.faulty.FailBefore("DeleteVolume", 1, fault.New(fault.Busy, "somebody has it open"))
	clone := s.clones(source, 1)[0]
	receive(t, "the clone", reached)
	del := must[rpc.VolumeReply](t)(s.DeleteVolume(t.Context(), s.host, rpc.DeleteVolumeRequest{VolumeID: source.ID}, rpc.CallOptions{}))
	release()
	s.want(clone.ID, volume.Succeeded)
	s.want(del.Operation.ID, volume.Failed)
	s.audit()
}

// A volume does not grow while it is copied: the copy has the size that it was
// accepted with.
func TestExtendOfASourceIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start()
	source := s.create(rpc.CreateVolumeRequest{Size: 1})
	extend := func() error {
		_, err := s.ExtendVolume(t.Context(), s.host, rpc.ExtendVolumeRequest{VolumeID: source.ID, NewSize: 2}, wait())
		return err
	}
	for _, call := range []struct {
		n   int
		ask func() string
	}{
		{1, func() string { return s.clones(source, 1)[0].ID }},
		{2, func() string { // the second call of CreateSnapshot
			r := must[rpc.SnapshotReply](t)(s.CreateSnapshot(t.Context(), s.host, rpc.CreateSnapshotRequest{VolumeID: source.ID}, rpc.CallOptions{}))
			return r.Operation.ID
		}},
	} {
		reached, release := p.faulty.Hold("CreateSnapshot", call.n)
		defer release()
		op := call.ask()
		receive(t, "the snapshot", reached)
		if f := wantKind(t, extend(), fault.Busy, ""); !slices.Contains(f.BlockedBy, op) {
			t.Errorf("blocked by %v", f.BlockedBy)
		}
		if got := s.status(source.ID); got != volume.Available {
			t.Errorf("the volume is %s", got)
		}
		release()
		s.want(op, volume.Succeeded)
	}
	if err := extend(); err != nil {
		t.Error(err)
	}
	s.audit()
}

// A clone that was cancelled in a process that died leaves nothing in the next.
func TestCloneIsCancelledBeforeACrash(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	first := s.prepare()
	first.cfg.Live.DrainTimeout = 200 * time.Millisecond // the dead do not wait for the database
	first.start()
	source := s.create(rpc.CreateVolumeRequest{Size: 1})
	reached, release := first.faulty.Hold("CreateVolumeFromSnapshot", 1)
	defer release()
	clone := s.clones(source, 1)[0]
	receive(t, "the clone", reached)
	must[rpc.OperationReply](t)(s.CancelOperation(t.Context(), s.host, rpc.OperationRequest{OperationID: clone.ID}, rpc.CallOptions{}))
	first.fuse.arm(0)
	release()
	receive(t, "its death", first.fuse.blew)
	_ = first.end()
	s.start()
	s.want(clone.ID, volume.Cancelled)
	s.audit()
	if names := s.world.Images(); len(names) != 1 {
		t.Errorf("images %v", names)
	}
}
