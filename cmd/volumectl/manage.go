package main

import (
	"context"
	"errors"
	"regexp"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
)

// manageFlags are those of volume manage.
type manageFlags struct {
	change
	backend           string
	keepID, all, plan bool
	req               rpc.ManageExistingRequest
}

func (a *app) volumeManage() *cobra.Command {
	var f manageFlags
	cmd := f.add(&cobra.Command{
		Use: "manage IMAGE|--all --backend B", Short: "Take an image that others have made over as a volume",
		Long: `Take an image of the backend's pool over as a volume, without copying it. It is renamed
after the volume, and grown to whole GiB.

With --keep-id the volume gets the id that the name of the image holds, as those that
cinder-volume has made do; the image keeps its name. --as-deleted takes over an image
volume-ID.deleted, which cinder-volume keeps for the clones of a deleted volume: it is
purged once no clone needs it.

--all takes over whatever the name of which holds an id: volumes, what is kept of
deleted ones, and snapshots. --plan only tells what that would be.`,
		Example: `  volumectl volume manage theirs --backend rbd0 --name data
  volumectl volume manage --all --backend rbd0 --owner 5f3c… --plan`,
		Args: cobra.MaximumNArgs(1),
		RunE: a.verb(func(ctx context.Context, args []string) error {
			service, err := a.service(ctx, f.backend)
			if err != nil {
				return err
			}
			if f.all {
				return a.manageAll(ctx, service, f)
			}
			return a.manageVolume(ctx, service, args[0], f)
		}),
	})
	flags := cmd.Flags()
	flags.StringVar(&f.backend, "backend", "", "host@backend, or the backend's name where only one service has it")
	flags.StringVar(&f.req.Name, "name", "", "name of the volume")
	flags.StringVar(&f.req.Description, "description", "", "description of the volume")
	flags.StringToStringVar(&f.req.Metadata, "metadata", nil, "key=value of the volume's metadata")
	flags.StringVar(&f.req.ProjectID, "owner", "", "project that the volume belongs to")
	flags.StringVar(&f.req.VolumeID, "id", "", "id that the volume shall have")
	flags.StringVar(&f.req.SourceID, "image-id", "", "id of the image: one of that name with another is refused")
	flags.Int64Var(&f.req.Size, "size", 0, "size in GiB, rounded up, that the image must have")
	flags.StringVar(&f.req.VolumeType, "type", "", "volume type: id or name")
	flags.BoolVar(&f.req.Bootable, "bootable", false, "machines can be started from the volume")
	flags.BoolVar(&f.keepID, "keep-id", false, "give the volume the id in the name of the image")
	flags.BoolVar(&f.req.AsDeleted, "as-deleted", false, "take it over as a deleted volume")
	flags.BoolVar(&f.all, "all", false, "take over everything whose name holds an id")
	flags.BoolVar(&f.plan, "plan", false, "with --all: only tell what would be done")
	_ = cmd.MarkFlagRequired("backend")
	cmd.MarkFlagsMutuallyExclusive("id", "keep-id", "as-deleted", "all")
	for _, one := range []string{"name", "image-id", "size"} {
		cmd.MarkFlagsMutuallyExclusive(one, "all")
	}
	prepare := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case f.all == (len(args) == 1):
			return errors.New("name one image, or give --all")
		case f.plan && !f.all:
			return errors.New("--plan goes with --all")
		}
		return prepare(cmd, args)
	}
	return cmd
}

func (a *app) manageVolume(ctx context.Context, service, image string, f manageFlags) (err error) {
	f.req.SourceName = image
	if f.keepID {
		if f.req.VolumeID, err = idIn(image); err != nil {
			return err
		}
	}
	return a.changeVolume(ctx, f.change, func(ctx context.Context, o rpc.CallOptions) (rpc.VolumeReply, error) {
		return a.client.ManageExisting(ctx, service, f.req, o)
	})
}

var uuidPattern = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// idIn returns the one id that a name holds.
func idIn(name string) (string, error) {
	ids := uuidPattern.FindAllString(name, -1)
	if len(ids) != 1 {
		return "", fault.New(fault.Invalid, "the name %q does not hold one id", name).WithHint("give the id, or leave --keep-id out")
	}
	return ids[0], nil
}

// listingWait is how long one page of what is in a pool may take.
const listingWait = 30 * time.Second

// order holds the flags of every verb that lists what can be managed.
type order struct{ key, dir string }

func (o *order) add(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().Var(newChoice(&o.key, rpc.SortByReference, rpc.SortBySize), "sort-key", "order of the list")
	cmd.Flags().Var(newChoice(&o.dir, rpc.Ascending, rpc.Descending), "sort-dir", "direction of the order")
	return cmd
}

func (a *app) volumeManageable() *cobra.Command {
	var l list
	var o order
	var backend string
	cmd := o.add(&cobra.Command{
		Use: "manageable --backend B", Short: "List the images in a pool, and whether they can be managed",
		RunE: a.verb(func(ctx context.Context, _ []string) error {
			service, err := a.service(ctx, backend)
			if err != nil {
				return err
			}
			req := rpc.ManageableVolumesRequest{Page: l.page(), SortKey: o.key, SortDir: o.dir}
			all, err := collect(l, a.client.ManageableVolumes(ctx, service, req, rpc.CallOptions{Wait: listingWait}))
			if err != nil {
				return err
			}
			return a.print(rpc.ManageableVolumesReply{ManageableVolumes: all}, manageableTable(all))
		}),
	})
	cmd.Flags().StringVar(&backend, "backend", "", "host@backend, or the backend's name where only one service has it")
	_ = cmd.MarkFlagRequired("backend")
	return l.add(cmd)
}

