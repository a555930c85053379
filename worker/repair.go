package worker

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/volumed/volumed/audit"
	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// repairing is the state of apply_repairs.
type repairing struct {
	rpc.ApplyRepairsRequest

	steps []volume.Repair
}

// applyRepairs carries out the plan of an audit: exactly its steps, each only if the
// world is as it was planned for. What the steps are about is claimed before the
// first, so that nothing changes it between.
func (w *Worker) applyRepairs() operation.Method[repairing] {
	return operation.Method[repairing]{
		Name: rpc.MethodApplyRepairs, Resource: volume.AuditResource, Lane: operation.Stats, Target: operation.Exclusive,
		Accept: w.acceptRepairs,
		Steps: []operation.Step[repairing]{
			{Name: "claim", Interruptible: true, Run: w.claimRepairs},
			{Name: "check", Interruptible: true, Run: w.checkRepairs},
			{Name: "repair", Interruptible: true, Run: w.repair},
		},
		Finish: w.finishRepairs,
	}
}

func (w *Worker) acceptRepairs(_ operation.Tx, op *volume.Operation, r *repairing) error {
	_, lists := driver.Ability[driver.Inventory](w.driver, "list what is there")
	_, repairs := driver.Ability[driver.Repairer](w.driver, "repair anything")
	if err := firstOf(lists, repairs); err != nil {
		return err
	}
	op.Resource.ID = r.AuditID
	return nil
}

// claimBatch is how many steps are claimed in one transaction.
const claimBatch = 100

