package storetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/store"
	"github.com/volumed/volumed/volume"
)

func newAudit(host string) volume.Audit {
	return volume.Audit{
		ID: uuid.NewString(), Backend: host, OperationID: uuid.NewString(), Deep: true, Images: 1, Volumes: 2, Snapshots: 3,
		Drift: 4, Notes: 5, Repairs: 6, Bytes: 1 << 40,
	}
}

// newFindings returns n findings, of which every second has a step, in reverse order.
func newFindings(n int) []volume.Finding {
	findings := make([]volume.Finding, n)
	for i := range findings {
		findings[i] = volume.Finding{Number: i + 1, Kind: volume.ForeignImage, Message: fmt.Sprint("finding ", i)}
		if i%2 == 0 {
			findings[i].Kind = volume.StraySnapshot
			findings[i].Repair = &volume.Repair{
				Step: n - i, Action: volume.RemoveSnapshot, VolumeID: "v", Image: volume.Ref{Name: "a", ImageID: "b"},
				Snapshot: &volume.ImageSnapshot{ID: 7, Name: "s"}, Bytes: 9, Reason: "r",
				Before: volume.Precondition{Place: volume.InPool, Size: 5, Snapshots: "h", RowUpdatedAt: later},
			}
		}
	}
	return findings
}

func save(t *testing.T, db *store.DB, fence operation.Fence, a *volume.Audit, findings []volume.Finding) {
	t.Helper()
	if err := db.SaveAudit(t.Context(), fence, a, findings); err != nil {
		t.Fatal(err)
	}
}

