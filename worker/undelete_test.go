package worker_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
	"github.com/volumed/volumed/worker"
)

// keeping returns a site where deleted volumes are kept for the time.
func keeping(t *testing.T, keep time.Duration) *site {
	t.Helper()
	s := newSite(t)
	s.keep = keep
	return s
}

// removeAll deletes the volume with its snapshots.
func (s *site) removeAll(v volume.Volume) {
	s.Helper()
	must[rpc.VolumeReply](s)(s.DeleteVolume(s.Context(), s.host, rpc.DeleteVolumeRequest{VolumeID: v.ID, Cascade: true}, wait()))
}

// undelete brings the volume back.
func (s *site) undelete(v volume.Volume) volume.Volume {
	s.Helper()
	return must[rpc.VolumeReply](s)(s.UndeleteVolume(s.Context(), s.host, rpc.UndeleteVolumeRequest{VolumeID: v.ID}, wait())).Volume
}

// wantConflict undeletes and wants to be refused with the words.
func (s *site) wantConflict(v volume.Volume, words string) *fault.Error {
	s.Helper()
	_, err := s.UndeleteVolume(s.Context(), s.host, rpc.UndeleteVolumeRequest{VolumeID: v.ID}, wait())
	f := wantKind(s, err, fault.Conflict, "")
	if !strings.Contains(f.Message, words) || f.Hint == "" {
		s.Errorf("refused with %q, hint %q; want %q and a hint", f.Message, f.Hint, words)
	}
	return f
}

// record is the row of the volume, deleted or not.
func (s *site) record(id string) volume.Volume {
	s.Helper()
	return must[volume.Volume](s)(s.db.VolumeRecord(s.Context(), id))
}

// imageID is the id of the image with the volume's name, empty for none.
func (s *site) imageID(v volume.Volume) string {
	img, _ := s.world.Look(image(v))
	return img.ID
}

// wantSnapshot checks the status of a snapshot in its row.
func (s *site) wantSnapshot(id string, want volume.Status) {
	s.Helper()
	if row := must[volume.Snapshot](s)(s.db.SnapshotRecord(s.Context(), id)); row.Status != want {
		s.Errorf("snapshot %s is %s, want %s", id, row.Status, want)
	}
}

// A volume comes back as it was, as often as it is deleted, with exactly the
// snapshots that went with it.
func TestUndelete(t *testing.T) {
	t.Parallel()
	s := keeping(t, time.Hour)
	s.start()
	v := s.create(rpc.CreateVolumeRequest{Size: 2, Name: "data", Metadata: map[string]string{"a": "b"}})
	gone, kept := s.snapshot(v), s.snapshot(v)
	must[rpc.SnapshotReply](t)(s.DeleteSnapshot(t.Context(), s.host, rpc.DeleteSnapshotRequest{SnapshotID: gone.ID}, wait()))
	v = s.record(v.ID)
	for range 2 {
		s.removeAll(v)
		s.wantSnapshot(kept.ID, volume.Deleted)
		purge := s.purge(v.ID, volume.Waiting)
		if !strings.Contains(purge.Reason, "is kept until") || !strings.Contains(purge.Hint, "undelete") || time.Until(purge.NextTry) < 50*time.Minute {
			t.Errorf("the purge waits as %+v", purge)
		}
		back := s.undelete(v)
		if diff := cmp.Diff(v, back, cmpopts.IgnoreFields(volume.Volume{}, "UpdatedAt", "PreviousStatus")); diff != "" {
			t.Errorf("the volume (-was +is):\n%s", diff)
		}
		s.wantSnapshot(kept.ID, volume.Available)
		s.wantSnapshot(gone.ID, volume.Deleted)
		if op := s.purge(v.ID, volume.Cancelled); op.ID != purge.ID {
			t.Errorf("another purge was cancelled: %+v", op)
		}
		s.audit()
	}
	_ = s.wantConflict(v, "is not deleted, it is available")
	must[rpc.VolumeReply](t)(s.ExtendVolume(t.Context(), s.host, rpc.ExtendVolumeRequest{VolumeID: v.ID, NewSize: 3}, wait()))
	s.create(rpc.CreateVolumeRequest{SnapshotID: kept.ID})
	s.audit()
}

