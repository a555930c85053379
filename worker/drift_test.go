package worker_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/store/storetest"
	"github.com/volumed/volumed/volume"
)

// startAuditor runs a worker whose driver tells what the storage holds.
func (s *site) startAuditor() *process {
	s.Helper()
	return s.bare().start()
}

// bare is prepare for a worker whose driver shows all that it can do.
func (s *site) bare() *process {
	p := s.prepare()
	p.deps.OpenDriver = func(context.Context) (driver.Driver, error) { return p.faulty, nil }
	return p
}

// operator returns a client without a project.
func (s *site) operator() *rpc.Client { return s.as("") }

// report is an audit with all it has found.
type report struct {
	volume.Audit
	findings []volume.Finding
}

// inspect audits the backend.
func (s *site) inspect(deep bool) report {
	s.Helper()
	r := must[rpc.AuditReply](s)(s.operator().AuditBackend(s.Context(), s.host, rpc.AuditBackendRequest{Deep: deep}, wait()))
	if r.Audit == nil || r.Operation.Status != volume.Succeeded || r.Operation.Progress != 100 {
		s.Fatalf("audit %+v, operation %+v", r.Audit, r.Operation)
	}
	return report{*r.Audit, s.findings(rpc.GetAuditRequest{AuditID: r.Audit.ID})}
}

func (s *site) findings(r rpc.GetAuditRequest) []volume.Finding {
	s.Helper()
	var all []volume.Finding
	for f, err := range s.operator().Findings(s.Context(), r) {
		if err != nil {
			s.Fatal(err)
		}
		all = append(all, f)
	}
	return all
}

// kinds are the kinds of what was found and is drift, sorted.
func (r report) kinds() []string {
	var all []string
	for _, f := range r.findings {
		if !f.Note {
			all = append(all, string(f.Kind))
		}
	}
	slices.Sort(all)
	return all
}

// apply carries the plan of an audit out.
func (s *site) apply(auditID string) (rpc.AuditReply, error) {
	return s.operator().ApplyRepairs(s.Context(), s.host, rpc.ApplyRepairsRequest{AuditID: auditID}, wait())
}

