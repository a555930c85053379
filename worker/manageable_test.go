package worker_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// Pages follow each other in every order, and every image is told once.
func TestManageableOrder(t *testing.T) {
	s := newSite(t)
	s.startAuditor()
	var names []string
	for n := range 23 {
		name := fmt.Sprintf("image-%02d", n)
		s.world.Add(name, int64(1+n*7%5))
		s.did(s.world.AddSnapshot(name, "a", false))
		s.did(s.world.AddSnapshot(name, "b", false))
		names = append(names, name)
	}
	s.world.Add("\xff odd", 1)
	names = append(names, "\ufffd odd") // as JSON tells it
	for _, key := range []string{"", rpc.SortByReference, rpc.SortBySize} {
		for _, dir := range []string{"", rpc.Ascending, rpc.Descending} {
			var got []string
			sizes := []int64{}
			req := rpc.ManageableVolumesRequest{Page: rpc.Page{Limit: 5}, SortKey: key, SortDir: dir}
			for m, err := range s.operator().ManageableVolumes(t.Context(), s.host, req, rpc.CallOptions{}) {
				s.did(err)
				got, sizes = append(got, m.Reference.SourceName), append(sizes, m.Size)
			}
			if dir == rpc.Descending {
				slices.Reverse(got)
				slices.Reverse(sizes)
			}
			if key == rpc.SortBySize {
				if !slices.IsSorted(sizes) {
					t.Errorf("%s %s: %v", key, dir, sizes)
				}
				slices.Sort(got)
			}
			if diff := cmp.Diff(names, got); diff != "" {
				t.Errorf("%s %s (-want +got):\n%s", key, dir, diff)
			}
			count := 0
			last := ""
			snaps := rpc.ManageableSnapshotsRequest{Page: rpc.Page{Limit: 5}, SortKey: key, SortDir: dir}
			for m, err := range s.operator().ManageableSnapshots(t.Context(), s.host, snaps, rpc.CallOptions{}) {
				s.did(err)
				at := m.SourceReference.SourceName + "@" + m.Reference.SourceName
				if count++; key != rpc.SortBySize && dir != rpc.Descending && at <= last {
					t.Errorf("%s after %s", at, last)
				}
				last = at
			}
			if count != 46 {
				t.Errorf("%s %s: %d snapshots", key, dir, count)
			}
		}
	}
	for field, req := range map[string]rpc.ManageableVolumesRequest{
		"sort_key": {SortKey: "x"}, "sort_dir": {SortDir: "x"}, "limit": {Page: rpc.Page{Limit: 1001}}, "marker": {Page: rpc.Page{Marker: "x"}},
	} {
		_, err := s.operator().GetManageableVolumes(t.Context(), s.host, req, rpc.CallOptions{})
		_ = wantKind(t, err, fault.Invalid, field)
	}
	_, err := s.GetManageableVolumes(t.Context(), s.host, rpc.ManageableVolumesRequest{}, rpc.CallOptions{})
	_ = wantKind(t, err, fault.Invalid, "project")
}

// Each image and snapshot says why it is not safe to manage.
func TestManageableReasons(t *testing.T) {
	s := newSite(t)
	s.startAuditor()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	root, middle, leaf := s.cinderPool()
	s.world.Add("open", 1)
	release := must[func()](t)(s.world.Watch("open", "10.0.0.9:0/1"))
	defer release()
	s.world.Add("member", 1)
	s.did(s.world.SetGroup("member", "g"))
	s.did(s.world.AddSnapshot(image(v), "by-hand", false))
	snap := s.snapshot(v)

	want := map[string]rpc.ManageableVolume{
		image(v):         {CinderID: v.ID, ReasonNotSafe: "already managed", Size: 1},
		"volume-" + root: {KeepID: root, SafeToManage: true, Size: 2},
		silent(middle):   {KeepID: middle, AsDeleted: true, ReasonNotSafe: "volume marked as deleted", Size: 2},
		"volume-" + leaf: {KeepID: leaf, SafeToManage: true, Size: 2},
		"open":           {ReasonNotSafe: "volume in use", Size: 1},
		"member":         {ReasonNotSafe: "member of a group", Size: 1},
	}
	got := map[string]rpc.ManageableVolume{}
	for m, err := range s.operator().ManageableVolumes(t.Context(), s.host, rpc.ManageableVolumesRequest{}, rpc.CallOptions{}) {
		s.did(err)
		got[m.Reference.SourceName] = m
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(rpc.ManageableVolume{}, "Reference", "ExtraInfo")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	detail := got["volume-"+leaf].ExtraInfo
	if detail.ParentName != silent(middle) || detail.Parent == nil || detail.Bytes != 2*volume.GiB || got["open"].ExtraInfo.Watchers == nil || got[silent(middle)].ExtraInfo.Snapshots != 1 {
		t.Errorf("details: %+v", got)
	}
	snapshots := map[string]string{}
	for m, err := range s.operator().ManageableSnapshots(t.Context(), s.host, rpc.ManageableSnapshotsRequest{}, rpc.CallOptions{}) {
		s.did(err)
		snapshots[m.SourceReference.SourceName+"@"+m.Reference.SourceName] = fmt.Sprintf("%v %s", m.SafeToManage, m.ReasonNotSafe)
	}
	wanted := map[string]string{
		image(v) + "@by-hand":                               "true ",
		image(v) + "@snapshot-" + snap.ID:                   "false already managed",
		"volume-" + root + "@" + cloneSnap(middle):          "false used for clone snap",
		"volume-" + root + "@snapshot-" + idFor("snapshot"): "false its volume is not managed",
		silent(middle) + "@" + cloneSnap(leaf):              "false used for clone snap",
	}
	if diff := cmp.Diff(wanted, snapshots); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	one := must[rpc.ManageableSnapshotsReply](t)(s.operator().GetManageableSnapshots(t.Context(), s.host, rpc.ManageableSnapshotsRequest{VolumeID: v.ID}, rpc.CallOptions{}))
	if len(one.ManageableSnapshots) != 2 {
		t.Errorf("of one volume: %+v", one)
	}
}
