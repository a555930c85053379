package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

func (a *app) volumeWhy() *cobra.Command {
	return &cobra.Command{
		Use: "why ID", Short: "Tell what a volume waits for or why it failed", Args: cobra.ExactArgs(1),
		Long: "Tell what a volume waits for or why it failed, also of a deleted volume, which has only its id.",
		RunE: a.read(func(ctx context.Context, args []string) error {
			id, err := a.volumeID(ctx, args[0])
			if err != nil {
				return err
			}
			return a.tellWhy(ctx, rpc.WhyRequest{VolumeID: id})
		}),
	}
}

func (a *app) snapshotWhy() *cobra.Command {
	return &cobra.Command{
		Use: "why ID", Short: "Tell what a snapshot waits for or why it failed", Args: cobra.ExactArgs(1),
		RunE: a.read(func(ctx context.Context, args []string) error {
			id, err := a.snapshotID(ctx, args[0])
			if err != nil {
				return err
			}
			return a.tellWhy(ctx, rpc.WhyRequest{SnapshotID: id})
		}),
	}
}

// tellWhy prints the sentences, and below them what happened last.
func (a *app) tellWhy(ctx context.Context, req rpc.WhyRequest) error {
	reply, err := a.client.Why(ctx, req)
	if err != nil {
		return err
	}
	if a.format != "json" {
		fmt.Fprintln(a.stdout, escape(reply.Summary)+".")
		for _, c := range reply.Causes {
			fmt.Fprintln(a.stdout, "- "+escape(c.Text))
			if c.Hint != "" {
				fmt.Fprintln(a.stdout, "  What to do: "+escape(c.Hint)+".")
			}
		}
		fmt.Fprintln(a.stdout)
	}
	return a.print(reply, lastOperations(reply.Operations), lastEvents(reply.Events))
}

func lastOperations(ops []volume.Operation) table {
	if len(ops) == 0 {
		return table{}
	}
	t := table{head: []string{"LAST OPERATIONS", "METHOD", "STATUS", "PROGRESS", "CREATED AT", "FINISHED AT"}}
	for _, op := range ops {
		t.rows = append(t.rows, []string{
			op.ID, op.Method, string(op.Status), strconv.Itoa(op.Progress) + "%", stamp(op.CreatedAt), stamp(op.FinishedAt),
		})
	}
	return t
}

func lastEvents(events []volume.Event) table {
	if len(events) == 0 {
		return table{}
	}
	t := table{head: []string{"LAST EVENTS", "AT", "OPERATION"}}
	for _, e := range events {
		t.rows = append(t.rows, []string{e.What, stamp(e.CreatedAt), e.OperationID})
	}
	return t
}