// claimRepairs reads the plan and claims what it is about.
func (w *Worker) claimRepairs(ctx context.Context, t *operation.Task, r *repairing) (err error) {
	op := t.Operation()
	if err := w.store.TakePlan(ctx, w.fence, r.AuditID, op.ID); err != nil {
		return err
	}
	if r.steps, err = w.planned(ctx, r.AuditID); err != nil {
		return err
	}
	for batch := range slices.Chunk(r.steps, claimBatch) {
		err := w.store.Write(ctx, w.fence, func(tx operation.Tx) error {
			for i := range batch {
				if err := claimStep(tx, op.ID, &batch[i]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// planned returns the steps of the plan, in their order.
func (w *Worker) planned(ctx context.Context, auditID string) ([]volume.Repair, error) {
	var steps []volume.Repair
	for f := (volume.FindingFilter{AuditID: auditID, Repairs: true, Page: volume.Page{Limit: rpc.MaxFindings}}); ; {
		findings, next, err := w.store.Findings(ctx, f)
		if err != nil {
			return nil, err
		}
		for _, finding := range findings {
			steps = append(steps, *finding.Repair)
		}
		if f.Marker = next; next == "" {
			return steps, nil
		}
	}
}

// claimStep claims what the step is about. A purge is an operation with a claim of its
// own.
func claimStep(tx operation.Tx, operationID string, r *volume.Repair) error {
	if r.Action == volume.PurgeImage {
		return nil
	}
	resources := []volume.Resource{{Type: volume.VolumeResource, ID: r.VolumeID}}
	if r.SnapshotID != "" {
		resources = append(resources, volume.Resource{Type: volume.SnapshotResource, ID: r.SnapshotID})
	}
	for _, resource := range resources {
		if err := tx.Claim(operationID, resource, operation.Exclusive); err != nil {
			return err
		}
		holders, err := tx.Holders(operationID, resource)
		if err != nil {
			return err
		}
		if len(holders) > 0 {
			return fault.New(fault.Busy, "%s is used by %d other operations", resource, len(holders)).WithBlockers(holders...).
				WithHint("apply a new plan when they have ended: volumectl audit repair --plan")
		}
	}
	return nil
}

// checkRepairs refuses a plan that has been overtaken before anything is changed. Only
// the first step of an image can hold yet.
func (w *Worker) checkRepairs(ctx context.Context, t *operation.Task, r *repairing) error {
	checked := map[string]bool{}
	for i := range r.steps {
		step := &r.steps[i]
		if checked[step.VolumeID] || step.Done {
			continue
		}
		checked[step.VolumeID] = true
		if _, err := w.due(ctx, t, step); err != nil {
			return err
		}
	}
	return nil
}

// repair does the steps. A cancel is heard between two of them.
func (w *Worker) repair(ctx context.Context, t *operation.Task, r *repairing) error {
	for i := range r.steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.repairStep(context.WithoutCancel(ctx), t, r, &r.steps[i]); err != nil {
			return err
		}
		t.Progress((i + 1) * 100 / len(r.steps))
	}
	return nil
}

func (w *Worker) repairStep(ctx context.Context, t *operation.Task, r *repairing, step *volume.Repair) (err error) {
	if step.Done {
		return nil
	}
	done, err := w.due(ctx, t, step)
	if err != nil {
		return err
	}
	if !done {
		if err := w.confirm(ctx); err != nil {
			return err
		}
		if err := w.act(ctx, t, r.AuditID, step); err != nil {
			fault.Wrap(&err, "step %d (%s of %s)", step.Step, step.Action, step.Image)
			return err
		}
	}
	step.Done = true
	return w.store.StepDone(ctx, w.fence, r.AuditID, step.Step)
}

// due returns nil if the step can be done, and true if an earlier attempt of this
// operation has done it without saying so.
func (w *Worker) due(ctx context.Context, t *operation.Task, step *volume.Repair) (done bool, err error) {
	inventory, _ := driver.As[driver.Inventory](w.driver)
	found, err := inventory.Inspect(ctx, audit.Look(step), audit.Deep(step))
	if err != nil {
		return false, err
	}
	row, rowDone, err := w.rowOf(ctx, step)
	if err != nil {
		return false, err
	}
	if t.Repeat() && (rowDone || audit.Done(step, found)) {
		return true, nil
	}
	return false, audit.Holds(step, found, row)
}

// rowOf returns when the row that the step was planned for was last changed, and
// whether it is as the step leaves it.
func (w *Worker) rowOf(ctx context.Context, step *volume.Repair) (changed time.Time, done bool, err error) {
	var status volume.Status
	var size int64
	if step.SnapshotID != "" && step.Action == volume.SetStatus {
		s, err := w.store.SnapshotRecord(ctx, step.SnapshotID)
		if err != nil {
			return changed, false, err
		}
		changed, status = s.UpdatedAt, s.Status
	} else {
		v, err := w.store.VolumeRecord(ctx, step.VolumeID)
		if err != nil {
			return changed, false, err
		}
		changed, status, size = v.UpdatedAt, v.Status, v.Size
	}
	switch step.Action {
	case volume.SetStatus:
		done = string(status) == step.To
	case volume.SetSize:
		done = size == step.Size
	}
	return changed, done, nil
}

// act does what the step says.
func (w *Worker) act(ctx context.Context, t *operation.Task, auditID string, step *volume.Repair) error {
	repairer, _ := driver.As[driver.Repairer](w.driver)
	switch step.Action {
	case volume.RemoveImage:
		_, err := w.driver.DeleteVolume(ctx, step.Image, 0)
		return err
	case volume.PurgeImage:
		_, err := w.engine.Submit(ctx, w.purgeOf(t.Operation(), auditID, step))
		return err
	case volume.RemoveSnapshot:
		return w.driver.DeleteSnapshot(ctx, volume.SnapshotRef{Volume: step.Image, Name: step.Snapshot.Name})
	case volume.RenameImage:
		return repairer.RenameVolume(ctx, step.Image, step.To)
	case volume.GrowImage:
		return w.driver.ExtendVolume(ctx, step.Image, step.Size)
	case volume.RemoveSetting:
		return repairer.RemoveSetting(ctx, step.Image, step.Key)
	case volume.RemoveLock:
		return repairer.RemoveLock(ctx, step.Image, *step.Lock)
	case volume.SetSize, volume.SetStatus:
		return w.store.Write(ctx, w.fence, func(tx operation.Tx) error { return setRow(tx, step) })
	default:
		return fault.New(fault.Unsupported, "this version knows no %s", step.Action)
	}
}

// setRow changes the row of the step.
func setRow(tx operation.Tx, step *volume.Repair) error {
	if step.SnapshotID != "" {
		s, err := tx.Snapshot(step.SnapshotID)
		if err != nil {
			return err
		}
		return moveSnapshot(tx, &s, volume.Status(step.To))
	}
	v, err := tx.Volume(step.VolumeID)
	if err != nil {
		return err
	}
	if step.Action == volume.SetSize {
		v.Size = step.Size
		return tx.UpdateVolume(&v, v.Status)
	}
	return move(tx, &v, volume.Status(step.To))
}

// purgeOf is the request for the purge that a step wants. However often it is sent, it
// is one purge.
func (w *Worker) purgeOf(op volume.Operation, auditID string, step *volume.Repair) operation.Request {
	return operation.Request{
		RequestID: fmt.Sprintf("repair-%s-%d", auditID, step.Step), ProjectID: op.ProjectID, UserID: op.UserID, TraceParent: op.TraceParent,
		Method: methodPurge,
		Args:   deletion{DeleteVolumeRequest: rpc.DeleteVolumeRequest{VolumeID: step.VolumeID}, Image: step.Image},
	}
}

// finishRepairs has the images purged that the steps have moved to the trash, now that
// their claims are given back.
func (w *Worker) finishRepairs(_ operation.Tx, t *operation.Task, r *repairing, _ error) error {
	for i := range r.steps {
		if step := &r.steps[i]; step.Done && step.Action == volume.RemoveImage {
			t.Follow(w.purgeOf(t.Operation(), r.AuditID, step))
		}
	}
	return nil
}
