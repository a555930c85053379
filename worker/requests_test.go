package worker_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

func TestCreate(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	empty := s.create(rpc.CreateVolumeRequest{Name: "first", Size: 2, Metadata: map[string]string{"a": "b"}})
	want := volume.Volume{
		ID: empty.ID, ProjectID: "p1", UserID: "u1", Name: "first", Size: 2, Status: volume.Available, PreviousStatus: volume.Creating,
		AttachStatus: volume.Detached, Host: "node1@mem0#pool", AvailabilityZone: "zone1", Metadata: map[string]string{"a": "b"},
		ImageID: empty.ImageID, CreatedAt: empty.CreatedAt, UpdatedAt: empty.UpdatedAt, LaunchedAt: empty.LaunchedAt,
	}
	if diff := cmp.Diff(want, empty); diff != "" || empty.ImageID == "" || empty.LaunchedAt.IsZero() {
		t.Error(diff)
	}
	snap := s.snapshot(empty)
	for name, r := range map[string]rpc.CreateVolumeRequest{
		"snapshot": {SnapshotID: snap.ID}, "larger_snapshot": {SnapshotID: snap.ID, Size: 3},
		"clone": {SourceVolID: empty.ID}, "larger_clone": {SourceVolID: empty.ID, Size: 3},
	} {
		t.Run(name, func(t *testing.T) {
			size := max(r.Size, 2)
			v := s.create(r)
			if v.Size != size || s.world.Size(image(v)) != size || v.SnapshotID != r.SnapshotID || v.SourceVolID != r.SourceVolID {
				t.Errorf("%+v of %d GiB", v, s.world.Size(image(v)))
			}
			if s.world.Parent(image(v)) == "" {
				t.Error("it is no clone")
			}
		})
	}
	s.audit()
}

func TestExtend(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	extend := func(size int64) (volume.Volume, error) {
		r, err := s.ExtendVolume(t.Context(), s.host, rpc.ExtendVolumeRequest{VolumeID: v.ID, NewSize: size}, wait())
		return r.Volume, err
	}
	p.faulty.FailBefore("ExtendVolume", 1, fault.New(fault.Internal, "broken"))
	if _, err := extend(2); fault.KindOf(err) != fault.Internal || s.status(v.ID) != volume.ErrorExtend {
		t.Errorf("%v, the volume is %s", err, s.status(v.ID))
	}
	if got, err := extend(2); err != nil || got.Status != volume.Available || got.Size != 2 {
		t.Errorf("after a failure: %+v, %v", got, err)
	}
	_, err := extend(2)
	_ = wantKind(t, err, fault.Invalid, "new_size")
	s.audit()
}

func TestFlatten(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start()
	v := s.clone(s.create(rpc.CreateVolumeRequest{Size: 1}))
	reached, release := p.faulty.Hold("FlattenVolume", 1)
	defer release()
	flatten := func(o rpc.CallOptions) (volume.Operation, error) {
		r, err := s.FlattenVolume(t.Context(), s.host, rpc.FlattenVolumeRequest{VolumeID: v.ID}, o)
		if err != nil {
			return volume.Operation{}, err
		}
		return *r.Operation, nil
	}
	first := must[volume.Operation](t)(flatten(rpc.CallOptions{}))
	states := s.Watch(t.Context(), first.ID)
	receive(t, "the flatten", reached)
	_, err := flatten(rpc.CallOptions{})
	if f := wantKind(t, err, fault.Busy, ""); !cmp.Equal(f.BlockedBy, []string{first.ID}) {
		t.Errorf("blocked by %v", f.BlockedBy)
	}
	s.snapshot(v) // it can be used meanwhile
	must[rpc.OperationReply](t)(s.CancelOperation(t.Context(), s.host, rpc.OperationRequest{OperationID: first.ID}, rpc.CallOptions{}))
	release()
	s.want(first.ID, volume.Cancelled)
	if s.world.Parent(image(v)) == "" {
		t.Error("a cancelled flatten has ended the clone")
	}
	second := must[volume.Operation](t)(flatten(wait()))
	if second.Status != volume.Succeeded || second.Progress != 100 || s.world.Parent(image(v)) != "" {
		t.Errorf("%+v, parent %q", second, s.world.Parent(image(v)))
	}
	var last volume.Operation
	for last = range states {
	}
	if last.Status != volume.Cancelled {
		t.Errorf("the last event told %s", last.Status)
	}
	s.audit()
}

