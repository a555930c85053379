package rpc

import (
	"context"
	"iter"

	"github.com/volumed/volumed/volume"
)

// Methods about audits: the first two are a service's, the others any worker's.
const (
	MethodAuditBackend = "audit_backend"
	MethodApplyRepairs = "apply_repairs"
	MethodListAudits   = "list_audits"
	MethodGetAudit     = "get_audit"
)

// MaxFindings is how many findings a page of get_audit has at most, whatever its
// limit: a message has to hold them.
const MaxFindings = 500

// AuditBackendRequest asks to compare what is on a backend with the tables.
type AuditBackendRequest struct {
	// Deep also opens every image, to see who has it open or locked.
	Deep bool `json:"deep,omitempty"`
}

// ApplyRepairsRequest asks to carry out the repairs that an audit has planned.
type ApplyRepairsRequest struct {
	AuditID string `json:"audit_id"`
}

// AuditReply carries an audit, once it has come to its end, and the operation.
type AuditReply struct {
	Operation *volume.Operation `json:"operation,omitempty"`
	Audit     *volume.Audit     `json:"audit,omitempty"`
}

func (r AuditReply) pending() bool { return unfinished(r.Operation) }

// ListAuditsRequest asks for audits, newest first.
type ListAuditsRequest struct {
	Page
	Backend string `json:"backend,omitempty"` // host@backend
}

// AuditsReply is a page of audits.
type AuditsReply struct {
	Audits []volume.Audit `json:"audits"`
	Next   string         `json:"next,omitempty"`
}

// GetAuditRequest asks for an audit and a page of its findings.
type GetAuditRequest struct {
	Page
	AuditID string       `json:"audit_id"`
	Kind    volume.Drift `json:"kind,omitempty"` // only findings of this kind
	// Repairs asks only for findings that can be repaired, in the order of the plan.
	Repairs bool `json:"repairs,omitempty"`
}

// FindingsReply carries an audit and a page of its findings.
type FindingsReply struct {
	Audit    volume.Audit     `json:"audit"`
	Findings []volume.Finding `json:"findings"`
	Next     string           `json:"next,omitempty"`
}

// AuditBackend asks the service to compare what it has on its backend with the tables.
func (c *Client) AuditBackend(ctx context.Context, service string, req AuditBackendRequest, o CallOptions) (AuditReply, error) {
	return invoke[AuditReply](ctx, c, service, MethodAuditBackend, req, o)
}

// ApplyRepairs asks the service to carry out the repairs that an audit has planned.
func (c *Client) ApplyRepairs(ctx context.Context, service string, req ApplyRepairsRequest, o CallOptions) (AuditReply, error) {
	return invoke[AuditReply](ctx, c, service, MethodApplyRepairs, req, o)
}

// ListAudits returns one page of audits.
func (c *Client) ListAudits(ctx context.Context, req ListAuditsRequest) (AuditsReply, error) {
	return invoke[AuditsReply](ctx, c, "", MethodListAudits, req, CallOptions{})
}

// GetAudit returns an audit with one page of its findings.
func (c *Client) GetAudit(ctx context.Context, req GetAuditRequest) (FindingsReply, error) {
	return invoke[FindingsReply](ctx, c, "", MethodGetAudit, req, CallOptions{})
}

// Audits returns all audits that fit the request; see Services.
func (c *Client) Audits(ctx context.Context, req ListAuditsRequest) iter.Seq2[volume.Audit, error] {
	return pages(&req.Marker, func() ([]volume.Audit, string, error) {
		r, err := c.ListAudits(ctx, req)
		return r.Audits, r.Next, err
	})
}

// Findings returns all findings that fit the request; see Services.
func (c *Client) Findings(ctx context.Context, req GetAuditRequest) iter.Seq2[volume.Finding, error] {
	return pages(&req.Marker, func() ([]volume.Finding, string, error) {
		r, err := c.GetAudit(ctx, req)
		return r.Findings, r.Next, err
	})
}