// An audit is saved whole, and as often as a process has to begin again.
func testAudits(t *testing.T, url string) {
	db := Open(t, url)
	fence := TakeOver(t, db, "node@rbd0")
	a := newAudit(fence.Host)
	save(t, db, fence, &a, newFindings(333))
	a.Drift = 44
	save(t, db, fence, &a, newFindings(3))
	checkWhole(t, a, "RepairID")
	if a.CreatedAt.IsZero() || a.FinishedAt.Before(a.CreatedAt) {
		t.Errorf("from %v to %v", a.CreatedAt, a.FinishedAt)
	}
	got, err := db.Audit(t.Context(), a.ID)
	if diff := cmp.Diff(a, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	findings, next, err := db.Findings(t.Context(), volume.FindingFilter{AuditID: a.ID})
	if diff := cmp.Diff(newFindings(3), findings); err != nil || diff != "" || next != "" {
		t.Error(err, next, diff)
	}
	_, err = db.Audit(t.Context(), uuid.NewString())
	wantKind(t, err, fault.NotFound)

	TakeOver(t, db, fence.Host)
	if err := db.SaveAudit(t.Context(), fence, &a, nil); fault.KindOf(err) != fault.Conflict {
		t.Errorf("save by a predecessor: %v", err)
	}
	if again, err := db.Audit(t.Context(), a.ID); err != nil || again.Drift != 44 {
		t.Errorf("after it %+v, %v", again, err)
	}
}

func testAuditPages(t *testing.T, url string) {
	db := Open(t, url)
	ctx := t.Context()
	fence := TakeOver(t, db, "node@rbd0")
	other := TakeOver(t, db, "node@rbd1")
	for i := range 12 {
		a := newAudit(fence.Host)
		save(t, db, fence, &a, nil)
		if i%3 == 0 {
			b := newAudit(other.Host)
			save(t, db, other, &b, newFindings(1))
		}
	}
	audits := func(f volume.AuditFilter) []string {
		return follow(t, 5, func(a volume.Audit) string { return a.ID }, func(p volume.Page) ([]volume.Audit, string, error) {
			f.Page = p
			return db.Audits(ctx, f)
		})
	}
	checkPages(t, "audits", audits(volume.AuditFilter{}), 16)
	checkPages(t, "audits of a backend", audits(volume.AuditFilter{Backend: other.Host}), 4)

	a := newAudit(fence.Host)
	save(t, db, fence, &a, newFindings(50))
	for what, tc := range map[string]struct {
		filter volume.FindingFilter
		want   int
	}{
		"all":     {volume.FindingFilter{}, 50},
		"a kind":  {volume.FindingFilter{Kind: volume.ForeignImage}, 25},
		"repairs": {volume.FindingFilter{Repairs: true}, 25},
		"none":    {volume.FindingFilter{Kind: volume.ForeignImage, Repairs: true}, 0},
	} {
		var steps []int
		numbers := follow(t, 7, func(f volume.Finding) string {
			if f.Repair != nil {
				steps = append(steps, f.Repair.Step)
			}
			return fmt.Sprint(f.Number)
		}, func(p volume.Page) ([]volume.Finding, string, error) {
			tc.filter.Page, tc.filter.AuditID = p, a.ID
			return db.Findings(ctx, tc.filter)
		})
		checkPages(t, what, numbers, tc.want)
		if tc.filter.Repairs && !slices.IsSorted(steps) {
			t.Errorf("the steps come as %v", steps)
		}
	}
	_, _, err := db.Findings(ctx, volume.FindingFilter{AuditID: a.ID, Page: volume.Page{Marker: "x"}})
	wantKind(t, err, fault.Invalid)
}

func testPlans(t *testing.T, url string) {
	db := Open(t, url)
	ctx := t.Context()
	fence := TakeOver(t, db, "node@rbd0")
	a := newAudit(fence.Host)
	save(t, db, fence, &a, newFindings(5))
	wantKind(t, db.TakePlan(ctx, fence, uuid.NewString(), "op1"), fault.NotFound)
	for range 2 {
		if err := db.TakePlan(ctx, fence, a.ID, "op1"); err != nil {
			t.Error(err)
		}
	}
	wantKind(t, db.TakePlan(ctx, fence, a.ID, "op2"), fault.Conflict)
	if got, err := db.Audit(ctx, a.ID); err != nil || got.RepairID != "op1" {
		t.Errorf("taken by %q, %v", got.RepairID, err)
	}
	for range 2 {
		if err := db.StepDone(ctx, fence, a.ID, 3); err != nil {
			t.Error(err)
		}
	}
	findings, _, err := db.Findings(ctx, volume.FindingFilter{AuditID: a.ID, Repairs: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		if f.Repair.Done != (f.Repair.Step == 3) {
			t.Errorf("step %d done: %v", f.Repair.Step, f.Repair.Done)
		}
	}
	TakeOver(t, db, fence.Host)
	wantKind(t, db.StepDone(ctx, fence, a.ID, 1), fault.Conflict)
	wantKind(t, db.TakePlan(ctx, fence, a.ID, "op1"), fault.Conflict)
}

func testPruneAudits(t *testing.T, url string) {
	db := Open(t, url)
	ctx := t.Context()
	fence := TakeOver(t, db, "node@rbd0")
	old, young := newAudit(fence.Host), newAudit(fence.Host)
	save(t, db, fence, &old, newFindings(2))
	save(t, db, fence, &young, newFindings(2))
	if _, err := db.Prune(ctx, young.CreatedAt); err != nil {
		t.Fatal(err)
	}
	_, err := db.Audit(ctx, old.ID)
	wantKind(t, err, fault.NotFound)
	for id, want := range map[string]int{old.ID: 0, young.ID: 2} {
		if left, _, err := db.Findings(ctx, volume.FindingFilter{AuditID: id}); err != nil || len(left) != want {
			t.Errorf("%d findings are left, want %d, %v", len(left), want, err)
		}
	}
}

func testHoldings(t *testing.T, url string) {
	db := Open(t, url)
	ctx := t.Context()
	fence, other := TakeOver(t, db, "node@rbd0"), TakeOver(t, db, "node@rbd00")
	row := func(f operation.Fence, status volume.Status, image string) volume.Volume {
		op := NewOperation(f)
		v := NewVolume(op.Resource.ID, f.Host)
		v.Status, v.ImageID = status, image
		s := volume.Snapshot{ID: "s-" + v.ID, VolumeID: v.ID, Status: volume.Available}
		gone := volume.Snapshot{ID: "d-" + v.ID, VolumeID: v.ID, Status: volume.Deleted}
		write(t, db, f, func(tx operation.Tx) error {
			if err := Accept(tx, &op, &v); err != nil {
				return err
			}
			if err := tx.InsertSnapshot(&gone); err != nil {
				return err
			}
			return tx.InsertSnapshot(&s)
		})
		return v
	}
	live, trashed, purged := row(fence, volume.Available, "i1"), row(fence, volume.Deleted, "i2"), row(fence, volume.Deleted, "")
	theirs := row(other, volume.Available, "i4")

	h, err := db.Holdings(ctx, fence.Host)
	if err != nil {
		t.Fatal(err)
	}
	if len(h.Volumes) != 1 || h.Volumes[0].ID != live.ID || len(h.Trashed) != 1 || h.Trashed[0].ID != trashed.ID {
		t.Errorf("volumes %+v, trashed %+v", h.Volumes, h.Trashed)
	}
	if len(h.Snapshots) != 1 || h.Snapshots[0].ID != "s-"+live.ID || len(h.Operations) != 3 {
		t.Errorf("snapshots %+v, %d operations", h.Snapshots, len(h.Operations))
	}
	many := make([]string, 1200)
	for i := range many {
		many[i] = fmt.Sprint("none-", i)
	}
	records, err := db.VolumeRecords(ctx, append(many, purged.ID, theirs.ID))
	if err != nil || len(records) != 2 {
		t.Errorf("%d records, %v", len(records), err)
	}
	snapshots, err := db.SnapshotRecords(ctx, []string{"d-" + purged.ID, "x"})
	if err != nil || len(snapshots) != 1 || snapshots[0].VolumeID != purged.ID {
		t.Errorf("snapshots %+v, %v", snapshots, err)
	}
	of, err := db.VolumesOfImages(ctx, append(many, "i1", "i2", "i4"))
	if err != nil || len(of) != 3 {
		t.Errorf("%d volumes of three images, %v", len(of), err)
	}
	if none, err := db.VolumeRecords(ctx, nil); err != nil || len(none) != 0 {
		t.Errorf("%v, %v", none, err)
	}
}
