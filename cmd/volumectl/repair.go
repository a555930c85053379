package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

func (a *app) auditRepair() *cobra.Command {
	var f auditing
	var plan bool
	var apply string
	cmd := &cobra.Command{
		Use: "repair --plan [--backend B] [--deep] | --apply ID", Short: "Plan repairs, or carry a plan out", Args: cobra.NoArgs,
		Long: `Plan repairs of what has drifted, or carry a plan out.

--plan audits and prints what would be done, in numbered steps; nothing is changed.
--apply does exactly the steps of the plan with that id, once, and refuses them
when the world has changed since. Only images and snapshots that the tables prove
to be of this service are ever removed.`,
		RunE: a.verb(func(ctx context.Context, _ []string) error {
			if plan {
				return a.plan(ctx, f)
			}
			return a.apply(ctx, f.change, apply)
		}),
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&plan, "plan", false, "audit, and print the steps that would repair what has drifted")
	cmd.Flags().StringVar(&apply, "apply", "", "id of the plan to carry out")
	cmd.MarkFlagsOneRequired("plan", "apply")
	cmd.MarkFlagsMutuallyExclusive("plan", "apply")
	cmd.MarkFlagsMutuallyExclusive("apply", "backend")
	cmd.MarkFlagsMutuallyExclusive("apply", "deep")
	return cmd
}

// plan audits, and prints the plans.
func (a *app) plan(ctx context.Context, f auditing) error {
	doc, err := a.auditAll(ctx, f, rpc.GetAuditRequest{Repairs: true})
	err = a.printAudits(doc, stepsTable(doc.Audits), err)
	for _, r := range doc.Audits {
		if r.Audit.Repairs > 0 {
			fmt.Fprintf(a.stderr, "volumectl: nothing was changed; to carry out the plan of %s: volumectl audit repair --apply %s\n", escape(r.Audit.Backend), r.Audit.ID)
		}
	}
	return err
}

// apply carries a plan out, and prints what has become of its steps.
func (a *app) apply(ctx context.Context, c change, id string) error {
	known, err := a.client.GetAudit(ctx, rpc.GetAuditRequest{AuditID: id, Page: rpc.Page{Limit: 1}})
	if err != nil {
		return err
	}
	_, err = carryOut(ctx, a, c, auditOperation, func(ctx context.Context, o rpc.CallOptions) (rpc.AuditReply, error) {
		return a.client.ApplyRepairs(ctx, known.Audit.Backend, rpc.ApplyRepairsRequest{AuditID: id}, o)
	})
	if err != nil && exitCode(err) != exitRunning {
		return err
	}
	r, readErr := a.findings(ctx, rpc.GetAuditRequest{AuditID: id, Repairs: true})
	if readErr != nil {
		return errors.Join(err, readErr)
	}
	return errors.Join(a.print(r, auditsTable([]volume.Audit{r.Audit}), stepsTable([]rpc.FindingsReply{r})), err)
}

// stepsTable shows the steps of plans.
func stepsTable(reports []rpc.FindingsReply) table {
	t := table{head: []string{"STEP", "ACTION", "VOLUME", "IMAGE", "DETAIL", "AT MOST", "REASON", "DONE"}}
	for _, r := range reports {
		for _, f := range r.Findings {
			step := f.Repair
			done := ""
			if step.Done {
				done = "done"
			}
			size := ""
			if step.Bytes > 0 {
				size = quantity(step.Bytes)
			}
			t.rows = append(t.rows, []string{
				strconv.Itoa(step.Step), string(step.Action), step.VolumeID, step.Image.String(), detail(step), size, step.Reason, done,
			})
		}
	}
	if len(t.rows) == 0 {
		return table{}
	}
	return t
}

// detail says what a step does with its image or row.
func detail(r *volume.Repair) string {
	switch {
	case r.Snapshot != nil:
		return "@" + r.Snapshot.Name
	case r.Lock != nil:
		return r.Lock.String()
	case r.Key != "":
		return r.Key
	case r.Size > 0:
		return "to " + strconv.FormatInt(r.Size, 10) + " GiB"
	case r.SnapshotID != "":
		return "snapshot " + r.SnapshotID + " to " + r.To
	case r.To != "":
		return "to " + r.To
	default:
		return ""
	}
}
