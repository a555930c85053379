package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/volumed/volumed/rpc"
)

// labelFlags are those of the verb set.
type labelFlags struct {
	change
	name, description string
	set               map[string]string
	unset             []string
}

// add gives the verb the flags, one of which is required, or of those that it has besides.
func (f *labelFlags) add(cmd *cobra.Command, more ...string) *cobra.Command {
	flags := cmd.Flags()
	flags.StringVar(&f.name, "name", "", "new name; empty for none")
	flags.StringVar(&f.description, "description", "", "new description; empty for none")
	flags.StringToStringVar(&f.set, "property", nil, "key=value to set in the metadata")
	flags.StringSliceVar(&f.unset, "unset-property", nil, "key to remove from the metadata")
	cmd.MarkFlagsOneRequired(append(more, "name", "description", "property", "unset-property")...)
	return f.change.add(cmd)
}

// labels returns what was asked for on the command line: a flag that was not given
// leaves things as they are.
func (f *labelFlags) labels(cmd *cobra.Command) (l rpc.Labels, err error) {
	if cmd.Flags().Changed("name") {
		l.Name = &f.name
	}
	if cmd.Flags().Changed("description") {
		l.Description = &f.description
	}
	l.Metadata = map[string]*string{}
	for key, value := range f.set {
		l.Metadata[key] = &value
	}
	for _, key := range f.unset {
		if _, both := l.Metadata[key]; both {
			return l, fmt.Errorf("property %q is both set and unset", key)
		}
		l.Metadata[key] = nil
	}
	return l, nil
}

func (a *app) volumeSet() *cobra.Command {
	var f labelFlags
	var bootable bool
	cmd := &cobra.Command{
		Use: "set ID", Short: "Change name, description and metadata of a volume", Args: cobra.ExactArgs(1),
		Example: `  volumectl volume set data --name old-data --property tier=archive --unset-property owner
  volumectl volume set root --bootable`,
	}
	cmd.Flags().BoolVar(&bootable, "bootable", false, "machines can be started from the volume; =false: they cannot")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		labels, err := f.labels(cmd)
		if err != nil {
			return err
		}
		req := rpc.UpdateVolumeRequest{Labels: labels}
		if cmd.Flags().Changed("bootable") {
			req.Bootable = &bootable
		}
		return a.verb(func(ctx context.Context, args []string) error {
			at, err := a.volumeTarget(ctx, args[0], f.change)
			if err != nil {
				return err
			}
			req.VolumeID = at.id
			return a.changeVolume(ctx, f.change, func(ctx context.Context, o rpc.CallOptions) (rpc.VolumeReply, error) {
				return a.client.UpdateVolume(ctx, at.service, req, o)
			})
		})(cmd, args)
	}
	return f.add(cmd, "bootable")
}

func (a *app) snapshotSet() *cobra.Command {
	var f labelFlags
	cmd := &cobra.Command{Use: "set ID", Short: "Change name, description and metadata of a snapshot", Args: cobra.ExactArgs(1)}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		labels, err := f.labels(cmd)
		if err != nil {
			return err
		}
		return a.verb(func(ctx context.Context, args []string) error {
			at, err := a.snapshotTarget(ctx, args[0], f.change)
			if err != nil {
				return err
			}
			return a.changeSnapshot(ctx, f.change, func(ctx context.Context, o rpc.CallOptions) (rpc.SnapshotReply, error) {
				return a.client.UpdateSnapshot(ctx, at.service, rpc.UpdateSnapshotRequest{SnapshotID: at.id, Labels: labels}, o)
			})
		})(cmd, args)
	}
	return f.add(cmd)
}
