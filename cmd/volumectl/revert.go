package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/volumed/volumed/rpc"
)

func (a *app) volumeRevert() *cobra.Command {
	var c change
	var to string
	cmd := c.add(&cobra.Command{
		Use: "revert ID --snapshot SNAPSHOT", Short: "Give a volume the content of one of its snapshots", Args: cobra.ExactArgs(1),
		Long: `Give a volume the content that it had when one of its snapshots was taken, whichever
that is. What was written since is lost, unless another snapshot has it; its size and
all its snapshots stay. The volume must not be in use.

Once the rollback has begun it cannot be cancelled. Whatever dies meanwhile, it is
brought to its end.`,
		RunE: a.verb(func(ctx context.Context, args []string) error {
			at, err := a.volumeTarget(ctx, args[0], c)
			if err != nil {
				return err
			}
			snapshot, err := a.snapshotTarget(ctx, to, c)
			if err != nil {
				return err
			}
			return a.changeVolume(ctx, c, func(ctx context.Context, o rpc.CallOptions) (rpc.VolumeReply, error) {
				return a.client.RevertToSnapshot(ctx, at.service, rpc.RevertToSnapshotRequest{VolumeID: at.id, SnapshotID: snapshot.id}, o)
			})
		}),
	})
	cmd.Flags().StringVar(&to, "snapshot", "", "snapshot to go back to: id or name")
	_ = cmd.MarkFlagRequired("snapshot")
	return cmd
}