func (s *site) did(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// drifts makes one of every kind of drift that shows without opening an image, on
// volumes of its own, and returns the kinds, sorted, and those that stay after a repair.
func (s *site) drifts() (kinds, stay []string) {
	s.Helper()
	w := s.world
	made := func(size int64) (volume.Volume, string) {
		v := s.create(rpc.CreateVolumeRequest{Size: size})
		return v, image(v)
	}
	_, name := made(1)
	s.did(w.Remove(name)) // image_missing
	_, name = made(1)
	s.did(w.Rename(name, "lost")) // image_renamed
	_, name = made(1)
	s.did(w.Remove(name))
	w.Add(name, 1) // image_replaced
	_, name = made(1)
	s.did(w.MoveToTrash(name)) // image_trashed
	_, name = made(1)
	s.did(w.Break(name, "no header")) // image_broken
	_, name = made(2)
	s.did(w.Resize(name, 1)) // size_differs
	_, name = made(2)
	s.did(w.Resize(name, 3)) // size_differs
	source, sourceName := made(1)
	s.did(w.AddSnapshot(sourceName, "by-hand", false))                        // stray_snapshot
	s.did(w.AddSnapshot(sourceName, "volumed-clone-"+uuid.NewString(), true)) // stray_clone_snapshot
	_, name = made(1)
	s.did(w.SetParent(name, sourceName, "by-hand")) // parent_differs
	w.Add("volume-"+uuid.NewString(), 1)            // row_missing
	snap := s.snapshot(source)
	s.did(w.RemoveSnapshot(sourceName, "snapshot-"+snap.ID)) // snapshot_missing
	gone := s.snapshot(source)
	must[rpc.SnapshotReply](s)(s.DeleteSnapshot(s.Context(), s.host, rpc.DeleteSnapshotRequest{SnapshotID: gone.ID}, wait()))
	s.did(w.AddSnapshot(sourceName, "snapshot-"+gone.ID, false))     // stray_snapshot
	s.did(w.SetMetadata(sourceName, "conf_rbd_qos_iops_limit", "1")) // stray_setting
	w.Add("theirs", 1)                                               // foreign_image
	w.Add("volume-of-cinder", 1)
	s.did(w.MoveToTrash("volume-of-cinder")) // foreign_image, in the trash
	kinds = []string{
		"foreign_image", "foreign_image", "image_broken", "image_missing", "image_renamed", "image_replaced", "image_trashed", "parent_differs",
		"row_missing", "size_differs", "size_differs", "snapshot_missing", "stray_clone_snapshot", "stray_setting", "stray_snapshot", "stray_snapshot",
	}
	stay = []string{
		"foreign_image", "foreign_image", "image_broken", "image_replaced", "image_trashed", "parent_differs", "row_missing", "stray_snapshot",
	}
	return kinds, stay
}

// Every kind of drift is found, what can be repaired is, and what is not proven to be
// ours is as it was.
func TestAuditFindsAndRepairs(t *testing.T) {
	s := newSite(t)
	s.startAuditor()
	if r := s.inspect(true); len(r.findings) != 0 {
		t.Fatalf("in a new world: %+v", r.findings)
	}
	kinds, stay := s.drifts()
	foreign := must[volume.Image](t)(s.world.Look("theirs"))
	r := s.inspect(false)
	if diff := cmp.Diff(kinds, r.kinds()); diff != "" {
		t.Fatal(diff)
	}
	if r.Drift != len(kinds) || r.Repairs != len(kinds)-len(stay) || r.Images == 0 || r.Volumes == 0 || r.Snapshots == 0 || r.Deep || r.Backend != s.host {
		t.Errorf("audit %+v", r.Audit)
	}
	plan := s.findings(rpc.GetAuditRequest{AuditID: r.ID, Repairs: true, Page: rpc.Page{Limit: 3}})
	for i, f := range plan {
		if f.Repair == nil || f.Repair.Step != i+1 || f.Repair.Done {
			t.Errorf("step %d of the plan: %+v", i+1, f)
		}
	}
	applied := must[rpc.AuditReply](t)(s.apply(r.ID))
	if applied.Audit.RepairID != applied.Operation.ID {
		t.Errorf("carried out by %q", applied.Audit.RepairID)
	}
	for _, f := range s.findings(rpc.GetAuditRequest{AuditID: r.ID, Repairs: true}) {
		if !f.Repair.Done {
			t.Errorf("step %d is not done", f.Repair.Step)
		}
	}
	if diff := cmp.Diff(stay, s.inspect(false).kinds()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(foreign, must[volume.Image](t)(s.world.Look("theirs"))); diff != "" {
		t.Errorf("the foreign image was touched: %s", diff)
	}
	s.auditClaims()

	_, err := s.apply(r.ID)
	_ = wantKind(t, err, fault.Conflict, "")
}

// The image of a deleted volume that is found again, in the pool or forgotten in the
// trash, is removed.
func TestAuditRemovesWhatWasDeleted(t *testing.T) {
	for name, back := range map[string]bool{"stray_trash": false, "row_missing": true} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			p := s.startAuditor()
			v := s.create(rpc.CreateVolumeRequest{Size: 3})
			s.remove(v)
			s.settle()
			s.did(p.end())
			// As if the purge had failed for good: the record still knows the image.
			id := s.world.Add(image(v), 3)
			s.did(s.world.MoveToTrash(image(v)))
			_, err := storetest.Raw(t, s.url).Exec("UPDATE volumes SET image_id = ? WHERE id = ?", id, v.ID)
			s.did(err)
			if back {
				s.did(s.world.Restore(id))
			}
			s.startAuditor()
			r := s.inspect(false)
			if len(r.findings) != 1 || string(r.findings[0].Kind) != name || r.Bytes != 3*volume.GiB {
				t.Fatalf("audit %+v: %+v", r.Audit, r.findings)
			}
			must[rpc.AuditReply](t)(s.apply(r.ID))
			s.settle()
			if images, trash := s.world.Images(), s.world.Trash(); len(images)+len(trash) != 0 {
				t.Errorf("images %v, trash %v", images, trash)
			}
			if after := s.inspect(false); len(after.findings) != 0 {
				t.Errorf("afterwards %+v", after.findings)
			}
		})
	}
}

