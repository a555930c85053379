package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/volumed/volumed/rpc"
)

// migrateWait is the value of --wait where a whole volume is copied.
const migrateWait = 10 * time.Minute

func (a *app) volumeMigrate() *cobra.Command {
	var c change
	var to, name string
	var verify bool
	cmd := &cobra.Command{
		Use: "migrate ID --to BACKEND", Short: "Move a volume to another backend", Args: cobra.ExactArgs(1),
		Long: `Move a volume to another backend, with its snapshots, to another pool or another
cluster. Nobody may have it open, and until it has moved nobody can attach it.
What depends on the volume, such as a clone, keeps the old image until it is gone.
operation cancel stops it and leaves the volume where it was.`,
		RunE: a.verb(func(ctx context.Context, args []string) error {
			at, err := a.volumeTarget(ctx, args[0], c)
			if err == nil {
				at, err = a.mover(ctx, at, c)
			}
			if err != nil {
				return err
			}
			req := rpc.MigrateVolumeRequest{VolumeID: at.id, NewType: name, Verify: verify}
			if req.Host, err = a.service(ctx, to); err != nil {
				return err
			}
			return a.changeVolume(ctx, c, func(ctx context.Context, o rpc.CallOptions) (rpc.VolumeReply, error) {
				return a.client.MigrateVolume(ctx, at.service, req, o)
			})
		}),
	}
	c.addWaiting(cmd, migrateWait)
	cmd.Flags().StringVar(&to, "to", "", "host@backend, or the backend's name where only one service has it")
	cmd.Flags().StringVar(&name, "type", "", "volume type that it gets there: id or name")
	cmd.Flags().BoolVar(&verify, "verify", false, "read the copy back and compare it, with every snapshot, before the volume leaves")
	_ = cmd.MarkFlagRequired("to")
	return cmd
}

// mover returns the service that is asked, which for a repetition is the one that was
// asked before: the volume may have left it.
func (a *app) mover(ctx context.Context, at target, c change) (target, error) {
	if !c.named {
		return at, nil
	}
	for op, err := range a.client.Operations(ctx, rpc.ListOperationsRequest{ResourceID: at.id}) {
		if err != nil {
			return at, err
		}
		if op.RequestID == c.requestID {
			return target{at.id, op.Backend}, nil
		}
	}
	return at, nil
}
