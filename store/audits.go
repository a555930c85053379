package store

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/volume"
)

// auditColumns are the columns of audits: what is known when one begins, then what
// it has found.
var auditColumns = []string{
	"id", "backend", "operation_id", "deep", "created_at",
	"images", "volumes", "snapshots", "drift", "notes", "repairs", "bytes", "finished_at", "repair_id",
}

const auditFixed = 5

func auditFields(a *volume.Audit) []any {
	return []any{
		&a.ID, &a.Backend, &a.OperationID, &a.Deep, timeOf(&a.CreatedAt),
		&a.Images, &a.Volumes, &a.Snapshots, &a.Drift, &a.Notes, &a.Repairs, &a.Bytes, timeOf(&a.FinishedAt), &a.RepairID,
	}
}

// findingRow is a row of audit_findings.
type findingRow struct {
	auditID string
	volume.Finding
	step int
	done bool
}

var findingColumns = []string{"audit_id", "number", "kind", "step", "done", "body"}

func findingFields(f *findingRow) []any {
	return []any{&f.auditID, &f.Number, (*string)(&f.Kind), &f.step, &f.done, jsonOf(&f.Finding)}
}

// finding returns the finding, with what its columns say about the step.
func (f *findingRow) finding() volume.Finding {
	if f.Repair != nil {
		f.Repair.Done = f.done
	}
	return f.Finding
}

var (
	selectAudits   = "SELECT " + strings.Join(auditColumns, ", ") + " FROM audits"
	insertAudit    = insertInto("audits", auditColumns)
	updateAudit    = "UPDATE audits SET " + assignments(2, auditColumns[auditFixed:]) + " WHERE id = $1"
	selectFindings = "SELECT " + strings.Join(findingColumns, ", ") + " FROM audit_findings"
	insertFinding  = insertInto("audit_findings", findingColumns)
)

// findingBatch keeps one transaction of SaveAudit about as short as another write.
const findingBatch = 100

// SaveAudit writes an audit and its findings, in place of what was saved of it
// before; CreatedAt and FinishedAt are set. It works in small transactions between
// which other writes are let in, and nobody sees the audit before the last one.
func (db *DB) SaveAudit(ctx context.Context, fence operation.Fence, a *volume.Audit, findings []volume.Finding) error {
	err := db.fenced(ctx, fence, func(s *session) error {
		a.CreatedAt, a.FinishedAt, a.RepairID = s.now, time.Time{}, ""
		return s.beginAudit(a)
	})
	if err != nil {
		return err
	}
	for batch := range slices.Chunk(findings, findingBatch) {
		if err := db.fenced(ctx, fence, func(s *session) error { return s.insertFindings(a.ID, batch) }); err != nil {
			return err
		}
	}
	return db.fenced(ctx, fence, func(s *session) error {
		a.FinishedAt = s.now
		_, err := s.exec(updateAudit, append([]any{a.ID}, auditFields(a)[auditFixed:]...)...)
		return err
	})
}

// fenced runs a change under the fence.
func (db *DB) fenced(ctx context.Context, fence operation.Fence, change func(*session) error) error {
	return db.engine.write(ctx, durable, func(s *session) error {
		if err := s.fence(fence); err != nil {
			return err
		}
		return change(s)
	})
}

func (s *session) beginAudit(a *volume.Audit) error {
	if err := s.deleteAudit(a.ID); err != nil {
		return err
	}
	_, err := s.exec(insertAudit, auditFields(a)...)
	return err
}

func (s *session) deleteAudit(id string) error {
	if _, err := s.exec("DELETE FROM audit_findings WHERE audit_id = $1", id); err != nil {
		return err
	}
	_, err := s.exec("DELETE FROM audits WHERE id = $1", id)
	return err
}