// What was in error comes back in error; snapshots as they were.
func TestUndeleteOfWhatWasInError(t *testing.T) {
	t.Parallel()
	for before, want := range map[volume.Status]volume.Status{
		volume.Error: volume.Error, volume.ErrorExtend: volume.ErrorExtend, volume.ErrorDeleting: volume.Available,
	} {
		t.Run(string(before), func(t *testing.T) {
			s := keeping(t, time.Hour)
			p := s.start()
			v := s.create(rpc.CreateVolumeRequest{Size: 1})
			snap := s.snapshot(v)
			if err := p.end(); err != nil {
				t.Fatal(err)
			}
			fence := s.fence()
			err := s.db.Write(t.Context(), fence, func(tx operation.Tx) error {
				row, err := tx.Volume(v.ID)
				if err != nil {
					return err
				}
				row.Status = before
				snap.Status = volume.Error
				if err := tx.UpdateSnapshot(&snap, volume.Available); err != nil {
					return err
				}
				return tx.UpdateVolume(&row, volume.Available)
			})
			if err != nil {
				t.Fatal(err)
			}
			s.start()
			s.removeAll(v)
			if back := s.undelete(v); back.Status != want {
				t.Errorf("the volume is %s, want %s", back.Status, want)
			}
			s.wantSnapshot(snap.ID, volume.Error)
		})
	}
}

// fence is the right to write of the process that ran last.
func (s *site) fence() operation.Fence {
	s.Helper()
	rows, _, err := s.db.Services(s.Context(), volume.ServiceFilter{Host: s.host})
	if err != nil || len(rows) != 1 {
		s.Fatal(rows, err)
	}
	return operation.Fence{Host: s.host, Epoch: rows[0].Epoch}
}

func TestUndeleteIsRefused(t *testing.T) {
	t.Parallel()
	s := keeping(t, time.Hour)
	s.start()
	call := func(c *rpc.Client, service, id string) error {
		_, err := c.UndeleteVolume(t.Context(), service, rpc.UndeleteVolumeRequest{VolumeID: id}, wait())
		return err
	}
	_ = wantKind(t, call(s.Client, s.host, uuid.NewString()), fault.NotFound, "volume_id")
	_ = wantKind(t, call(s.Client, s.host, "no id"), fault.Invalid, "volume_id")
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	unknown := wantKind(t, call(s.as("p2"), s.host, v.ID), fault.NotFound, "volume_id")
	_ = s.wantConflict(v, "is not deleted")
	s.remove(v)
	others := wantKind(t, call(s.as("p2"), s.host, v.ID), fault.NotFound, "volume_id")
	if others.Message != unknown.Message {
		t.Errorf("a stranger is told %q of a deleted volume and %q of another", others.Message, unknown.Message)
	}
	first := *s
	s.renew()
	s.start()
	if f := wantKind(t, call(s.Client, s.host, v.ID), fault.Invalid, "volume_id"); !strings.Contains(f.Hint, first.host) {
		t.Errorf("sent elsewhere: %+v", f)
	}
	first.undelete(v)
	first.audit()
}

// A volume whose deletion was not deferred is gone, also while its image is still
// there for its clones.
func TestUndeleteOfWhatIsNotKept(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	clone := s.clone(v)
	s.remove(v)
	f := s.wantConflict(v, "was deleted for good")
	if !strings.Contains(f.Hint, "enable_deferred_deletion") {
		t.Errorf("hint %q", f.Hint)
	}
	s.remove(clone)
	s.purge(v.ID, volume.Succeeded)
	_ = s.wantConflict(v, "its data is gone")
	s.audit()
}

// Of a purge and an undelete at the same time one wins, and the other says so.
func TestUndeleteMeetsThePurge(t *testing.T) {
	t.Parallel()
	s := keeping(t, 50*time.Millisecond)
	p := s.prepare()
	reached, release := p.faulty.Hold("PurgeVolume", 1)
	defer release()
	p.start()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	s.remove(v)
	receive(t, "the purge has begun", reached)
	_ = s.wantConflict(v, "its purge has begun: its data is gone")
	release()
	s.purge(v.ID, volume.Succeeded)
	_ = s.wantConflict(v, "has been purged: its data is gone")
	s.audit()
}

