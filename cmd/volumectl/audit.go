package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// auditWait is the value of --wait where a whole backend is looked at.
const auditWait = 10 * time.Minute

// auditing holds the flags of the verbs that audit.
type auditing struct {
	change
	backend string
	req     rpc.AuditBackendRequest
}

func (f *auditing) add(cmd *cobra.Command) {
	f.addWaiting(cmd, auditWait)
	cmd.Flags().StringVar(&f.backend, "backend", "", "only this backend: host@backend, or the backend's name")
	cmd.Flags().BoolVar(&f.req.Deep, "deep", false, "open every image, to see who has it open or locked")
}

func (a *app) auditNoun() *cobra.Command {
	cmd := noun("audit", "What is on the backends against what the tables say", a.auditList(), a.auditShow(), a.auditRepair())
	var f auditing
	f.add(cmd)
	cmd.Use = "audit [--backend B] [--deep]"
	cmd.Long = `Compare what is on the backends with what the tables say, in both directions.

Exit code 1 when there is drift. What each kind of drift means, and which can be
repaired, is in docs/audit.md. What operations are at work on is no drift.`
	unknown := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknown(cmd, args)
		}
		return a.verb(func(ctx context.Context, _ []string) error { return a.audit(ctx, f) })(cmd, args)
	}
	return cmd
}

// errDrift is the error for differences that were found, and printed.
var errDrift = errors.New("drift")

// audit audits one backend or all, and prints what was found.
func (a *app) audit(ctx context.Context, f auditing) error {
	doc, err := a.auditAll(ctx, f, rpc.GetAuditRequest{})
	drift := 0
	for _, r := range doc.Audits {
		drift += r.Audit.Drift
	}
	if err == nil && drift > 0 {
		err = &exitError{exitFailed, fmt.Errorf("%w: %w", errDrift, fault.New(fault.Conflict, "%d differences between backends and tables", drift).
			WithHint("what can be repaired: volumectl audit repair --plan"))}
	}
	return a.printAudits(doc, findingsTable(doc.Audits), err)
}

// printAudits prints what there is to show, and returns err. Of a failure, JSON shows
// only the error.
func (a *app) printAudits(doc auditDocument, t table, err error) error {
	if a.format == "json" && err != nil && !errors.Is(err, errDrift) && exitCode(err) != exitRunning {
		return err
	}
	tables := []table{auditsTable(audits(doc.Audits)), t}
	if len(doc.Operations) > 0 {
		tables = append(tables, operationsTable(doc.Operations))
	}
	tables = slices.DeleteFunc(tables, func(t table) bool { return len(t.rows) == 0 })
	return errors.Join(a.print(doc, tables...), err)
}

// auditDocument is what audits print as JSON.
type auditDocument struct {
	Audits []rpc.FindingsReply `json:"audits"`
	// Operations are the audits that outlast the wait.
	Operations []volume.Operation `json:"operations,omitempty"`
}

// auditAll audits the backend of the flags, or all, one after the other, with the
// findings that want selects. With an error come the audits that succeeded.
func (a *app) auditAll(ctx context.Context, f auditing, want rpc.GetAuditRequest) (auditDocument, error) {
	doc := auditDocument{Audits: []rpc.FindingsReply{}}
	services, err := a.services(ctx, f.backend)
	if err != nil {
		return doc, err
	}
	var failed error
	for _, service := range services {
		c := f.change
		if len(services) > 1 { // each is a request of its own
			c.requestID += "-" + service
		}
		failed = errors.Join(failed, a.auditOne(ctx, service, c, f.req, want, &doc))
	}
	return doc, failed
}

// auditOne audits one backend into doc.
func (a *app) auditOne(ctx context.Context, service string, c change, req rpc.AuditBackendRequest, want rpc.GetAuditRequest, doc *auditDocument) error {
	reply, err := carryOut(ctx, a, c, auditOperation, func(ctx context.Context, o rpc.CallOptions) (rpc.AuditReply, error) {
		return a.client.AuditBackend(ctx, service, req, o)
	})
	if err != nil && exitCode(err) != exitRunning {
		return err
	}
	op := *reply.Operation
	if !op.Status.Terminal() {
		doc.Operations = append(doc.Operations, op)
		if c.wait == 0 {
			return nil
		}
		return &exitError{exitRunning, fault.New(fault.Unavailable, "the audit of %s is still %s", service, op.Status).
			WithHint("it goes on: volumectl operation wait %s, then volumectl audit show %s", op.ID, op.Resource.ID)}
	}
	want.AuditID = op.Resource.ID
	found, err := a.findings(ctx, want)
	if err == nil {
		doc.Audits = append(doc.Audits, found)
	}
	return err
}

