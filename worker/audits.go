package worker

import (
	"context"
	"errors"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// handleAudits registers what is about audits.
func (w *Worker) handleAudits(s *rpc.Server) {
	rpc.Handle(s, rpc.Service, rpc.MethodAuditBackend, w.handleAudit)
	rpc.Handle(s, rpc.Service, rpc.MethodApplyRepairs, w.handleApplyRepairs)
	rpc.Handle(s, rpc.Any, rpc.MethodListAudits, w.listAudits)
	rpc.Handle(s, rpc.Any, rpc.MethodGetAudit, w.getAudit)
}

// forOperators refuses a caller with a project: an audit tells of all projects, what is
// in a pool is no project's before it is managed, and where volumes are is no project's
// business.
func forOperators(ctx context.Context) error {
	if own := rpc.CallFrom(ctx).ProjectID; own != "" {
		return fault.New(fault.Invalid, "this is for operators, and project %s is none", own).
			WithField("project").WithHint("send the request without a project")
	}
	return nil
}

func (w *Worker) handleAudit(ctx context.Context, r rpc.AuditBackendRequest) (rpc.AuditReply, error) {
	if err := forOperators(ctx); err != nil {
		return rpc.AuditReply{}, err
	}
	end, err := w.submit(ctx, rpc.MethodAuditBackend, r)
	return w.auditReply(ctx, end.Operation, err)
}

func (w *Worker) handleApplyRepairs(ctx context.Context, r rpc.ApplyRepairsRequest) (rpc.AuditReply, error) {
	a, err := w.visibleAudit(ctx, r.AuditID)
	if err != nil {
		return rpc.AuditReply{}, err
	}
	if a.Backend != w.cfg.Host {
		return rpc.AuditReply{}, fault.New(fault.Invalid, "audit %s is of %s, not of %s", a.ID, a.Backend, w.cfg.Host).
			WithField("audit_id").WithHint("send the request to %s", a.Backend)
	}
	end, err := w.submit(ctx, rpc.MethodApplyRepairs, r)
	return w.auditReply(ctx, end.Operation, err)
}

// auditReply is the answer about an operation on an audit. One that is not saved yet
// is left out.
func (w *Worker) auditReply(ctx context.Context, op volume.Operation, err error) (rpc.AuditReply, error) {
	if err != nil {
		return rpc.AuditReply{}, err
	}
	reply := rpc.AuditReply{Operation: &op}
	a, err := w.store.Audit(context.WithoutCancel(ctx), op.Resource.ID)
	switch {
	case err == nil:
		reply.Audit = &a
	case !errors.Is(err, fault.NotFound):
		return rpc.AuditReply{}, rpc.WithOperation(err, op)
	}
	return reply, nil
}

func (w *Worker) listAudits(ctx context.Context, r rpc.ListAuditsRequest) (rpc.AuditsReply, error) {
	if err := forOperators(ctx); err != nil {
		return rpc.AuditsReply{}, err
	}
	audits, next, err := w.store.Audits(ctx, volume.AuditFilter{Page: volume.Page(r.Page), Backend: r.Backend})
	return rpc.AuditsReply{Audits: audits, Next: next}, err
}

func (w *Worker) getAudit(ctx context.Context, r rpc.GetAuditRequest) (rpc.FindingsReply, error) {
	a, err := w.visibleAudit(ctx, r.AuditID)
	if err != nil {
		return rpc.FindingsReply{}, err
	}
	page := volume.Page(r.Page)
	if page.Limit > rpc.MaxFindings && page.Limit <= rpc.MaxPage {
		page.Limit = rpc.MaxFindings
	}
	findings, next, err := w.store.Findings(ctx, volume.FindingFilter{Page: page, AuditID: a.ID, Kind: r.Kind, Repairs: r.Repairs})
	return rpc.FindingsReply{Audit: a, Findings: findings, Next: next}, err
}

// visibleAudit returns an audit that the caller may see.
func (w *Worker) visibleAudit(ctx context.Context, id string) (volume.Audit, error) {
	if err := firstOf(forOperators(ctx), checkID("audit_id", id)); err != nil {
		return volume.Audit{}, err
	}
	a, err := w.store.Audit(ctx, id)
	if err != nil {
		return volume.Audit{}, named(err, "audit_id")
	}
	return a, nil
}
