package worker_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// To another project things do not exist: what it is told is what it would be
// told of an id that nobody has.
func TestProjectsDoNotSeeEachOther(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	snap := s.snapshot(v)
	op := s.operations(volume.OperationFilter{Method: rpc.MethodCreateVolume})[0]
	other, ctx := s.as("p2"), t.Context()
	asks := map[string]func(volumeID, snapshotID, operationID string) error{
		"get_volume": func(v, _, _ string) error {
			_, err := other.GetVolume(ctx, rpc.VolumeIDRequest{VolumeID: v})
			return err
		},
		"get_snapshot": func(_, sn, _ string) error {
			_, err := other.GetSnapshot(ctx, rpc.SnapshotIDRequest{SnapshotID: sn})
			return err
		},
		"get_operation": func(_, _, op string) error {
			_, err := other.GetOperation(ctx, rpc.OperationRequest{OperationID: op})
			return err
		},
		"cancel_operation": func(_, _, op string) error {
			_, err := other.CancelOperation(ctx, s.host, rpc.OperationRequest{OperationID: op}, rpc.CallOptions{})
			return err
		},
		"delete_volume": func(v, _, _ string) error {
			_, err := other.DeleteVolume(ctx, s.host, rpc.DeleteVolumeRequest{VolumeID: v}, wait())
			return err
		},
		"extend_volume": func(v, _, _ string) error {
			_, err := other.ExtendVolume(ctx, s.host, rpc.ExtendVolumeRequest{VolumeID: v, NewSize: 2}, wait())
			return err
		},
		"flatten_volume": func(v, _, _ string) error {
			_, err := other.FlattenVolume(ctx, s.host, rpc.FlattenVolumeRequest{VolumeID: v}, wait())
			return err
		},
		"create_snapshot": func(v, _, _ string) error {
			_, err := other.CreateSnapshot(ctx, s.host, rpc.CreateSnapshotRequest{VolumeID: v}, wait())
			return err
		},
		"delete_snapshot": func(_, sn, _ string) error {
			_, err := other.DeleteSnapshot(ctx, s.host, rpc.DeleteSnapshotRequest{SnapshotID: sn}, wait())
			return err
		},
		"clone": func(v, _, _ string) error {
			_, err := other.CreateVolume(ctx, s.host, rpc.CreateVolumeRequest{SourceVolID: v}, wait())
			return err
		},
		"create_from_snapshot": func(_, sn, _ string) error {
			_, err := other.CreateVolume(ctx, s.host, rpc.CreateVolumeRequest{SnapshotID: sn}, wait())
			return err
		},
		"initialize_connection": func(v, _, _ string) error {
			_, err := other.InitializeConnection(ctx, s.host, rpc.ConnectionRequest{VolumeID: v}, rpc.CallOptions{})
			return err
		},
	}
	nobody := uuid.NewString()
	for name, ask := range asks {
		t.Run(name, func(t *testing.T) {
			theirs, none := fault.Of(ask(v.ID, snap.ID, op.ID)), fault.Of(ask(nobody, nobody, nobody))
			if theirs == nil || theirs.Kind != fault.NotFound || none == nil {
				t.Fatalf("theirs: %v, nobody's: %v", theirs, none)
			}
			for _, id := range []string{v.ID, snap.ID, op.ID} {
				theirs.Message = strings.ReplaceAll(theirs.Message, id, nobody)
			}
			if theirs.Message != none.Message || theirs.Field != none.Field || theirs.Hint != none.Hint {
				t.Errorf("theirs: %+v, nobody's: %+v", theirs, none)
			}
		})
	}
	volumes := must[rpc.VolumesReply](t)(other.ListVolumes(ctx, rpc.ListVolumesRequest{ProjectID: "p1"}))
	snapshots := must[rpc.SnapshotsReply](t)(other.ListSnapshots(ctx, rpc.ListSnapshotsRequest{ProjectID: "p1"}))
	ops := must[rpc.OperationsReply](t)(other.ListOperations(ctx, rpc.ListOperationsRequest{ProjectID: "p1"}))
	if len(volumes.Volumes)+len(snapshots.Snapshots)+len(ops.Operations) > 0 {
		t.Errorf("another project lists %v %v %v", volumes, snapshots, ops)
	}
	operator := s.as("")
	if got := must[rpc.VolumeReply](t)(operator.GetVolume(ctx, rpc.VolumeIDRequest{VolumeID: v.ID})); got.Volume.ID != v.ID {
		t.Error("an operator does not see it")
	}
	s.audit()
}

// The same request is the same operation, however often and whenever it comes.
func TestRequestIDs(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	o := wait()
	o.RequestID = "r1"
	create := func(c *rpc.Client, size int64) (rpc.VolumeReply, error) {
		return c.CreateVolume(t.Context(), s.host, rpc.CreateVolumeRequest{Size: size}, o)
	}
	first := must[rpc.VolumeReply](t)(create(s.Client, 1))
	again := must[rpc.VolumeReply](t)(create(s.Client, 1))
	if diff := cmp.Diff(first, again); diff != "" {
		t.Error(diff)
	}
	_, err := create(s.Client, 2)
	if f := wantKind(t, err, fault.Conflict, "request_id"); !slices.Contains(f.BlockedBy, "operation "+first.Operation.ID) {
		t.Errorf("%+v", f)
	}
	if other := must[rpc.VolumeReply](t)(create(s.as("p2"), 2)); other.Volume.ID == first.Volume.ID {
		t.Error("two projects share a request id")
	}
	o.RequestID = "r2"
	remove := func() rpc.VolumeReply {
		return must[rpc.VolumeReply](t)(s.DeleteVolume(t.Context(), s.host, rpc.DeleteVolumeRequest{VolumeID: first.Volume.ID}, o))
	}
	gone := remove()
	if again := remove(); again.Operation.ID != gone.Operation.ID || again.Volume.Status != volume.Deleted {
		t.Errorf("%+v", again)
	}
	s.audit()
}

func TestListsArePaged(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	var want []string
	for range 5 {
		want = append(want, s.create(rpc.CreateVolumeRequest{Size: 1}).ID)
	}
	slices.Reverse(want) // newest first
	var got []string
	r := rpc.ListVolumesRequest{Page: rpc.Page{Limit: 2}}
	for pages := 1; ; pages++ {
		page := must[rpc.VolumesReply](t)(s.ListVolumes(t.Context(), r))
		for _, v := range page.Volumes {
			got = append(got, v.ID)
		}
		if r.Marker = page.Next; r.Marker == "" {
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	_, err := s.ListVolumes(t.Context(), rpc.ListVolumesRequest{Page: rpc.Page{Limit: -1}})
	_ = wantKind(t, err, fault.Invalid, "limit")
	_, err = s.ListOperations(t.Context(), rpc.ListOperationsRequest{Page: rpc.Page{Marker: "x"}})
	_ = wantKind(t, err, fault.Invalid, "marker")
	services := must[rpc.ServicesReply](t)(s.ListServices(t.Context(), rpc.ListServicesRequest{}))
	if len(services.Services) != 1 || services.Services[0].State != volume.Up || services.Services[0].Phase != volume.Ready {
		t.Errorf("%+v", services)
	}
}
