package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// Images of a pool: a parent that was deleted, its clone, and one of others.
const (
	idParent = "dddddddd-0000-4000-8000-000000000001"
	idClone  = "dddddddd-0000-4000-8000-000000000002"
	idShot   = "dddddddd-0000-4000-8000-000000000003"
)

func image(name, id string, keep string) rpc.ManageableVolume {
	return rpc.ManageableVolume{
		Reference: rpc.Reference{SourceName: name, SourceID: id}, Size: 1, SafeToManage: true, KeepID: keep,
	}
}

// pool is what the fake has to be managed.
func pool() []rpc.ManageableVolume {
	clone := image("volume-"+idClone, "i2", idClone)
	clone.ExtraInfo.Parent, clone.ExtraInfo.ParentName = &volume.ImageParent{ImageID: "i3"}, "volume-"+idParent+".deleted"
	parent := image("volume-"+idParent+".deleted", "i3", idParent)
	parent.SafeToManage, parent.AsDeleted, parent.ReasonNotSafe = false, true, "volume marked as deleted"
	open := image("open\x1b", "i4", "")
	open.SafeToManage, open.ReasonNotSafe = false, "volume in use"
	ours := image("volume-"+idA, "i1", "")
	ours.SafeToManage, ours.CinderID, ours.ReasonNotSafe = false, idA, "already managed"
	return []rpc.ManageableVolume{ours, clone, parent, open, image("theirs", "i5", "")}
}

func (f *fake) registerManage() {
	rpc.Handle(f.srv, rpc.Service, rpc.MethodGetManageableVolumes, func(_ context.Context, r rpc.ManageableVolumesRequest) (rpc.ManageableVolumesReply, error) {
		if r.Marker == "" {
			return rpc.ManageableVolumesReply{ManageableVolumes: pool()[:2], Next: "2"}, nil
		}
		return rpc.ManageableVolumesReply{ManageableVolumes: pool()[2:]}, nil
	})
	rpc.Handle(f.srv, rpc.Service, rpc.MethodGetManageableSnapshots, func(context.Context, rpc.ManageableSnapshotsRequest) (rpc.ManageableSnapshotsReply, error) {
		of := rpc.Reference{SourceName: "volume-" + idClone, SourceID: "i2"}
		return rpc.ManageableSnapshotsReply{ManageableSnapshots: []rpc.ManageableSnapshot{
			{Reference: rpc.Reference{SourceName: "snapshot-" + idShot, SourceID: "7"}, SourceReference: of, KeepID: idShot, Size: 1},
			{Reference: rpc.Reference{SourceName: "volume-x.clone_snap"}, SourceReference: of, ReasonNotSafe: "used for clone snap"},
		}}, nil
	})
	rpc.Handle(f.srv, rpc.Service, rpc.MethodManageExisting, func(_ context.Context, r rpc.ManageExistingRequest) (rpc.VolumeReply, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.managed = append(f.managed, r)
		if r.SourceName == "open" {
			return rpc.VolumeReply{}, fault.New(fault.Busy, "volume in use").WithBlockers("10.0.0.1:0/7")
		}
		return rpc.VolumeReply{Volume: volume.Volume{ID: or(r.VolumeID, idB), Name: r.Name, Status: volume.Available, ProjectID: r.ProjectID}}, nil
	})
	rpc.Handle(f.srv, rpc.Service, rpc.MethodManageExistingSnapshot, func(_ context.Context, r rpc.ManageExistingSnapshotRequest) (rpc.SnapshotReply, error) {
		if r.SourceName == "snapshot-"+idShot && r.VolumeID == idClone {
			return rpc.SnapshotReply{}, fault.New(fault.NotFound, "there is no such snapshot")
		}
		return rpc.SnapshotReply{Snapshot: volume.Snapshot{ID: or(r.SnapshotID, idS), VolumeID: r.VolumeID, Name: r.Name, Status: volume.Available}}, nil
	})
}