func TestAuditOfLocksAndWatchers(t *testing.T) {
	s := newSite(t)
	s.startAuditor()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	release := must[func()](t)(s.world.Watch(image(v), "10.0.0.9:0/9"))
	s.did(s.world.Lock(image(v), volume.ImageLock{Client: "client.1", Cookie: "by-hand", Addr: "10.0.0.8:0/8"}))
	if r := s.inspect(false); len(r.findings) != 0 {
		t.Errorf("without a deep look: %+v", r.findings)
	}
	r := s.inspect(true)
	if diff := cmp.Diff([]string{"stray_lock", "stray_watcher"}, r.kinds()); diff != "" || !r.Deep {
		t.Fatal(diff)
	}
	must[rpc.AuditReply](t)(s.apply(r.ID))
	if diff := cmp.Diff([]string{"stray_watcher"}, s.inspect(true).kinds()); diff != "" {
		t.Error(diff)
	}
	release()
	if r := s.inspect(true); len(r.findings) != 0 {
		t.Errorf("afterwards: %+v", r.findings)
	}
}

// A plan that the world has overtaken is refused as a whole, by the name of the step.
func TestPlanOvertaken(t *testing.T) {
	s := newSite(t)
	s.startAuditor()
	kept, changed := s.create(rpc.CreateVolumeRequest{Size: 1}), s.create(rpc.CreateVolumeRequest{Size: 1})
	for _, v := range []volume.Volume{kept, changed} {
		s.did(s.world.SetMetadata(image(v), "conf_x", "1"))
	}
	r := s.inspect(false)
	must[rpc.SnapshotReply](t)(s.CreateSnapshot(t.Context(), s.host, rpc.CreateSnapshotRequest{VolumeID: changed.ID}, wait()))
	step := slices.IndexFunc(r.findings, func(f volume.Finding) bool { return f.VolumeID == changed.ID }) + 1
	_, err := s.apply(r.ID)
	_ = wantKind(t, err, fault.Conflict, "")
	if want := fmt.Sprintf("step %d ", step); !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "other snapshots") {
		t.Errorf("%v does not name %s", err, want)
	}
	if diff := cmp.Diff([]string{"stray_setting", "stray_setting"}, s.inspect(false).kinds()); diff != "" {
		t.Errorf("a plan that was refused was begun: %s", diff)
	}
	s.auditClaims()
}

// What an operation works on is no drift, and cannot be repaired under it.
func TestAuditBesideOperations(t *testing.T) {
	s := newSite(t)
	p := s.startAuditor()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	s.did(s.world.SetMetadata(image(v), "conf_x", "1"))
	before := s.inspect(false)
	if before.Repairs != 1 {
		t.Fatalf("before: %+v", before)
	}
	reached, release := p.faulty.Hold("ExtendVolume", 1)
	op := must[rpc.VolumeReply](t)(s.ExtendVolume(t.Context(), s.host, rpc.ExtendVolumeRequest{VolumeID: v.ID, NewSize: 2}, rpc.CallOptions{})).Operation
	receive(t, "the extend is at work", reached)
	r := s.inspect(false)
	if len(r.findings) != 1 || r.findings[0].Kind != volume.Unsettled || r.Drift != 0 || r.Notes != 1 || !strings.Contains(r.findings[0].Message, op.ID) {
		t.Errorf("audit %+v: %+v", r.Audit, r.findings)
	}
	_, err := s.apply(before.ID)
	if f := wantKind(t, err, fault.Busy, ""); !slices.Contains(f.BlockedBy, op.ID) {
		t.Errorf("blocked by %v, want %s", f.BlockedBy, op.ID)
	}
	release()
	s.settle()
	must[rpc.AuditReply](t)(s.apply(s.inspect(false).ID))
	if r := s.inspect(false); len(r.findings) != 0 {
		t.Errorf("afterwards: %+v", r.findings)
	}
}

