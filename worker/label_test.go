package worker_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// labels returns a name and one entry of metadata.
func labels(name, key, value string) rpc.Labels {
	return rpc.Labels{Name: &name, Metadata: map[string]*string{key: &value}}
}

// What a request leaves out stays; a null removes a key; the same request again
// changes nothing any more.
func TestLabels(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	v := s.create(rpc.CreateVolumeRequest{Size: 1, Name: "one", Description: "first", Metadata: map[string]string{"a": "1", "b": "2"}})
	snap := s.snapshot(v)
	change := rpc.Labels{Metadata: map[string]*string{"a": nil, "c": ptr("3")}}
	once := rpc.CallOptions{RequestID: "once", Wait: patience}
	for range 2 {
		got := must[rpc.VolumeReply](t)(s.UpdateVolume(t.Context(), s.host, rpc.UpdateVolumeRequest{VolumeID: v.ID, Labels: change}, once)).Volume
		if diff := cmp.Diff(map[string]string{"b": "2", "c": "3"}, got.Metadata); diff != "" || got.Name != "one" || got.Description != "first" {
			t.Errorf("%+v %s", got, diff)
		}
	}
	must[rpc.VolumeReply](t)(s.UpdateVolume(t.Context(), s.host, rpc.UpdateVolumeRequest{VolumeID: v.ID, Labels: rpc.Labels{Description: ptr("")}}, wait()))
	must[rpc.VolumeReply](t)(s.UpdateVolume(t.Context(), s.host, rpc.UpdateVolumeRequest{VolumeID: v.ID, Labels: change}, once)) // long done
	if row := s.record(v.ID); row.Description != "" || row.Name != "one" || row.Status != volume.Available {
		t.Errorf("%+v", row)
	}
	for _, bootable := range []bool{true, false} {
		got := must[rpc.VolumeReply](t)(s.UpdateVolume(t.Context(), s.host, rpc.UpdateVolumeRequest{VolumeID: v.ID, Bootable: &bootable}, wait())).Volume
		if got.Bootable != bootable || got.Name != "one" || len(got.Metadata) != 2 {
			t.Errorf("bootable %v: %+v", bootable, got)
		}
	}
	reply := must[rpc.SnapshotReply](t)(s.UpdateSnapshot(t.Context(), s.host, rpc.UpdateSnapshotRequest{SnapshotID: snap.ID, Labels: labels("s", "k", "v")}, wait()))
	if reply.Snapshot.Name != "s" || reply.Snapshot.Metadata["k"] != "v" || reply.Snapshot.Status != volume.Available {
		t.Errorf("%+v", reply.Snapshot)
	}
	s.audit()
}

func TestLabelsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	many := map[string]*string{}
	for n := range 100 {
		many[fmt.Sprint("first-", n)] = ptr("")
	}
	must[rpc.VolumeReply](t)(s.UpdateVolume(t.Context(), s.host, rpc.UpdateVolumeRequest{VolumeID: v.ID, Labels: rpc.Labels{Metadata: many}}, wait()))
	more := map[string]*string{}
	for n := range 100 {
		more[fmt.Sprint("second-", n)] = ptr("")
	}
	before := s.record(v.ID)
	for name, tc := range map[string]struct {
		labels rpc.Labels
		field  string
	}{
		"nothing":   {rpc.Labels{}, "name"},
		"escape":    {rpc.Labels{Name: ptr("\x1b[2J")}, "name"},
		"newline":   {rpc.Labels{Description: ptr("a\nb")}, "description"},
		"key":       {rpc.Labels{Metadata: map[string]*string{"a\tb": ptr("c")}}, "metadata"},
		"value":     {rpc.Labels{Metadata: map[string]*string{"a": ptr("\u0085")}}, "metadata"},
		"empty_key": {rpc.Labels{Metadata: map[string]*string{"": ptr("c")}}, "metadata"},
		"too_many":  {rpc.Labels{Metadata: more}, "metadata"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.UpdateVolume(t.Context(), s.host, rpc.UpdateVolumeRequest{VolumeID: v.ID, Labels: tc.labels}, wait())
			_ = wantKind(t, err, fault.Invalid, tc.field)
		})
	}
	_, err := s.as("p2").UpdateVolume(t.Context(), s.host, rpc.UpdateVolumeRequest{VolumeID: v.ID, Labels: labels("mine", "k", "v")}, wait())
	_ = wantKind(t, err, fault.NotFound, "volume_id")
	if diff := cmp.Diff(before, s.record(v.ID)); diff != "" {
		t.Error(diff)
	}
	s.remove(v)
	_, err = s.UpdateVolume(t.Context(), s.host, rpc.UpdateVolumeRequest{VolumeID: v.ID, Labels: labels("late", "k", "v")}, wait())
	_ = wantKind(t, err, fault.NotFound, "volume_id")
}

func ptr[T any](v T) *T { return &v }