// However close they come: the volume is there with its image, or it is gone.
func TestUndeleteRacesThePurge(t *testing.T) {
	t.Parallel()
	s := keeping(t, 30*time.Millisecond)
	s.start()
	won := 0
	for n := range 40 {
		v := s.create(rpc.CreateVolumeRequest{Size: 1})
		s.remove(v)
		<-time.After(time.Duration(n) * time.Millisecond) // before, about, and after the end of the time
		_, err := s.UndeleteVolume(t.Context(), s.host, rpc.UndeleteVolumeRequest{VolumeID: v.ID}, wait())
		s.until("the purge has ended", func() bool {
			return len(s.operations(volume.OperationFilter{ResourceID: v.ID, Unfinished: true})) == 0
		})
		row := s.record(v.ID)
		switch there := s.imageID(v); {
		case err == nil && row.Status == volume.Available && there == v.ImageID:
			won++
		case fault.KindOf(err) == fault.Conflict && row.Status == volume.Deleted && there == "" && row.ImageID == "":
		default:
			t.Fatalf("undelete: %v; the volume is %s, its image %q", err, row.Status, there)
		}
	}
	if won == 0 || won == 40 {
		t.Errorf("%d of 40 were restored: they did not meet", won)
	}
	s.audit()
}

// A name that was taken meanwhile is a conflict that changes nothing: the volume is
// kept on, and can be had back once the name is free.
func TestUndeleteNameTaken(t *testing.T) {
	t.Parallel()
	s := keeping(t, time.Hour)
	s.start()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	snap := s.snapshot(v)
	s.removeAll(v)
	id := s.world.Add(image(v), 1)
	if f := s.wantConflict(v, "another image has the name"); len(f.BlockedBy) != 1 || f.BlockedBy[0] != "image "+id {
		t.Errorf("blocked by %v", f.BlockedBy)
	}
	if row := s.record(v.ID); row.Status != volume.Deleted || !row.Deleted() {
		t.Errorf("the volume is %s", row.Status)
	}
	again := s.purge(v.ID, volume.Waiting)
	if time.Until(again.NextTry) < 50*time.Minute {
		t.Errorf("the new purge is due at %s", again.NextTry)
	}
	if err := s.world.Rename(image(v), "foreign"); err != nil {
		t.Fatal(err)
	}
	s.undelete(v)
	s.wantSnapshot(snap.ID, volume.Available)
	if err := s.world.Remove("foreign"); err != nil {
		t.Fatal(err)
	}
	s.audit()
}

// One undelete at a time.
func TestUndeleteTwiceAtOnce(t *testing.T) {
	t.Parallel()
	s := keeping(t, time.Hour)
	p := s.prepare()
	reached, release := p.faulty.Hold("UndeleteVolume", 1)
	defer release()
	p.start()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	s.remove(v)
	first := make(chan error, 1)
	go func() {
		_, err := s.UndeleteVolume(context.WithoutCancel(t.Context()), s.host, rpc.UndeleteVolumeRequest{VolumeID: v.ID}, wait())
		first <- err
	}()
	receive(t, "it restores", reached)
	_, err := s.UndeleteVolume(t.Context(), s.host, rpc.UndeleteVolumeRequest{VolumeID: v.ID}, wait())
	if f := wantKind(t, err, fault.Busy, ""); len(f.BlockedBy) != 1 {
		t.Errorf("%+v", f)
	}
	release()
	if err := receive(t, "the first answer", first); err != nil {
		t.Error(err)
	}
	s.audit()
}

// A pool that is full, or a cluster that refuses, is waited for: half a restore
// would be neither.
func TestUndeleteOutlastsFailures(t *testing.T) {
	t.Parallel()
	s := keeping(t, time.Hour)
	p := s.prepare()
	p.faulty.FailBefore("UndeleteVolume", 1, fault.New(fault.Exhausted, "the pool is full").WithHint("add space"))
	p.faulty.FailAfter("UndeleteVolume", 2, fault.New(fault.Internal, "broken"))
	p.start()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	s.remove(v)
	s.undelete(v)
	if n := p.faulty.Calls("UndeleteVolume"); n != 3 {
		t.Errorf("%d tries", n)
	}
	s.audit()
}