func manageableTable(all []rpc.ManageableVolume) table {
	t := table{head: []string{"IMAGE", "SIZE", "SAFE", "REASON", "VOLUME", "PARENT", "SNAPSHOTS"}}
	for _, m := range all {
		parent := m.ExtraInfo.ParentName
		if p := m.ExtraInfo.Parent; p != nil && parent == "" {
			parent = p.ImageID + " " + p.Pool
		}
		t.rows = append(t.rows, []string{
			m.Reference.SourceName, strconv.FormatInt(m.Size, 10), yes(m.SafeToManage), m.ReasonNotSafe, m.CinderID, parent,
			strconv.Itoa(m.ExtraInfo.Snapshots),
		})
	}
	return t
}

func yes(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}

func (a *app) volumeUnmanage() *cobra.Command {
	var c change
	var cascade bool
	cmd := c.add(&cobra.Command{
		Use: "unmanage ID", Short: "Forget a volume, and leave its image as it is", Args: cobra.ExactArgs(1),
		RunE: a.verb(func(ctx context.Context, args []string) error {
			at, err := a.volumeTarget(ctx, args[0], c)
			if err != nil {
				return err
			}
			return a.changeVolume(ctx, c, func(ctx context.Context, o rpc.CallOptions) (rpc.VolumeReply, error) {
				return a.client.DeleteVolume(ctx, at.service, rpc.DeleteVolumeRequest{VolumeID: at.id, Cascade: cascade, UnmanageOnly: true}, o)
			})
		}),
	})
	cmd.Flags().BoolVar(&cascade, "cascade", false, "forget its snapshots with it")
	return cmd
}

func (a *app) snapshotManage() *cobra.Command {
	var c change
	var req rpc.ManageExistingSnapshotRequest
	var of string
	var keepID bool
	cmd := c.add(&cobra.Command{
		Use: "manage SNAPSHOT --volume ID", Short: "Take a snapshot over that others have taken of a volume's image", Args: cobra.ExactArgs(1),
		RunE: a.verb(func(ctx context.Context, args []string) error {
			at, err := a.volumeTarget(ctx, of, c)
			if err != nil {
				return err
			}
			req.VolumeID, req.SourceName = at.id, args[0]
			if keepID {
				if req.SnapshotID, err = idIn(req.SourceName); err != nil {
					return err
				}
			}
			return a.changeSnapshot(ctx, c, func(ctx context.Context, o rpc.CallOptions) (rpc.SnapshotReply, error) {
				return a.client.ManageExistingSnapshot(ctx, at.service, req, o)
			})
		}),
	})
	cmd.Flags().StringVar(&of, "volume", "", "volume: id or name")
	cmd.Flags().StringVar(&req.Name, "name", "", "name of the snapshot")
	cmd.Flags().StringVar(&req.Description, "description", "", "description of the snapshot")
	cmd.Flags().StringToStringVar(&req.Metadata, "metadata", nil, "key=value of the snapshot's metadata")
	cmd.Flags().BoolVar(&keepID, "keep-id", false, "give the snapshot the id in its name on the image")
	_ = cmd.MarkFlagRequired("volume")
	return cmd
}

func (a *app) snapshotManageable() *cobra.Command {
	var l list
	var o order
	var backend, of string
	cmd := o.add(&cobra.Command{
		Use: "manageable --backend B|--volume ID", Short: "List the snapshots in a pool, and whether they can be managed",
		RunE: a.verb(func(ctx context.Context, _ []string) (err error) {
			var at target
			if of != "" {
				at, err = a.volumeTarget(ctx, of, change{})
			} else {
				at.service, err = a.service(ctx, backend)
			}
			if err != nil {
				return err
			}
			req := rpc.ManageableSnapshotsRequest{Page: l.page(), VolumeID: at.id, SortKey: o.key, SortDir: o.dir}
			all, err := collect(l, a.client.ManageableSnapshots(ctx, at.service, req, rpc.CallOptions{Wait: listingWait}))
			if err != nil {
				return err
			}
			return a.print(rpc.ManageableSnapshotsReply{ManageableSnapshots: all}, manageableSnapshotsTable(all))
		}),
	})
	cmd.Flags().StringVar(&backend, "backend", "", "host@backend, or the backend's name where only one service has it")
	cmd.Flags().StringVar(&of, "volume", "", "only snapshots on the image of this volume: id or name")
	cmd.MarkFlagsOneRequired("backend", "volume")
	cmd.MarkFlagsMutuallyExclusive("backend", "volume")
	return l.add(cmd)
}

func manageableSnapshotsTable(all []rpc.ManageableSnapshot) table {
	t := table{head: []string{"SNAPSHOT", "SIZE", "SAFE", "REASON", "IMAGE", "VOLUME"}}
	for _, m := range all {
		t.rows = append(t.rows, []string{
			m.Reference.SourceName, strconv.FormatInt(m.Size, 10), yes(m.SafeToManage), m.ReasonNotSafe, m.SourceReference.SourceName, m.VolumeID,
		})
	}
	return t
}

func (a *app) snapshotUnmanage() *cobra.Command {
	var c change
	return c.add(&cobra.Command{
		Use: "unmanage ID", Short: "Forget a snapshot, and leave it on the image", Args: cobra.ExactArgs(1),
		RunE: a.verb(func(ctx context.Context, args []string) error {
			at, err := a.snapshotTarget(ctx, args[0], c)
			if err != nil {
				return err
			}
			return a.changeSnapshot(ctx, c, func(ctx context.Context, o rpc.CallOptions) (rpc.SnapshotReply, error) {
				return a.client.DeleteSnapshot(ctx, at.service, rpc.DeleteSnapshotRequest{SnapshotID: at.id, UnmanageOnly: true}, o)
			})
		}),
	})
}