// A step that was done without anybody hearing of it is not done again, nor is it taken
// for the work of somebody else: neither by the same process nor by the next.
func TestRepairIsTakenUp(t *testing.T) {
	for name, dies := range map[string]bool{"same_process": false, "next_process": true} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			p := s.startAuditor()
			v := s.create(rpc.CreateVolumeRequest{Size: 1})
			for range 3 {
				s.did(s.world.AddSnapshot(image(v), "volumed-clone-"+uuid.NewString(), false))
			}
			r := s.inspect(false)
			p.faulty.FailAfter("DeleteSnapshot", 2, fault.New(fault.Unavailable, "the answer was lost"))
			if dies { // so that it still waits when it is looked for
				for n := 3; n < 60; n++ {
					p.faulty.FailBefore("DeleteSnapshot", n, fault.New(fault.Unavailable, "no answer"))
				}
			}
			id := rpc.CallOptions{RequestID: uuid.NewString()}
			must[rpc.AuditReply](t)(s.operator().ApplyRepairs(t.Context(), s.host, rpc.ApplyRepairsRequest{AuditID: r.ID}, id))
			if dies {
				s.until("the repair waits", func() bool {
					ops := s.operations(volume.OperationFilter{Status: volume.Waiting})
					return len(ops) == 1 && ops[0].Method == rpc.MethodApplyRepairs
				})
				s.did(p.end())
				s.startAuditor()
			}
			id.Wait = patience
			done := must[rpc.AuditReply](t)(s.operator().ApplyRepairs(t.Context(), s.host, rpc.ApplyRepairsRequest{AuditID: r.ID}, id))
			if done.Operation.Status != volume.Succeeded || len(s.world.Snapshots(image(v))) != 0 {
				t.Errorf("operation %+v, left %v", done.Operation, s.world.Snapshots(image(v)))
			}
		})
	}
}

// Audits are for operators, and ask for what there is.
func TestAuditRequests(t *testing.T) {
	s := newSite(t)
	s.start() // its driver cannot list
	ctx, o := t.Context(), s.operator()
	for what, tc := range map[string]struct {
		call  func() error
		kind  fault.Kind
		field string
	}{
		"no inventory": {func() error { _, err := o.AuditBackend(ctx, s.host, rpc.AuditBackendRequest{}, wait()); return err }, fault.Unsupported, ""},
		"audit of a project": {
			func() error { _, err := s.AuditBackend(ctx, s.host, rpc.AuditBackendRequest{}, wait()); return err }, fault.Invalid, "project",
		},
		"repair by a project": {
			func() error {
				_, err := s.ApplyRepairs(ctx, s.host, rpc.ApplyRepairsRequest{AuditID: uuid.NewString()}, wait())
				return err
			}, fault.Invalid, "project",
		},
		"list of a project": {func() error { _, err := s.ListAudits(ctx, rpc.ListAuditsRequest{}); return err }, fault.Invalid, "project"},
		"no id":             {func() error { _, err := o.GetAudit(ctx, rpc.GetAuditRequest{}); return err }, fault.Invalid, "audit_id"},
		"not an id": {func() error {
			_, err := o.ApplyRepairs(ctx, s.host, rpc.ApplyRepairsRequest{AuditID: "7"}, wait())
			return err
		}, fault.Invalid, "audit_id"},
		"unknown": {func() error { _, err := o.GetAudit(ctx, rpc.GetAuditRequest{AuditID: uuid.NewString()}); return err }, fault.NotFound, "audit_id"},
		"repair of an unknown": {func() error {
			_, err := s.operator().ApplyRepairs(ctx, s.host, rpc.ApplyRepairsRequest{AuditID: uuid.NewString()}, wait())
			return err
		}, fault.NotFound, "audit_id"},
		"bad page": {func() error {
			_, err := o.ListAudits(ctx, rpc.ListAuditsRequest{Page: rpc.Page{Limit: 1001}})
			return err
		}, fault.Invalid, "limit"},
	} {
		t.Run(what, func(t *testing.T) { _ = wantKind(t, tc.call(), tc.kind, tc.field) })
	}
}

