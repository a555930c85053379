package worker

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/volumed/volumed/audit"
	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// auditing is the state of audit_backend.
type auditing struct {
	rpc.AuditBackendRequest
	AuditID string `json:"audit_id,omitempty"`
}

// auditBackend compares what is on the backend with the tables. It changes nothing, so
// it can be left at any time and begun again.
func (w *Worker) auditBackend() operation.Method[auditing] {
	return operation.Method[auditing]{
		Name: rpc.MethodAuditBackend, Resource: volume.AuditResource, Lane: operation.Stats, Target: operation.Exclusive,
		Accept: func(_ operation.Tx, op *volume.Operation, a *auditing) error {
			if _, err := driver.Ability[driver.Inventory](w.driver, "list what is there"); err != nil {
				return err
			}
			if a.AuditID == "" {
				a.AuditID = uuid.NewString()
			}
			op.Resource.ID = a.AuditID
			return nil
		},
		Steps:  []operation.Step[auditing]{{Name: "compare", Interruptible: true, Run: w.audit}},
		Finish: func(operation.Tx, *operation.Task, *auditing, error) error { return nil },
	}
}

// How far an audit has come, in percent, when it has listed the images, and when it
// has looked again at those that differ.
const (
	auditListed = 70
	auditSecond = 90
)

// audit compares, looks a second time at what differs, and saves what differs still.
func (w *Worker) audit(ctx context.Context, t *operation.Task, a *auditing) error {
	inventory, _ := driver.As[driver.Inventory](w.driver)
	var images []volume.Image
	err := inventory.Inventory(ctx, a.Deep, func(img volume.Image, total int) error {
		images = append(images, img)
		t.Progress(len(images) * auditListed / max(total, 1))
		return nil
	})
	if err != nil {
		return err
	}
	tables, err := w.tables(ctx, images)
	if err != nil {
		return err
	}
	first := audit.Compare(tables, images)
	if images, err = w.lookAgain(ctx, t, inventory, a.Deep, audit.Suspects(first, tables), images); err != nil {
		return err
	}
	if tables, err = w.tables(ctx, images); err != nil {
		return err
	}
	findings := audit.Confirm(first, audit.Compare(tables, images))
	audit.Plan(findings, tables, images, time.Now())
	row := volume.Audit{
		ID: a.AuditID, Backend: w.cfg.Host, OperationID: t.Operation().ID, Deep: a.Deep,
		Images: len(images), Volumes: len(tables.Volumes), Snapshots: len(tables.Snapshots),
	}
	audit.Summarize(&row, findings)
	w.log.Info("audit", "audit", row.ID, "operation", row.OperationID, "request_id", t.Operation().RequestID, "images", row.Images, "volumes", row.Volumes, "drift", row.Drift, "notes", row.Notes, "repairs", row.Repairs)
	return w.store.SaveAudit(ctx, w.fence, &row, findings)
}

// lookAgain returns the images with the suspects as they are now.
func (w *Worker) lookAgain(
	ctx context.Context, t *operation.Task, inventory driver.Inventory, deep bool, suspects []volume.Ref, images []volume.Image,
) ([]volume.Image, error) {
	var found []volume.Image
	for i, v := range suspects {
		now, err := inventory.Inspect(ctx, v, deep)
		if err != nil {
			return nil, err
		}
		found = append(found, now...)
		t.Progress(auditListed + (i+1)*(auditSecond-auditListed)/len(suspects))
	}
	return audit.Refresh(images, suspects, found), nil
}

// tables reads what the database says of this service.
func (w *Worker) tables(ctx context.Context, images []volume.Image) (t audit.Tables, err error) {
	h, err := w.store.Holdings(ctx, w.cfg.Host)
	if err != nil {
		return t, err
	}
	t = audit.Tables{
		Host: w.cfg.Host, Pool: w.cfg.Pool, VolumeNames: w.cfg.VolumeNameTemplate, SnapshotNames: w.cfg.SnapshotNameTemplate,
		SharedPool: w.cfg.SharedPool, Volumes: h.Volumes, Snapshots: h.Snapshots, Trashed: h.Trashed, Operations: h.Operations,
		PastVolumes: map[string]volume.Volume{}, PastSnapshots: map[string]volume.Snapshot{},
	}
	volumeIDs, snapshotIDs := audit.Unknown(t, images)
	volumes, err := w.store.VolumeRecords(ctx, volumeIDs)
	if err != nil {
		return t, err
	}
	for _, v := range volumes {
		t.PastVolumes[v.ID] = v
	}
	snapshots, err := w.store.SnapshotRecords(ctx, snapshotIDs)
	if err != nil {
		return t, err
	}
	for _, s := range snapshots {
		t.PastSnapshots[s.ID] = s
	}
	if t.Settings, err = w.metadataWanted(ctx, t.Volumes); err != nil {
		return t, err
	}
	t.Addrs, err = w.serviceAddrs(ctx)
	return t, err
}

// serviceAddrs returns the addresses of the clients of all services, with which they
// open images for a moment.
func (w *Worker) serviceAddrs(ctx context.Context) ([]string, error) {
	addrs := w.addrs()
	services, err := w.allServices(ctx)
	for _, s := range services {
		here, away := s.Addrs()
		addrs = append(append(addrs, here...), away...)
	}
	return addrs, err
}
