package audit_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/volumed/volumed/audit"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// plan returns the steps of the plan for the world, in their order.
func (w *world) plan(t *testing.T) []*volume.Repair {
	t.Helper()
	findings := audit.Compare(w.Tables, w.images)
	audit.Plan(findings, w.Tables, w.images, noon)
	var steps []*volume.Repair
	for _, f := range findings {
		if f.Repair != nil {
			steps = append(steps, f.Repair)
		}
	}
	slices.SortFunc(steps, func(a, b *volume.Repair) int { return a.Step - b.Step })
	for i, r := range steps {
		if r.Step != i+1 || r.Reason == "" || r.VolumeID == "" {
			t.Errorf("step %d: %+v", i+1, r)
		}
	}
	return steps
}

// do does a step to the world.
func (w *world) do(r *volume.Repair) {
	at := slices.IndexFunc(w.images, func(img volume.Image) bool { return img.ID == r.Image.ImageID })
	switch img := &w.images[at]; r.Action {
	case volume.RenameImage:
		img.Name = r.To
	case volume.GrowImage:
		img.Size = r.Size * gib
	case volume.RemoveSnapshot:
		img.Snapshots = slices.DeleteFunc(img.Snapshots, func(s volume.ImageSnapshot) bool { return s.ID == r.Snapshot.ID })
	case volume.RemoveSetting:
		delete(img.Metadata, r.Key)
	case volume.RemoveLock:
		img.Locks = nil
	case volume.RemoveImage:
		img.Trashed = true
	case volume.PurgeImage:
		w.images = slices.Delete(w.images, at, at+1)
	}
}

// Each step of one image is planned for what the steps before it leave, and no step
// but the first holds before.
func TestStepsOfOneImage(t *testing.T) {
	w := newWorld()
	w.images[0].Name, w.images[0].Size = "lost", gib
	w.images[0].Metadata = map[string]string{"conf_a": "1", "conf_b": "2"}
	w.snapshot("volumed-clone-"+s1, false)
	w.snapshot("volumed-clone-"+s2, true)
	w.images[0].Snapshots = slices.Delete(w.images[0].Snapshots, 0, 1) // and one is missing
	steps := w.plan(t)
	var actions []volume.RepairAction
	for i, r := range steps {
		actions = append(actions, r.Action)
		if err := audit.Holds(r, w.look(r), changed); (err == nil) != (i == 0) {
			t.Errorf("step %d before the plan begins: %v", r.Step, err)
		}
	}
	want := []volume.RepairAction{
		volume.RenameImage, volume.GrowImage, volume.RemoveSnapshot, volume.RemoveSnapshot,
		volume.RemoveSetting, volume.RemoveSetting, volume.SetStatus,
	}
	if diff := cmp.Diff(want, actions); diff != "" {
		t.Fatal(diff)
	}
	for _, r := range steps {
		if err := audit.Holds(r, w.look(r), changed); err != nil {
			t.Errorf("step %d when it is due: %v", r.Step, err)
		}
		backend := r.Action != volume.SetStatus
		if audit.Done(r, w.look(r)) {
			t.Errorf("step %d is done before it is", r.Step)
		}
		w.do(r)
		if backend && !audit.Done(r, w.look(r)) {
			t.Errorf("step %d is not done when it is", r.Step)
		}
	}
	w.Snapshots[0].Status = volume.Error
	if left := audit.Compare(w.Tables, w.images); len(left) != 0 {
		t.Errorf("the plan leaves %+v", left)
	}
}

// A volume that is stuck in what leaves it as it was goes back to that: one that a host has
// is not made available to another.
func TestStuckGoesBack(t *testing.T) {
	for _, stuck := range []volume.Status{volume.Uploading, volume.Retyping, volume.Maintenance} {
		for _, before := range []volume.Status{volume.Available, volume.InUse} {
			w := newWorld()
			w.Volumes[1].Status, w.Volumes[1].PreviousStatus = stuck, before
			steps := w.plan(t)
			if len(steps) != 1 || steps[0].Action != volume.SetStatus || steps[0].To != string(before) {
				t.Errorf("%s, %s before: %+v", stuck, before, steps)
			}
		}
	}
}