// Any worker answers about the audits of any service, but only its own repairs them.
func TestAuditsAreReadAnywhere(t *testing.T) {
	s := newSite(t)
	s.startAuditor()
	s.world.Add("theirs", 1)
	r := s.inspect(false)
	s.renew()
	s.startAuditor()
	for range 2 {
		s.inspect(true)
	}
	reply := must[rpc.AuditsReply](t)(s.operator().ListAudits(t.Context(), rpc.ListAuditsRequest{}))
	if len(reply.Audits) != 3 || reply.Audits[2].ID != r.ID {
		t.Errorf("audits %+v", reply.Audits)
	}
	own := must[rpc.AuditsReply](t)(s.operator().ListAudits(t.Context(), rpc.ListAuditsRequest{Backend: s.host}))
	if len(own.Audits) != 2 {
		t.Errorf("audits of %s: %+v", s.host, own.Audits)
	}
	_, err := s.apply(r.ID)
	_ = wantKind(t, err, fault.Invalid, "audit_id")
}

// In a pool that others use too, their images are as they should be.
func TestAuditOfASharedPool(t *testing.T) {
	s := newSite(t)
	p := s.prepare()
	p.cfg.SharedPool = true
	p.deps.OpenDriver = func(context.Context) (driver.Driver, error) { return p.faulty, nil }
	p.start()
	s.world.Add("theirs", 1)
	if r := s.inspect(false); r.Drift != 0 || r.Notes != 1 || len(r.findings) != 1 || r.findings[0].Kind != volume.ForeignImage {
		t.Errorf("audit %+v: %+v", r.Audit, r.findings)
	}
}

// slowInventory tells of half the images, and then of no more.
type slowInventory struct {
	driver.Driver
	reached chan struct{}
}

func (d slowInventory) Inventory(ctx context.Context, _ bool, each func(volume.Image, int) error) error {
	for i := range 50 {
		if err := each(volume.Image{ID: fmt.Sprint(i), Name: fmt.Sprint("theirs-", i)}, 100); err != nil {
			return err
		}
	}
	close(d.reached)
	<-ctx.Done()
	return ctx.Err()
}

func (d slowInventory) Inspect(context.Context, volume.Ref, bool) ([]volume.Image, error) {
	return nil, nil
}

// An audit shows how far it has come, and a cancel ends it at once, with nothing left.
func TestAuditIsCancelled(t *testing.T) {
	s := newSite(t)
	p := s.prepare()
	slow := slowInventory{p.faulty, make(chan struct{})}
	p.deps.OpenDriver = func(context.Context) (driver.Driver, error) { return slow, nil }
	p.start()
	op := must[rpc.AuditReply](t)(s.operator().AuditBackend(t.Context(), s.host, rpc.AuditBackendRequest{}, rpc.CallOptions{})).Operation
	receive(t, "the audit is at work", slow.reached)
	s.until("the progress shows", func() bool {
		now := must[rpc.OperationReply](t)(s.operator().GetOperation(t.Context(), rpc.OperationRequest{OperationID: op.ID})).Operation
		return now.Progress == 35 && !now.ETA.IsZero()
	})
	must[rpc.OperationReply](t)(s.operator().CancelOperation(t.Context(), s.host, rpc.OperationRequest{OperationID: op.ID}, rpc.CallOptions{}))
	s.until("the audit ends", func() bool {
		return len(s.operations(volume.OperationFilter{Status: volume.Cancelled})) == 1
	})
	if left := must[rpc.AuditsReply](t)(s.operator().ListAudits(t.Context(), rpc.ListAuditsRequest{})); len(left.Audits) != 0 {
		t.Errorf("audits %+v", left.Audits)
	}
}
