package main

import (
	"context"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/volumed/volumed/rpc"
)

func (a *app) imageNoun() *cobra.Command {
	save := a.volumeUpload()
	save.Use = "save VOLUME --to URL"
	return noun("image", "Images", save)
}

// imageFlags are those that name an image to be brought in, the URL by the flag of that
// name.
func imageFlags(flags *pflag.FlagSet, r *rpc.ImageSource, name string) {
	flags.StringVar(&r.URL, name, "", "image: file:///…, http(s)://… or rbd://fsid/pool/image/snapshot, as far as the service allows it")
	flags.StringVar(&r.Format, "image-format", "", "format of the image: raw, qcow2, vmdk, vhdx, vpc or vdi; it is found out otherwise")
	flags.StringVar(&r.Checksum, "image-checksum", "", "checksum of the image: sha256:… or sha512:…")
}

func (a *app) volumeUpload() *cobra.Command {
	var c change
	var req rpc.CopyVolumeToImageRequest
	cmd := c.add(&cobra.Command{
		Use: "upload ID --to URL", Short: "Write what a volume holds into an image", Args: cobra.ExactArgs(1),
		Long: `Write what a volume holds, as it is at one moment, into an image: a file that is
not there yet, below a directory that the service allows, or a web server that
takes a PUT.`,
		Example: "  volumectl volume upload data --to file:///srv/images/data.qcow2 --format qcow2",
		RunE: a.verb(func(ctx context.Context, args []string) error {
			at, err := a.volumeTarget(ctx, args[0], c)
			if err != nil {
				return err
			}
			req.VolumeID = at.id
			return a.changeVolume(ctx, c, func(ctx context.Context, o rpc.CallOptions) (rpc.VolumeReply, error) {
				return a.client.CopyVolumeToImage(ctx, at.service, req, o)
			})
		}),
	})
	cmd.Flags().StringVar(&req.Image.URL, "to", "", "where to: file:///… or http(s)://…")
	cmd.Flags().StringVar(&req.Image.Format, "format", "", "format of the image, raw or qcow2 (default raw)")
	cmd.Flags().BoolVar(&req.Force, "force", false, "also of a volume that is in use: the image is what a loss of power would have left")
	_ = cmd.MarkFlagRequired("to")
	return cmd
}

func (a *app) volumeReimage() *cobra.Command {
	var c change
	var req rpc.ReimageRequest
	cmd := c.add(&cobra.Command{
		Use: "reimage ID --image URL", Short: "Replace what a volume holds by an image", Args: cobra.ExactArgs(1),
		Long: `Replace what a volume holds by an image. What it held is lost as soon as the
image begins to be written; if that fails, the volume is left in error, and can be
reimaged again. Its snapshots stay as they are.`,
		RunE: a.verb(func(ctx context.Context, args []string) error {
			at, err := a.volumeTarget(ctx, args[0], c)
			if err != nil {
				return err
			}
			req.VolumeID = at.id
			return a.changeVolume(ctx, c, func(ctx context.Context, o rpc.CallOptions) (rpc.VolumeReply, error) {
				return a.client.Reimage(ctx, at.service, req, o)
			})
		}),
	})
	imageFlags(cmd.Flags(), &req.Image, "image")
	_ = cmd.MarkFlagRequired("image")
	return cmd
}