// lateStore is a database whose answers come after a time.
type lateStore struct {
	worker.Store
	answer *atomic.Pointer[time.Time]
}

func (l lateStore) Write(ctx context.Context, fence operation.Fence, change func(operation.Tx) error) error {
	return l.late(l.Store.Write(ctx, fence, change))
}

func (l lateStore) WriteSoon(ctx context.Context, fence operation.Fence, change func(operation.Tx) error) error {
	return l.late(l.Store.WriteSoon(ctx, fence, change))
}

func (l lateStore) late(err error) error {
	if at := l.answer.Load(); at != nil {
		<-time.After(time.Until(*at))
	}
	return err
}

// An undelete whose deadline passes before it begins leaves the volume as it was,
// kept by the same purge.
func TestUndeleteTooLate(t *testing.T) {
	t.Parallel()
	s := keeping(t, time.Hour)
	p := s.prepare()
	var answer atomic.Pointer[time.Time]
	open := p.deps.OpenStore
	p.deps.OpenStore = func(ctx context.Context) (worker.Store, error) {
		db, err := open(ctx)
		return lateStore{db, &answer}, err
	}
	p.start()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	s.remove(v)
	purge := s.purge(v.ID, volume.Waiting)
	o := wait()
	o.Deadline = time.Now().Add(300 * time.Millisecond)
	late := o.Deadline.Add(time.Millisecond)
	answer.Store(&late)
	if _, err := s.UndeleteVolume(t.Context(), s.host, rpc.UndeleteVolumeRequest{VolumeID: v.ID}, o); err == nil {
		t.Error("it came in time")
	}
	s.until("it is cancelled", func() bool {
		ops := s.operations(volume.OperationFilter{Method: rpc.MethodUndeleteVolume})
		return len(ops) == 1 && ops[0].Status == volume.Cancelled
	})
	if s.record(v.ID).Status != volume.Deleted || s.purge(v.ID, volume.Waiting).ID != purge.ID {
		t.Error("the volume is not as it was")
	}
	s.audit()
	s.undelete(v)
	s.audit()
}

// A snapshot that volumes are being made of keeps its volume, without a word of harm.
func TestDeleteWithSnapshotsInUse(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.prepare()
	reached, release := p.faulty.Hold("CreateVolumeFromSnapshot", 1)
	defer release()
	p.start()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	snap := s.snapshot(v)
	made := must[rpc.VolumeReply](t)(s.CreateVolume(t.Context(), s.host, rpc.CreateVolumeRequest{SnapshotID: snap.ID}, rpc.CallOptions{}))
	receive(t, "the clone is being made", reached)
	_, err := s.DeleteVolume(t.Context(), s.host, rpc.DeleteVolumeRequest{VolumeID: v.ID, Cascade: true}, wait())
	if f := wantKind(t, err, fault.Busy, ""); !cmp.Equal(f.BlockedBy, []string{made.Operation.ID}) || f.Hint == "" {
		t.Errorf("%+v", f)
	}
	release()
	s.audit()
	s.wantSnapshot(snap.ID, volume.Available)
	s.removeAll(v)
	s.audit()
}

// A delete that is refused leaves the snapshots as they were.
func TestDeleteWithSnapshotsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	snap := s.snapshot(v)
	release := must[func()](t)(s.world.Watch(image(v), "10.0.0.1:0/7"))
	_, err := s.DeleteVolume(t.Context(), s.host, rpc.DeleteVolumeRequest{VolumeID: v.ID, Cascade: true}, wait())
	_ = wantKind(t, err, fault.Busy, "")
	s.wantSnapshot(snap.ID, volume.Available)
	s.audit()
	release()
	s.removeAll(v)
	s.wantSnapshot(snap.ID, volume.Deleted)
	s.audit()
}
