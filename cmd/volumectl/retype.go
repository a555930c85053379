package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/volumed/volumed/rpc"
)

func (a *app) volumeRetype() *cobra.Command {
	var c change
	var name, to string
	cmd := c.add(&cobra.Command{
		Use: "retype ID --type TYPE", Short: "Give a volume another type", Args: cobra.ExactArgs(1),
		Long: `Give a volume another type. Limits that the back-end enforces change at once, also
while the volume is attached. The type that the volume has is applied anew.`,
		RunE: a.verb(func(ctx context.Context, args []string) error {
			at, err := a.volumeTarget(ctx, args[0], c)
			if err == nil {
				at, err = a.mover(ctx, at, c)
			}
			if err != nil {
				return err
			}
			req := rpc.RetypeRequest{VolumeID: at.id, NewType: name}
			if to != "" {
				req.MigrationPolicy = rpc.MigrateOnDemand
				if req.Host, err = a.service(ctx, to); err != nil {
					return err
				}
			}
			return a.changeVolume(ctx, c, func(ctx context.Context, o rpc.CallOptions) (rpc.VolumeReply, error) {
				return a.client.Retype(ctx, at.service, req, o)
			})
		}),
	})
	cmd.Flags().StringVar(&name, "type", "", "volume type: id or name")
	cmd.Flags().StringVar(&to, "to", "", "move it there for the type: host@backend, or the backend's name where only one service has it")
	_ = cmd.MarkFlagRequired("type")
	return cmd
}
