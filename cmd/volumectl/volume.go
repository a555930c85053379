package main

import (
	"context"
	"errors"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

func (a *app) volumeNoun() *cobra.Command {
	return noun("volume", "Volumes",
		a.volumeCreate(), a.volumeList(), a.volumeShow(), a.volumeDelete(), a.volumeUndelete(), a.volumeExtend(), a.volumeFlatten(), a.volumeRevert(), a.volumeSet(),
		a.volumeUpload(), a.volumeReimage(), a.volumeRetype(), a.volumeMigrate(),
		a.volumeManage(), a.volumeManageable(), a.volumeUnmanage(), a.volumeWhy())
}

// createFlags are those of volume create.
type createFlags struct {
	change
	backend, snapshot, volume string
	image                     rpc.ImageSource
	req                       rpc.CreateVolumeRequest
}

func (a *app) volumeCreate() *cobra.Command {
	var f createFlags
	cmd := &cobra.Command{
		Use: "create --backend B --size GIB", Short: "Make a volume", Args: cobra.NoArgs,
		Example: `  volumectl volume create --backend rbd0 --size 10 --name data
  volumectl volume create --snapshot 7d1c0a6e-… --name copy
  volumectl volume create --backend rbd0 --size 10 --image https://cloud.example.com/debian.qcow2`,
		RunE: a.verb(func(ctx context.Context, _ []string) error { return a.createVolume(ctx, f) }),
	}
	flags := cmd.Flags()
	flags.StringVar(&f.backend, "backend", "", "host@backend, or the backend's name where only one service has it")
	flags.Int64Var(&f.req.Size, "size", 0, "size in GiB; with a source: that of the source")
	flags.StringVar(&f.req.Name, "name", "", "name of the volume")
	flags.StringVar(&f.req.Description, "description", "", "description of the volume")
	flags.StringToStringVar(&f.req.Metadata, "metadata", nil, "key=value of the volume's metadata")
	flags.StringVar(&f.req.VolumeType, "type", "", "volume type: id or name")
	flags.StringVar(&f.snapshot, "snapshot", "", "snapshot to start from: id or name")
	flags.StringVar(&f.volume, "volume", "", "volume to clone: id or name")
	imageFlags(flags, &f.image, "image")
	cmd.MarkFlagsMutuallyExclusive("snapshot", "volume", "image")
	cmd.MarkFlagsOneRequired("backend", "snapshot", "volume")
	cmd.MarkFlagsOneRequired("size", "snapshot", "volume")
	return f.add(cmd)
}

// createVolume finds where to create, which is where the source is unless
// --backend says otherwise, and creates.
func (a *app) createVolume(ctx context.Context, f createFlags) error {
	var at target
	var err error
	switch {
	case f.snapshot != "":
		at, err = a.snapshotTarget(ctx, f.snapshot, change{})
		f.req.SnapshotID = at.id
	case f.volume != "":
		at, err = a.volumeTarget(ctx, f.volume, change{})
		f.req.SourceVolID = at.id
	}
	if err == nil && f.backend != "" {
		at.service, err = a.service(ctx, f.backend)
	}
	if err != nil {
		return err
	}
	if f.image != (rpc.ImageSource{}) {
		f.req.Image = &f.image
	}
	return a.changeVolume(ctx, f.change, func(ctx context.Context, o rpc.CallOptions) (rpc.VolumeReply, error) {
		return a.client.CreateVolume(ctx, at.service, f.req, o)
	})
}

// changeVolume carries a request about a volume out and prints the volume,
// also when it is not finished.
func (a *app) changeVolume(ctx context.Context, c change, send func(context.Context, rpc.CallOptions) (rpc.VolumeReply, error)) error {
	reply, err := carryOut(ctx, a, c, func(r rpc.VolumeReply) *volume.Operation { return r.Operation }, send)
	if err != nil && exitCode(err) != exitRunning {
		return err
	}
	return errors.Join(a.print(reply, volumeTable(reply.Volume, reply.Operation)), err)
}

func (a *app) volumeDelete() *cobra.Command {
	var c change
	var cascade bool
	cmd := c.add(&cobra.Command{
		Use: "delete ID", Short: "Delete a volume", Args: cobra.ExactArgs(1),
		RunE: a.verb(func(ctx context.Context, args []string) error {
			at, err := a.volumeTarget(ctx, args[0], c)
			if err != nil {
				return err
			}
			return a.changeVolume(ctx, c, func(ctx context.Context, o rpc.CallOptions) (rpc.VolumeReply, error) {
				return a.client.DeleteVolume(ctx, at.service, rpc.DeleteVolumeRequest{VolumeID: at.id, Cascade: cascade}, o)
			})
		}),
	})
	cmd.Flags().BoolVar(&cascade, "cascade", false, "delete its snapshots with it")
	return cmd
}

func (a *app) volumeUndelete() *cobra.Command {
	var c change
	return c.add(&cobra.Command{
		Use: "undelete ID", Short: "Bring a deleted volume back", Args: cobra.ExactArgs(1),
		Long: `Bring a deleted volume back, with the snapshots that were deleted with it.

A backend keeps what is deleted for deferred_deletion_delay seconds if it has
enable_deferred_deletion. volume why ID tells how long a volume is kept.`,
		RunE: a.verb(func(ctx context.Context, args []string) error {
			at, err := a.deletedTarget(ctx, args[0])
			if err != nil {
				return err
			}
			return a.changeVolume(ctx, c, func(ctx context.Context, o rpc.CallOptions) (rpc.VolumeReply, error) {
				return a.client.UndeleteVolume(ctx, at.service, rpc.UndeleteVolumeRequest{VolumeID: at.id}, o)
			})
		}),
	})
}

func (a *app) volumeExtend() *cobra.Command {
	var c change
	var size int64
	cmd := c.add(&cobra.Command{
		Use: "extend ID --size GIB", Short: "Make a volume larger", Args: cobra.ExactArgs(1),
		RunE: a.verb(func(ctx context.Context, args []string) error {
			at, err := a.volumeTarget(ctx, args[0], c)
			if err != nil {
				return err
			}
			return a.changeVolume(ctx, c, func(ctx context.Context, o rpc.CallOptions) (rpc.VolumeReply, error) {
				return a.client.ExtendVolume(ctx, at.service, rpc.ExtendVolumeRequest{VolumeID: at.id, NewSize: size}, o)
			})
		}),
	})
	cmd.Flags().Int64Var(&size, "size", 0, "new size in GiB")
	_ = cmd.MarkFlagRequired("size")
	return cmd
}

func (a *app) volumeFlatten() *cobra.Command {
	var c change
	return c.add(&cobra.Command{
		Use: "flatten ID", Short: "Make a clone independent of its parent", Args: cobra.ExactArgs(1),
		RunE: a.verb(func(ctx context.Context, args []string) error {
			at, err := a.volumeTarget(ctx, args[0], c)
			if err != nil {
				return err
			}
			return a.changeVolume(ctx, c, func(ctx context.Context, o rpc.CallOptions) (rpc.VolumeReply, error) {
				return a.client.FlattenVolume(ctx, at.service, rpc.FlattenVolumeRequest{VolumeID: at.id}, o)
			})
		}),
	})
}

func (a *app) volumeList() *cobra.Command {
	var l list
	var req rpc.ListVolumesRequest
	var cached bool
	cmd := &cobra.Command{
		Use: "list", Short: "List volumes, newest first",
		RunE: a.read(func(ctx context.Context, _ []string) error {
			req.Page = l.page()
			if cached {
				req.ProjectID = volume.CacheProject
			}
			all, err := collect(l, a.client.Volumes(ctx, req))
			if err != nil {
				return err
			}
			return a.print(rpc.VolumesReply{Volumes: all}, volumesTable(all))
		}),
	}
	cmd.Flags().StringVar(&req.Host, "host", "", "only volumes of this host@backend")
	cmd.Flags().StringVar((*string)(&req.Status), "status", "", "only volumes with this status")
	cmd.Flags().StringVar(&req.Name, "name", "", "only volumes with this name")
	cmd.Flags().BoolVar(&cached, "image-cache", false, "only the images that backends keep to clone volumes from; for operators")
	return l.add(cmd)
}

func (a *app) volumeShow() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show a volume", Args: cobra.ExactArgs(1),
		RunE: a.read(func(ctx context.Context, args []string) error {
			id, err := a.volumeID(ctx, args[0])
			if err != nil {
				return err
			}
			reply, err := a.client.GetVolume(ctx, rpc.VolumeIDRequest{VolumeID: id})
			if err != nil {
				return err
			}
			return a.print(reply, volumeTable(reply.Volume, nil))
		}),
	}
}

func volumesTable(all []volume.Volume) table {
	t := table{head: []string{"ID", "NAME", "STATUS", "SIZE", "HOST", "CREATED AT"}}
	for _, v := range all {
		t.rows = append(t.rows, []string{v.ID, v.Name, string(v.Status), strconv.FormatInt(v.Size, 10), v.Host, stamp(v.CreatedAt)})
	}
	return t
}

func volumeTable(v volume.Volume, op *volume.Operation) table {
	t := table{rows: [][]string{
		pair("id", v.ID), pair("name", v.Name), pair("status", v.Status), pair("size", strconv.FormatInt(v.Size, 10)+" GiB"),
		pair("host", v.Host), pair("type", v.VolumeTypeID), pair("attached", v.AttachStatus), pair("project", v.ProjectID),
		pair("source", or(v.SnapshotID, v.SourceVolID)), pair("migration", v.MigrationStatus), pair("description", v.Description), pair("created at", stamp(v.CreatedAt)),
	}}
	for key, value := range sorted(v.Metadata) {
		t.rows = append(t.rows, pair("metadata "+key, value))
	}
	for key, value := range sorted(v.ImageMetadata) {
		t.rows = append(t.rows, pair("image "+key, value))
	}
	return t.withOperation(op)
}