func TestOvertaken(t *testing.T) {
	lock := volume.ImageLock{Client: "client.1", Addr: "10.0.0.9:0/9"}
	plans := map[volume.RepairAction]func(w *world){
		volume.SetStatus:      func(w *world) { w.remove("i2") },
		volume.RenameImage:    func(w *world) { w.images[1].Name = "other" },
		volume.SetSize:        func(w *world) { w.images[1].Size = 5 * gib },
		volume.RemoveSnapshot: func(w *world) { w.snapshot("volumed-clone-"+s2, false) },
		volume.RemoveSetting:  func(w *world) { w.images[1].Metadata = map[string]string{"conf_a": "1"} },
		volume.RemoveLock:     func(w *world) { w.images[1].Locks = []volume.ImageLock{lock} },
		volume.PurgeImage:     func(w *world) { w.Operations = nil },
		volume.RemoveImage:    func(w *world) { w.Operations, w.images[2].Trashed = nil, false },
	}
	tests := map[string]struct {
		plan   volume.RepairAction
		change func(w *world)
		row    time.Time // changed unless given
		why    string
	}{
		"row changed":         {plan: volume.SetSize, row: noon, why: "row has been changed"},
		"image is back":       {plan: volume.SetStatus, change: func(w *world) { w.images = append(w.images, volume.Image{ID: "i2"}) }, why: "there is an image now"},
		"name is taken again": {plan: volume.SetStatus, change: func(w *world) { w.images = append(w.images, volume.Image{ID: "x", Name: "volume-" + v2}) }, why: "there is an image now"},
		"image is gone":       {plan: volume.RenameImage, change: func(w *world) { w.remove("i2") }, why: "image is gone"},
		"renamed again":       {plan: volume.RenameImage, change: func(w *world) { w.images[1].Name = "third" }, why: "named third now"},
		"name was taken":      {plan: volume.RenameImage, change: func(w *world) { w.images = append(w.images, volume.Image{ID: "x", Name: "volume-" + v2}) }, why: "another image has the name"},
		"resized":             {plan: volume.SetSize, change: func(w *world) { w.images[1].Size++ }, why: "another size"},
		"another snapshot":    {plan: volume.RemoveSnapshot, change: func(w *world) { w.snapshot("new", false) }, why: "other snapshots"},
		"snapshot is gone":    {plan: volume.RemoveSnapshot, change: func(w *world) { w.images[0].Snapshots = nil }, why: "other snapshots"},
		"snapshot made again": {plan: volume.RemoveSnapshot, change: func(w *world) { w.images[0].Snapshots[1].ID = 99 }, why: "other snapshots"},
		"setting is gone":     {plan: volume.RemoveSetting, change: func(w *world) { w.images[1].Metadata = nil }, why: "setting is gone"},
		"lock is gone":        {plan: volume.RemoveLock, change: func(w *world) { w.images[1].Locks = nil }, why: "lock is gone"},
		"owner is back":       {plan: volume.RemoveLock, change: func(w *world) { w.images[1].Watchers = []string{lock.Addr} }, why: "has the image open"},
		"restored":            {plan: volume.PurgeImage, change: func(w *world) { w.images[2].Trashed = false }, why: "in the pool now"},
		"trashed":             {plan: volume.RemoveImage, change: func(w *world) { w.images[2].Trashed = true }, why: "in the trash now"},
		"purged":              {plan: volume.PurgeImage, change: func(w *world) { w.remove("i3") }, why: "image is gone"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			plans[tc.plan](w)
			steps := w.plan(t)
			if len(steps) != 1 || steps[0].Action != tc.plan {
				t.Fatalf("plan %+v, want one %s", steps, tc.plan)
			}
			row := changed
			if !tc.row.IsZero() {
				row = tc.row
			}
			if tc.change != nil {
				tc.change(w)
			}
			err := audit.Holds(steps[0], w.look(steps[0]), row)
			if fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "step 1") || !strings.Contains(err.Error(), tc.why) {
				t.Errorf("%v, want a conflict of step 1: %s", err, tc.why)
			}
		})
	}
}

// What was listed too early or too late to count is gone at the second look.
func TestSecondLook(t *testing.T) {
	w := newWorld()
	w.images[1].Size = 9 * gib // stays
	early := slices.Clone(w.images)
	early = slices.DeleteFunc(early, func(img volume.Image) bool { return img.ID == "i1" }) // not listed yet
	early = append(early, volume.Image{ID: "x", Name: "volume-" + s2})                      // removed since
	first := audit.Compare(w.Tables, early)
	refs := audit.Suspects(first, w.Tables)
	var found []volume.Image
	for _, ref := range refs {
		for _, img := range w.images {
			if img.ID == ref.ImageID || img.Name == ref.Name {
				found = append(found, img)
			}
		}
	}
	images := audit.Refresh(early, refs, found)
	if len(images) != len(w.images) {
		t.Errorf("%d images after the second look, want %d", len(images), len(w.images))
	}
	confirmed := audit.Confirm(first, audit.Compare(w.Tables, images))
	if len(confirmed) != 1 || confirmed[0].Kind != volume.SizeDiffers || confirmed[0].Number != 1 {
		t.Errorf("confirmed %+v", confirmed)
	}
	if len(first) < 3 {
		t.Errorf("the first look found %+v", first)
	}
	w.images[0].Size = 9 * gib // only the second look has it
	if again := audit.Confirm(first, audit.Compare(w.Tables, w.images)); len(again) != 1 {
		t.Errorf("confirmed %+v", again)
	}
	var a volume.Audit
	audit.Plan(confirmed, w.Tables, images, noon)
	audit.Summarize(&a, confirmed)
	if a.Drift != 1 || a.Repairs != 1 || a.Notes != 0 || a.Bytes != 0 {
		t.Errorf("summary %+v", a)
	}
}

func TestUnknown(t *testing.T) {
	w := newWorld()
	const past, image, snapshot, dest = "44444444-0000-4000-8000-000000000001", "44444444-0000-4000-8000-000000000002", "44444444-0000-4000-8000-000000000003", "44444444-0000-4000-8000-000000000004"
	w.Volumes[1].SourceVolID = past
	w.images = append(w.images, volume.Image{Name: "volume-" + image}, volume.Image{Name: "volume-" + image + ".deleted"}, volume.Image{Name: "volume-x"})
	w.snapshot("snapshot-"+snapshot, false)
	w.snapshot("volume-"+dest+".clone_snap", false)
	volumes, snapshots := audit.Unknown(w.Tables, w.images)
	slices.Sort(volumes)
	if diff := cmp.Diff([]string{past, image, dest}, volumes); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{snapshot}, snapshots); diff != "" {
		t.Error(diff)
	}
}