func (s *session) insertFindings(auditID string, findings []volume.Finding) error {
	for _, f := range findings {
		row := findingRow{auditID: auditID, Finding: f}
		if f.Repair != nil {
			row.step, row.done = f.Repair.Step, f.Repair.Done
		}
		if _, err := s.exec(insertFinding, findingFields(&row)...); err != nil {
			return err
		}
	}
	return nil
}

// Audits returns audits that have come to their end, newest first.
func (db *DB) Audits(ctx context.Context, f volume.AuditFilter) ([]volume.Audit, string, error) {
	var q selection
	q.always("finished_at IS NOT NULL")
	q.equal("backend", f.Backend)
	if err := q.page(f.Page); err != nil {
		return nil, "", err
	}
	rows, err := all(db.reader(ctx), auditFields, q.sql(selectAudits, newestFirst), q.args...)
	page, next := cut(&q, rows, func(a *volume.Audit) string { return markerAt(a.CreatedAt, a.ID) })
	return page, next, err
}

// Audit returns an audit that has come to its end.
func (db *DB) Audit(ctx context.Context, id string) (volume.Audit, error) {
	return get(db.reader(ctx), auditFields, volume.Resource{Type: volume.AuditResource, ID: id},
		selectAudits+" WHERE id = $1 AND finished_at IS NOT NULL", id)
}

// Findings returns what an audit has found, by number; with Repairs the findings that
// can be repaired, by step.
func (db *DB) Findings(ctx context.Context, f volume.FindingFilter) ([]volume.Finding, string, error) {
	order := "number"
	if f.Repairs {
		order = "step"
	}
	var q selection
	q.where("audit_id = ?", f.AuditID)
	q.equal("kind", string(f.Kind))
	if f.Repairs {
		q.always("step > 0")
	}
	if err := q.pageBy(order, f.Page); err != nil {
		return nil, "", err
	}
	rows, err := all(db.reader(ctx), findingFields, q.sql(selectFindings, order), q.args...)
	page, next := cut(&q, rows, func(f *findingRow) string {
		if order == "step" {
			return strconv.Itoa(f.step)
		}
		return strconv.Itoa(f.Number)
	})
	findings := make([]volume.Finding, len(page))
	for i := range page {
		findings[i] = page[i].finding()
	}
	return findings, next, err
}

// TakePlan notes that the operation carries the plan of the audit out. It may be
// repeated. Kinds: NotFound; Conflict for a plan that another operation took.
func (db *DB) TakePlan(ctx context.Context, fence operation.Fence, auditID, operationID string) error {
	return db.fenced(ctx, fence, func(s *session) error {
		a, err := get(s, auditFields, volume.Resource{Type: volume.AuditResource, ID: auditID},
			selectAudits+" WHERE id = $1 AND finished_at IS NOT NULL"+s.d.lockRow, auditID)
		if err != nil {
			return err
		}
		if a.RepairID != "" && a.RepairID != operationID {
			return fault.New(fault.Conflict, "operation %s has carried the plan %s out, or tried to", a.RepairID, auditID).
				WithHint("make a new plan: volumectl audit repair --plan")
		}
		_, err = s.exec("UPDATE audits SET repair_id = $2 WHERE id = $1", auditID, operationID)
		return err
	})
}

// StepDone notes that a step of a plan is done.
func (db *DB) StepDone(ctx context.Context, fence operation.Fence, auditID string, step int) error {
	return db.fenced(ctx, fence, func(s *session) error {
		_, err := s.exec("UPDATE audit_findings SET done = TRUE WHERE audit_id = $1 AND step = $2", auditID, step)
		return err
	})
}

// pruneAudits removes audits that began before the given time, one at a time.
func (db *DB) pruneAudits(ctx context.Context, before time.Time) error {
	for more := true; more; {
		err := db.engine.write(ctx, durable, func(s *session) error {
			var id string
			found, err := s.one([]any{&id}, "SELECT id FROM audits WHERE created_at < $1 ORDER BY created_at, id LIMIT 1", timeOf(&before))
			if more = found; err != nil || !found {
				return err
			}
			return s.deleteAudit(id)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