func auditOperation(r rpc.AuditReply) *volume.Operation { return r.Operation }

// services returns the service that --backend means, or all.
func (a *app) services(ctx context.Context, backend string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if backend != "" {
		service, err := a.service(ctx, backend)
		return []string{service}, err
	}
	var all []string
	for s, err := range a.client.Services(ctx, rpc.ListServicesRequest{}) {
		if err != nil {
			return nil, err
		}
		all = append(all, s.Host)
	}
	return all, nil
}

// findings returns an audit with all findings that the request selects.
func (a *app) findings(ctx context.Context, want rpc.GetAuditRequest) (rpc.FindingsReply, error) {
	whole := rpc.FindingsReply{Findings: []volume.Finding{}}
	for {
		page, err := a.client.GetAudit(ctx, want)
		if err != nil {
			return whole, err
		}
		whole.Audit, whole.Findings = page.Audit, append(whole.Findings, page.Findings...)
		if want.Marker = page.Next; page.Next == "" {
			return whole, nil
		}
	}
}

func (a *app) auditList() *cobra.Command {
	var l list
	var req rpc.ListAuditsRequest
	var backend string
	cmd := &cobra.Command{
		Use: "list", Short: "List audits, newest first",
		RunE: a.read(func(ctx context.Context, _ []string) (err error) {
			if backend != "" {
				if req.Backend, err = a.service(ctx, backend); err != nil {
					return err
				}
			}
			req.Page = l.page()
			all, err := collect(l, a.client.Audits(ctx, req))
			if err != nil {
				return err
			}
			return a.print(rpc.AuditsReply{Audits: all}, auditsTable(all))
		}),
	}
	cmd.Flags().StringVar(&backend, "backend", "", "only audits of this backend")
	return l.add(cmd)
}

func (a *app) auditShow() *cobra.Command {
	var req rpc.GetAuditRequest
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show what an audit has found", Args: cobra.ExactArgs(1),
		RunE: a.verb(func(ctx context.Context, args []string) error {
			req.AuditID = args[0]
			r, err := a.findings(ctx, req)
			if err != nil {
				return err
			}
			return a.print(r, auditsTable([]volume.Audit{r.Audit}), findingsTable([]rpc.FindingsReply{r}))
		}),
	}
	cmd.Flags().StringVar((*string)(&req.Kind), "kind", "", "only findings of this kind")
	return cmd
}

func audits(reports []rpc.FindingsReply) []volume.Audit {
	all := make([]volume.Audit, len(reports))
	for i, r := range reports {
		all[i] = r.Audit
	}
	return all
}

func auditsTable(all []volume.Audit) table {
	t := table{head: []string{"AUDIT", "BACKEND", "IMAGES", "VOLUMES", "SNAPSHOTS", "DRIFT", "NOTES", "REPAIRS", "AT MOST", "FINISHED AT", "REPAIRED BY"}}
	for _, r := range all {
		t.rows = append(t.rows, []string{
			r.ID, r.Backend, strconv.Itoa(r.Images), strconv.Itoa(r.Volumes), strconv.Itoa(r.Snapshots), strconv.Itoa(r.Drift),
			strconv.Itoa(r.Notes), strconv.Itoa(r.Repairs), quantity(r.Bytes), stamp(r.FinishedAt), r.RepairID,
		})
	}
	return t
}

// findingsTable shows the findings, with the step of the plan where there is one.
func findingsTable(reports []rpc.FindingsReply) table {
	t := table{head: []string{"KIND", "VOLUME", "IMAGE", "SNAPSHOT", "STEP", "WHAT"}}
	for _, r := range reports {
		for _, f := range r.Findings {
			kind, step, what := string(f.Kind), "", f.Message
			if f.Note {
				kind += " (note)"
			}
			if f.Repair != nil {
				if step = strconv.Itoa(f.Repair.Step); f.Repair.Done {
					step += " done"
				}
			} else if f.Hint != "" {
				what += "; " + f.Hint
			}
			t.rows = append(t.rows, []string{kind, f.VolumeID, f.Image.Name, f.Snapshot, step, what})
		}
	}
	if len(t.rows) == 0 {
		return table{}
	}
	return t
}

// quantity returns a number of bytes for a table.
func quantity(n int64) string {
	const units = "KMGTPE"
	if n < 1<<10 {
		return strconv.FormatInt(n, 10) + " B"
	}
	value, unit := float64(n)/(1<<10), 0
	for value >= 1<<10 && unit < len(units)-1 {
		value, unit = value/(1<<10), unit+1
	}
	return fmt.Sprintf("%.1f %ciB", value, units[unit])
}
