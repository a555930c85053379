package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

func (a *app) operationNoun() *cobra.Command {
	return noun("operation", "Operations: what was asked, and what became of it",
		a.operationList(), a.operationShow(), a.operationWait(), a.operationCancel())
}

func (a *app) operationList() *cobra.Command {
	var l list
	var req rpc.ListOperationsRequest
	var backend string
	cmd := &cobra.Command{
		Use: "list", Short: "List operations, newest first",
		RunE: a.read(func(ctx context.Context, _ []string) (err error) {
			if backend != "" {
				if req.Backend, err = a.service(ctx, backend); err != nil {
					return err
				}
			}
			req.Page = l.page()
			all, err := collect(l, a.client.Operations(ctx, req))
			if err != nil {
				return err
			}
			return a.print(rpc.OperationsReply{Operations: all}, operationsTable(all))
		}),
	}
	cmd.Flags().StringVar(&backend, "backend", "", "only operations of this backend")
	cmd.Flags().StringVar((*string)(&req.Status), "status", "", "only operations with this status")
	cmd.Flags().StringVar(&req.Method, "method", "", "only operations of this method")
	cmd.Flags().StringVar(&req.ResourceID, "resource", "", "only operations on the volume or snapshot with this id")
	cmd.Flags().BoolVar(&req.Unfinished, "unfinished", false, "only operations that have not ended")
	return l.add(cmd)
}

func (a *app) operationShow() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show an operation", Args: cobra.ExactArgs(1),
		RunE: a.read(func(ctx context.Context, args []string) error {
			reply, err := a.client.GetOperation(ctx, rpc.OperationRequest{OperationID: args[0]})
			if err != nil {
				return err
			}
			return a.printOperation(reply.Operation)
		}),
	}
}

func (a *app) operationWait() *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use: "wait ID", Short: "Wait for the end of an operation", Args: cobra.ExactArgs(1),
		RunE: a.verb(func(ctx context.Context, args []string) error {
			op, err := a.end(ctx, args[0], wait)
			if err != nil {
				return err
			}
			if op.Status.Terminal() && op.Status != volume.Succeeded {
				return outcome(op)
			}
			return errors.Join(a.printOperation(op), running(op))
		}),
	}
	cmd.Flags().DurationVar(&wait, "wait", defaultWait, "how long to wait")
	return cmd
}

// end waits for the end of an operation and returns its last state, whether it
// has ended or not.
func (a *app) end(ctx context.Context, id string, wait time.Duration) (volume.Operation, error) {
	ctx, cancel := context.WithTimeout(ctx, wait+patience)
	defer cancel()
	reply, err := a.client.GetOperation(ctx, rpc.OperationRequest{OperationID: id})
	if err != nil || reply.Operation.Status.Terminal() || wait == 0 {
		return reply.Operation, err
	}
	return a.watch(ctx, reply.Operation, time.Now().Add(wait)), nil
}

// running is the error of an operation that has not ended.
func running(op volume.Operation) error {
	if op.Status.Terminal() {
		return nil
	}
	return stillRunning(op)
}

func (a *app) operationCancel() *cobra.Command {
	var c change
	return c.add(&cobra.Command{
		Use: "cancel ID", Short: "Ask an operation to stop and leave nothing behind", Args: cobra.ExactArgs(1),
		Long: "Ask an operation to stop and leave nothing behind. An operation that ended before it was asked stays as it ended.",
		RunE: a.verb(func(ctx context.Context, args []string) error {
			op, err := a.cancelOperation(ctx, args[0], c)
			if err != nil {
				return err
			}
			if c.wait > 0 {
				if op, err = a.end(ctx, op.ID, c.wait); err != nil {
					return err
				}
				return errors.Join(a.printOperation(op), running(op))
			}
			return a.printOperation(op)
		}),
	})
}

func (a *app) cancelOperation(ctx context.Context, id string, c change) (volume.Operation, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req := rpc.OperationRequest{OperationID: id}
	reply, err := a.client.GetOperation(ctx, req)
	if err != nil || reply.Operation.Status.Terminal() {
		return reply.Operation, err
	}
	reply, err = a.client.CancelOperation(ctx, reply.Operation.Backend, req, rpc.CallOptions{RequestID: c.requestID})
	return reply.Operation, err
}

func (a *app) printOperation(op volume.Operation) error {
	return a.print(rpc.OperationReply{Operation: op}, operationTable(op))
}

func operationsTable(all []volume.Operation) table {
	t := table{head: []string{"ID", "METHOD", "RESOURCE", "STATUS", "PROGRESS", "BACKEND", "CREATED AT", "REASON"}}
	for _, op := range all {
		t.rows = append(t.rows, []string{
			op.ID, op.Method, fmt.Sprint(op.Resource), string(op.Status), strconv.Itoa(op.Progress) + "%",
			op.Backend, stamp(op.CreatedAt), why(op),
		})
	}
	return t
}

func operationTable(op volume.Operation) table {
	blockers, hint := op.BlockedBy, op.Hint
	if op.Error != nil {
		blockers, hint = op.Error.BlockedBy, op.Error.Hint
	}
	return table{rows: [][]string{
		pair("id", op.ID), pair("request id", op.RequestID), pair("method", op.Method), pair("resource", op.Resource),
		pair("backend", op.Backend), pair("status", op.Status), pair("step", op.Step), pair("progress", strconv.Itoa(op.Progress)+"%"),
		pair("attempt", op.Attempt), pair("reason", why(op)), pair("blocked by", strings.Join(blockers, ", ")), pair("hint", hint),
		pair("next try", stamp(op.NextTry)), pair("created at", stamp(op.CreatedAt)),
		pair("started at", stamp(op.StartedAt)), pair("finished at", stamp(op.FinishedAt)),
	}}
}

// why says why an operation waits or failed.
func why(op volume.Operation) string {
	if op.Error != nil {
		return op.Error.Message
	}
	return op.Reason
}

// withOperation adds a row that tells of an operation that has not ended.
func (t table) withOperation(op *volume.Operation) table {
	if op != nil && !op.Status.Terminal() {
		t.rows = append(t.rows, pair("operation", op.ID+" "+string(op.Status)))
	}
	return t
}

// sorted yields a map in the order of its keys.
func sorted(m map[string]string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}