func TestSnapshots(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	snap := s.snapshot(v)
	if diff := cmp.Diff([]string{"snapshot-" + snap.ID}, s.world.Snapshots(image(v))); diff != "" || snap.VolumeSize != 1 || snap.Progress != "100%" {
		t.Errorf("%s %+v", diff, snap)
	}
	of := s.create(rpc.CreateVolumeRequest{SnapshotID: snap.ID})
	r, err := s.DeleteSnapshot(t.Context(), s.host, rpc.DeleteSnapshotRequest{SnapshotID: snap.ID}, wait())
	if err != nil || r.Snapshot.Status != volume.Deleted || len(s.world.Snapshots(image(v))) != 0 {
		t.Errorf("%+v, %v", r.Snapshot, err)
	}
	if s.world.Parent(image(of)) == "" {
		t.Error("its clone is gone")
	}
	s.audit()
}

func TestConnections(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	r, err := s.InitializeConnection(t.Context(), s.host, rpc.ConnectionRequest{VolumeID: v.ID, Connector: map[string]any{"host": "h"}}, rpc.CallOptions{})
	if err != nil || r.ConnectionInfo.Data["volume_id"] != v.ID {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := s.TerminateConnection(t.Context(), s.host, rpc.ConnectionRequest{VolumeID: v.ID}, rpc.CallOptions{}); err != nil {
		t.Error(err)
	}
	reached, release := p.faulty.Hold("DeleteVolume", 1)
	defer release()
	must[rpc.VolumeReply](t)(s.DeleteVolume(t.Context(), s.host, rpc.DeleteVolumeRequest{VolumeID: v.ID}, rpc.CallOptions{}))
	receive(t, "the delete", reached)
	_, err = s.InitializeConnection(t.Context(), s.host, rpc.ConnectionRequest{VolumeID: v.ID}, rpc.CallOptions{})
	_ = wantKind(t, err, fault.Conflict, "")
}

func TestCapabilities(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.prepare()
	p.cfg.Live.StatsInterval = 20 * time.Millisecond
	p.start()
	s.create(rpc.CreateVolumeRequest{Size: 7})
	fresh := must[rpc.CapabilitiesReply](t)(s.GetCapabilities(t.Context(), s.host, rpc.CapabilitiesRequest{Refresh: true}))
	if fresh.Host != s.host || fresh.Capabilities.AllocatedCapacityGB != 7 || fresh.Capabilities.BackendState != volume.Up {
		t.Errorf("%+v", fresh)
	}
	s.until("a later report", func() bool {
		r := must[rpc.CapabilitiesReply](t)(s.GetCapabilities(t.Context(), s.host, rpc.CapabilitiesRequest{}))
		return r.Timestamp.After(fresh.Timestamp)
	})
}

// An answer shows the row as it is in the table, whether it was read there or handed
// over by the operation.
func TestAnswersAreTheRows(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	same := func(what string, answered volume.Volume) {
		t.Helper()
		if diff := cmp.Diff(s.record(answered.ID), answered); diff != "" {
			t.Errorf("after %s: %s", what, diff)
		}
	}
	v := s.create(rpc.CreateVolumeRequest{Size: 1, Metadata: map[string]string{"a": "b"}})
	same("create", v)
	extended, err := s.ExtendVolume(t.Context(), s.host, rpc.ExtendVolumeRequest{VolumeID: v.ID, NewSize: 2}, wait())
	if err != nil {
		t.Fatal(err)
	}
	same("extend", extended.Volume)
	snap := s.snapshot(v)
	sameSnapshot := func(what string, answered volume.Snapshot) {
		t.Helper()
		stored, err := s.db.SnapshotRecord(t.Context(), snap.ID)
		if diff := cmp.Diff(stored, answered); diff != "" || err != nil {
			t.Errorf("after %s: %v %s", what, err, diff)
		}
	}
	sameSnapshot("create_snapshot", snap)
	gone, err := s.DeleteSnapshot(t.Context(), s.host, rpc.DeleteSnapshotRequest{SnapshotID: snap.ID}, wait())
	if err != nil {
		t.Fatal(err)
	}
	sameSnapshot("delete_snapshot", gone.Snapshot)
	deleted, err := s.DeleteVolume(t.Context(), s.host, rpc.DeleteVolumeRequest{VolumeID: v.ID}, wait())
	if err != nil {
		t.Fatal(err)
	}
	s.settle() // the purge takes the image id out of the record
	deleted.Volume.ImageID, deleted.Volume.UpdatedAt = "", s.record(v.ID).UpdatedAt
	same("delete", deleted.Volume)
}
