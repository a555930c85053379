package main

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

const (
	auditClean = "dddddddd-0000-4000-8000-000000000001" // of node2@rbd1
	auditDirty = "dddddddd-0000-4000-8000-000000000002" // of host
	auditStale = "dddddddd-0000-4000-8000-000000000003" // whose plan is overtaken
)

// registerAudits gives the fake two audits: one with a difference that can be repaired
// and a note, on many pages, and one without any.
func (f *fake) registerAudits() {
	rpc.Handle(f.srv, rpc.Service, rpc.MethodAuditBackend, func(ctx context.Context, r rpc.AuditBackendRequest) (rpc.AuditReply, error) {
		f.mu.Lock()
		f.calls = append(f.calls, rpc.CallFrom(ctx))
		f.mu.Unlock()
		op := volume.Operation{ID: "op-audit", Method: rpc.MethodAuditBackend, Backend: host, Status: volume.Succeeded, Resource: volume.Resource{Type: volume.AuditResource, ID: auditDirty}}
		if rpc.CallFrom(ctx).RequestID == "clean" {
			op.Resource.ID = auditClean
		}
		if rpc.CallFrom(ctx).RequestID == "stuck" {
			op.Status = volume.Running
			return rpc.AuditReply{Operation: &op}, nil
		}
		a := auditOf(op.Resource.ID)
		a.Deep = r.Deep
		return rpc.AuditReply{Operation: &op, Audit: &a}, nil
	})
	rpc.Handle(f.srv, rpc.Service, rpc.MethodApplyRepairs, func(_ context.Context, r rpc.ApplyRepairsRequest) (rpc.AuditReply, error) {
		if r.AuditID == auditStale {
			return rpc.AuditReply{}, fault.New(fault.Conflict, "step 1 has been overtaken").WithHint("make a new plan")
		}
		a := auditOf(r.AuditID)
		return rpc.AuditReply{Operation: &volume.Operation{ID: "op-repair", Status: volume.Succeeded}, Audit: &a}, nil
	})
	rpc.Handle(f.srv, rpc.Any, rpc.MethodListAudits, func(_ context.Context, r rpc.ListAuditsRequest) (rpc.AuditsReply, error) {
		if r.Backend == "node2@dead" {
			return rpc.AuditsReply{}, nil
		}
		return rpc.AuditsReply{Audits: []volume.Audit{auditOf(auditDirty), auditOf(auditClean)}}, nil
	})
	rpc.Handle(f.srv, rpc.Any, rpc.MethodGetAudit, func(_ context.Context, r rpc.GetAuditRequest) (rpc.FindingsReply, error) {
		reply := rpc.FindingsReply{Audit: auditOf(r.AuditID)}
		switch {
		case r.AuditID != auditDirty && r.AuditID != auditClean && r.AuditID != auditStale:
			return reply, fault.New(fault.NotFound, "there is no audit %s", r.AuditID).WithField("audit_id")
		case r.AuditID == auditClean:
		case r.Marker == "" && !r.Repairs: // a finding a page
			reply.Findings, reply.Next = []volume.Finding{theNote}, "1"
		default:
			found, step := theDrift, *theDrift.Repair
			found.Repair, step.Done = &step, r.AuditID == auditStale
			reply.Findings = []volume.Finding{found}
		}
		return reply, nil
	})
}

func auditOf(id string) volume.Audit {
	a := volume.Audit{ID: id, Backend: host, Images: 10, Volumes: 9}
	if id != auditClean {
		a.Drift, a.Notes, a.Repairs, a.Bytes = 1, 1, 1, 3<<30
	}
	return a
}

var (
	theNote  = volume.Finding{Number: 1, Kind: volume.ForeignImage, Note: true, Image: volume.Ref{Name: "evil\x1b[31m"}, Message: "not ours", Hint: "look at it"}
	theDrift = volume.Finding{
		Number: 2, Kind: volume.StraySnapshot, VolumeID: idA, Image: volume.Ref{Name: "volume-" + idA, ImageID: "1f"}, Snapshot: "snapshot-x", Message: "nobody needs it",
		Repair: &volume.Repair{
			Step: 1, Action: volume.RemoveSnapshot, VolumeID: idA, Image: volume.Ref{Name: "volume-" + idA, ImageID: "1f"},
			Snapshot: &volume.ImageSnapshot{Name: "snapshot-x"}, Bytes: 3 << 30, Reason: "it was deleted",
		},
	}
)

