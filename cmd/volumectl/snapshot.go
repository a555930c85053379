package main

import (
	"context"
	"errors"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

func (a *app) snapshotNoun() *cobra.Command {
	return noun("snapshot", "Snapshots of volumes", a.snapshotCreate(), a.snapshotList(), a.snapshotShow(), a.snapshotDelete(), a.snapshotSet(),
		a.snapshotManage(), a.snapshotManageable(), a.snapshotUnmanage(), a.snapshotWhy())
}

func (a *app) snapshotCreate() *cobra.Command {
	var c change
	var req rpc.CreateSnapshotRequest
	var of string
	cmd := c.add(&cobra.Command{
		Use: "create --volume ID", Short: "Take a snapshot", Args: cobra.NoArgs,
		RunE: a.verb(func(ctx context.Context, _ []string) error {
			at, err := a.volumeTarget(ctx, of, c)
			if err != nil {
				return err
			}
			req.VolumeID = at.id
			return a.changeSnapshot(ctx, c, func(ctx context.Context, o rpc.CallOptions) (rpc.SnapshotReply, error) {
				return a.client.CreateSnapshot(ctx, at.service, req, o)
			})
		}),
	})
	cmd.Flags().StringVar(&of, "volume", "", "volume: id or name")
	cmd.Flags().StringVar(&req.Name, "name", "", "name of the snapshot")
	cmd.Flags().StringVar(&req.Description, "description", "", "description of the snapshot")
	cmd.Flags().StringToStringVar(&req.Metadata, "metadata", nil, "key=value of the snapshot's metadata")
	_ = cmd.MarkFlagRequired("volume")
	return cmd
}

// changeSnapshot is changeVolume for snapshots.
func (a *app) changeSnapshot(ctx context.Context, c change, send func(context.Context, rpc.CallOptions) (rpc.SnapshotReply, error)) error {
	reply, err := carryOut(ctx, a, c, func(r rpc.SnapshotReply) *volume.Operation { return r.Operation }, send)
	if err != nil && exitCode(err) != exitRunning {
		return err
	}
	return errors.Join(a.print(reply, snapshotTable(reply.Snapshot, reply.Operation)), err)
}

func (a *app) snapshotDelete() *cobra.Command {
	var c change
	return c.add(&cobra.Command{
		Use: "delete ID", Short: "Delete a snapshot", Args: cobra.ExactArgs(1),
		RunE: a.verb(func(ctx context.Context, args []string) error {
			at, err := a.snapshotTarget(ctx, args[0], c)
			if err != nil {
				return err
			}
			return a.changeSnapshot(ctx, c, func(ctx context.Context, o rpc.CallOptions) (rpc.SnapshotReply, error) {
				return a.client.DeleteSnapshot(ctx, at.service, rpc.DeleteSnapshotRequest{SnapshotID: at.id}, o)
			})
		}),
	})
}

func (a *app) snapshotList() *cobra.Command {
	var l list
	var req rpc.ListSnapshotsRequest
	var of string
	cmd := &cobra.Command{
		Use: "list", Short: "List snapshots, newest first",
		RunE: a.read(func(ctx context.Context, _ []string) (err error) {
			if of != "" {
				if req.VolumeID, err = a.volumeID(ctx, of); err != nil {
					return err
				}
			}
			req.Page = l.page()
			all, err := collect(l, a.client.Snapshots(ctx, req))
			if err != nil {
				return err
			}
			return a.print(rpc.SnapshotsReply{Snapshots: all}, snapshotsTable(all))
		}),
	}
	cmd.Flags().StringVar(&of, "volume", "", "only snapshots of this volume: id or name")
	cmd.Flags().StringVar((*string)(&req.Status), "status", "", "only snapshots with this status")
	cmd.Flags().StringVar(&req.Name, "name", "", "only snapshots with this name")
	return l.add(cmd)
}

func (a *app) snapshotShow() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show a snapshot", Args: cobra.ExactArgs(1),
		RunE: a.read(func(ctx context.Context, args []string) error {
			id, err := a.snapshotID(ctx, args[0])
			if err != nil {
				return err
			}
			reply, err := a.client.GetSnapshot(ctx, rpc.SnapshotIDRequest{SnapshotID: id})
			if err != nil {
				return err
			}
			return a.print(reply, snapshotTable(reply.Snapshot, nil))
		}),
	}
}

func snapshotsTable(all []volume.Snapshot) table {
	t := table{head: []string{"ID", "NAME", "STATUS", "SIZE", "VOLUME", "CREATED AT"}}
	for _, s := range all {
		t.rows = append(t.rows, []string{s.ID, s.Name, string(s.Status), strconv.FormatInt(s.VolumeSize, 10), s.VolumeID, stamp(s.CreatedAt)})
	}
	return t
}

func snapshotTable(s volume.Snapshot, op *volume.Operation) table {
	t := table{rows: [][]string{
		pair("id", s.ID), pair("name", s.Name), pair("status", s.Status), pair("volume", s.VolumeID),
		pair("size", strconv.FormatInt(s.VolumeSize, 10)+" GiB"), pair("project", s.ProjectID),
		pair("description", s.Description), pair("created at", stamp(s.CreatedAt)),
	}}
	for key, value := range sorted(s.Metadata) {
		t.rows = append(t.rows, pair("metadata "+key, value))
	}
	return t.withOperation(op)
}