func TestManageVerbs(t *testing.T) {
	f := newFake(t)
	for name, tc := range map[string]struct {
		args           string
		code           int
		stdout, stderr string
	}{
		"manage":            {"volume manage theirs --backend rbd0 --name n --owner p9", 0, "available", ""},
		"keep id":           {"volume manage volume-" + idClone + " --backend rbd0 --keep-id", 0, idClone, ""},
		"no id to keep":     {"volume manage theirs --backend rbd0 --keep-id", 1, "", "does not hold one id"},
		"refused":           {"volume manage open --backend rbd0", 1, "", "blocked by: 10.0.0.1:0/7"},
		"neither":           {"volume manage --backend rbd0", 2, "", "name one image, or give --all"},
		"both":              {"volume manage x --all --backend rbd0", 2, "", "name one image, or give --all"},
		"plan of one":       {"volume manage x --plan --backend rbd0", 2, "", "--plan goes with --all"},
		"no backend":        {"volume manage x", 2, "", "backend"},
		"manageable":        {"volume manageable --backend rbd0", 0, `open\x1b`, ""},
		"manageable, sort":  {"volume manageable --backend rbd0 --sort-key size --sort-dir desc", 0, "volume in use", ""},
		"bad sort":          {"volume manageable --backend rbd0 --sort-key x", 2, "", "must be reference or size"},
		"unmanage":          {"volume unmanage first", 0, "deleted", ""},
		"snapshots":         {"snapshot manageable --volume first", 0, "used for clone snap", ""},
		"snapshot":          {"snapshot manage by-hand --volume first", 0, idS, ""},
		"snapshot, keep id": {"snapshot manage snapshot-" + idShot + " --volume first --keep-id", 0, idShot, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := f.volumectl(t, strings.Fields(tc.args)...)
			if r.code != tc.code || !strings.Contains(r.stdout, tc.stdout) || !strings.Contains(r.stderr, tc.stderr) {
				t.Errorf("want exit %d, %q and %q: %s", tc.code, tc.stdout, tc.stderr, r)
			}
		})
	}
}

// Parents come before their clones, volumes before their snapshots; what cannot be
// managed is told, and what fails keeps nothing else from being done.
func TestManageAll(t *testing.T) {
	f := newFake(t)
	steps := func(r result) (got []manageStep) {
		t.Helper()
		var doc struct{ Steps []manageStep }
		if err := json.Unmarshal([]byte(r.stdout), &doc); err != nil {
			t.Fatal(err, r)
		}
		return doc.Steps
	}
	want := []manageStep{
		{Action: actSkip, SourceName: "open\x1b", Reason: "volume in use"},
		{Action: actSkip, SourceName: "theirs", Reason: "its name holds no id; manage it by its name"},
		{Action: actDeleted, SourceName: "volume-" + idParent + ".deleted", VolumeID: idParent},
		{Action: actVolume, SourceName: "volume-" + idClone, VolumeID: idClone},
		{Action: actSnapshot, SourceName: "volume-" + idClone + "@snapshot-" + idShot, VolumeID: idClone, SnapshotID: idShot},
	}
	exported := cmp.FilterPath(func(p cmp.Path) bool {
		field, ok := p.Last().(cmp.StructField)
		return ok && field.Name() == strings.ToLower(field.Name())
	}, cmp.Ignore())
	r := f.volumectl(t, "volume", "manage", "--all", "--plan", "--backend", "rbd0", "-o", "json")
	if diff := cmp.Diff(want, steps(r), exported); diff != "" || r.code != 0 || len(f.managed) != 0 {
		t.Errorf("the plan (-want +got):\n%s%s", diff, r)
	}
	for i := range want {
		want[i].Done = want[i].Action == actDeleted || want[i].Action == actVolume
	}
	want[4].Error = "there is no such snapshot"
	r = f.volumectl(t, "volume", "manage", "--all", "--owner", "p9", "--bootable", "--type", "gold", "--backend", "rbd0", "-o", "json")
	if diff := cmp.Diff(want, steps(r), exported); diff != "" || r.code != 1 || !strings.Contains(r.stderr, "some could not be managed: 1 of 3") {
		t.Errorf("what was done (-want +got):\n%s%s", diff, r)
	}
	sent := []rpc.ManageExistingRequest{
		{SourceName: "volume-" + idParent + ".deleted", SourceID: "i3", ProjectID: "p9", Bootable: true, AsDeleted: true},
		{SourceName: "volume-" + idClone, SourceID: "i2", VolumeID: idClone, ProjectID: "p9", VolumeType: "gold", Bootable: true},
	}
	if diff := cmp.Diff(sent, f.managed); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	for _, tc := range []struct {
		args []string
		hint string
	}{{nil, "the same command tries"}, {[]string{"--request-id", "r1"}, "the same command without --request-id tries"}} {
		args := append([]string{"volume", "manage", "--all", "--backend", "rbd0"}, tc.args...)
		if r := f.volumectl(t, args...); !strings.Contains(r.stderr, tc.hint) {
			t.Errorf("%v: no hint %q in %s", tc.args, tc.hint, r)
		}
	}
}