func TestAuditVerbs(t *testing.T) {
	f := newFake(t)
	tests := map[string]struct {
		args           string
		code           int
		stdout, stderr []string
	}{
		"drift":           {"audit --backend rbd0", 1, []string{auditDirty, host, "3.0 GiB", "KIND", "foreign_image (note)", `evil\x1b[31m`, "not ours; look at it", "stray_snapshot", "snapshot-x", "nobody needs it"}, []string{"1 differences", "hint: what can be repaired"}},
		"drift, deep":     {"audit --backend rbd0 --deep -o json", 1, []string{`"audits"`, `"findings"`, `"note": true`, `"kind": "stray_snapshot"`, `"step": 1`}, []string{"1 differences"}},
		"no drift":        {"audit --backend rbd0 --request-id clean", 0, []string{auditClean, "0 B"}, nil},
		"no drift, json":  {"audit --backend rbd0 --request-id clean -o json", 0, []string{`"drift": 0`, `"findings": []`}, nil},
		"no wait":         {"audit --backend rbd0 --request-id stuck --wait 0", 0, []string{"METHOD", "op-audit", "audit_backend", "running"}, nil},
		"still running":   {"audit --backend rbd0 --request-id stuck --wait 50ms", 4, []string{"op-audit"}, []string{"is still running", "operation wait op-audit", "audit show " + auditDirty}},
		"still, json":     {"audit --backend rbd0 --request-id stuck --wait 50ms -o json", 4, []string{`"audits": []`, `"operations"`, "op-audit"}, []string{"is still running"}},
		"all backends":    {"audit", 3, []string{auditDirty, "stray_snapshot"}, []string{"nobody answers for node1@rbd1"}},
		"plan":            {"audit repair --plan --backend rbd0", 0, []string{"STEP", "1", "remove_snapshot", idA, "image id 1f", "@snapshot-x", "3.0 GiB", "it was deleted", "-"}, []string{"nothing was changed", "audit repair --apply " + auditDirty}},
		"plan of nothing": {"audit repair --plan --backend rbd0 --request-id clean", 0, []string{auditClean}, nil},
		"apply":           {"audit repair --apply " + auditDirty, 0, []string{auditDirty, "remove_snapshot"}, nil},
		"apply, json":     {"audit repair -o json --apply " + auditDirty, 0, []string{`"repairs": 1`, `"action": "remove_snapshot"`}, nil},
		"overtaken":       {"audit repair --apply " + auditStale, 1, nil, []string{"step 1 has been overtaken", "hint: make a new plan"}},
		"unknown plan":    {"audit repair --apply none", 1, nil, []string{"there is no audit none"}},
		"list":            {"audit list", 0, []string{auditDirty, auditClean}, nil},
		"list of a few":   {"audit list --limit 1 -o json", 0, []string{auditDirty, "}\n  ]\n}\n"}, nil},
		"list of a host":  {"audit list --backend dead -o json", 0, []string{`"audits": []`}, nil},
		"show":            {"audit show " + auditDirty, 0, []string{"DRIFT", "foreign_image", "stray_snapshot"}, nil},
		"show done":       {"audit show " + auditStale, 0, []string{"stray_snapshot", "1 done"}, nil},
		"show json":       {"audit show -o json " + auditDirty, 0, []string{`"audit": {`, `"findings": [`}, nil},

		"neither":         {"audit repair", 2, nil, []string{"plan", "apply"}},
		"both":            {"audit repair --plan --apply x", 2, nil, []string{"plan", "apply"}},
		"apply a backend": {"audit repair --apply x --backend rbd0", 2, nil, []string{"apply", "backend"}},
		"unknown verb":    {"audit begin", 2, nil, []string{`no verb "begin"`, "list, repair, show"}},
		"no id":           {"audit show", 2, nil, []string{"accepts 1 arg"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := f.volumectl(t, strings.Fields(tc.args)...)
			if got.code != tc.code || !inOrder(got.stdout, tc.stdout) || !inOrder(got.stderr, tc.stderr) {
				t.Errorf("want exit %d, %q, %q; got %v", tc.code, tc.stdout, tc.stderr, got)
			}
			if tc.stderr == nil && got.stderr != "" {
				t.Errorf("stderr: %s", got.stderr)
			}
			if strings.Contains(tc.args, "-o json") && !json.Valid([]byte(got.stdout)) {
				t.Errorf("stdout is not one document: %s", got.stdout)
			}
		})
	}
}

// With --request-id, each backend gets an id of its own, and the same one each time.
func TestAuditOfAllIsRepeatable(t *testing.T) {
	f := newFake(t)
	for range 2 {
		f.volumectl(t, "audit", "--request-id", "mine")
	}
	if len(f.calls) != 2 || f.calls[0].RequestID != "mine-"+host || f.calls[1].RequestID != f.calls[0].RequestID {
		t.Errorf("calls %+v", f.calls)
	}
}

func TestQuantity(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 3 << 29: "1.5 GiB", 1<<63 - 1: "8.0 EiB"} {
		if got := quantity(n); got != want {
			t.Errorf("quantity(%s) = %q, want %q", strconv.FormatInt(n, 10), got, want)
		}
	}
}
