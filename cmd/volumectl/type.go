package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

func (a *app) typeNoun() *cobra.Command {
	return noun("type", "Volume types: limits, and which backends", a.typeCreate(), a.typeList(), a.typeShow(), a.typeSet(), a.typeDelete())
}

// specFlags are those of the verbs that make or change a type.
type specFlags struct {
	description, consumer string
	specs, qos            map[string]string
}

func (f *specFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.description, "description", "", "description of the type")
	flags.StringToStringVar(&f.specs, "spec", nil, `key=value of the extra specs, such as volume_backend_name=NAME or multiattach="<is> True"`)
	flags.StringToStringVar(&f.qos, "qos", nil, "key=value of the limits, such as total_iops_sec=500 or read_bytes_sec_per_gb=1048576")
	flags.StringVar(&f.consumer, "consumer", "", "who enforces the limits: back-end (default), front-end or both")
}

func (a *app) typeCreate() *cobra.Command {
	var c change
	var f specFlags
	cmd := c.add(&cobra.Command{
		Use: "create NAME", Short: "Make a volume type", Args: cobra.ExactArgs(1),
		Example: `  volumectl type create gold --qos total_iops_sec_per_gb=30,total_iops_sec_per_gb_min=500
  volumectl type create shared --spec 'multiattach=<is> True'`,
		RunE: a.verb(func(ctx context.Context, args []string) error {
			req := rpc.CreateTypeRequest{
				Name: args[0], Description: f.description, ExtraSpecs: f.specs, QoS: f.qos, Consumer: volume.Consumer(f.consumer),
			}
			return a.changeType(ctx, c, func(ctx context.Context, o rpc.CallOptions) (rpc.TypeReply, error) {
				return a.client.CreateType(ctx, req, o)
			})
		}),
	})
	f.add(cmd)
	return cmd
}

func (a *app) typeSet() *cobra.Command {
	var c change
	var f specFlags
	var name string
	var unset []string
	cmd := c.add(&cobra.Command{
		Use: "set TYPE", Short: "Change a volume type", Args: cobra.ExactArgs(1),
		Long: `Change a volume type. What it does to volumes can be changed only as long as no
volume has it; --unset takes keys of extra specs or of limits away.`,
	})
	f.add(cmd)
	cmd.Flags().StringVar(&name, "name", "", "new name of the type")
	cmd.Flags().StringSliceVar(&unset, "unset", nil, "keys to take away")
	cmd.RunE = a.verb(func(ctx context.Context, args []string) error {
		req := rpc.UpdateTypeRequest{VolumeType: args[0], ExtraSpecs: f.specs, QoS: f.qos, Unset: unset}
		req.Name, req.Description = given(cmd, "name", &name), given(cmd, "description", &f.description)
		req.Consumer = (*volume.Consumer)(given(cmd, "consumer", &f.consumer))
		return a.changeType(ctx, c, func(ctx context.Context, o rpc.CallOptions) (rpc.TypeReply, error) {
			return a.client.UpdateType(ctx, req, o)
		})
	})
	return cmd
}

// given returns the value of a flag that is on the command line, nil for another.
func given(cmd *cobra.Command, flag string, value *string) *string {
	if !cmd.Flags().Changed(flag) {
		return nil
	}
	return value
}

func (a *app) typeDelete() *cobra.Command {
	var c change
	return c.add(&cobra.Command{
		Use: "delete TYPE", Short: "Delete a volume type that no volume has", Args: cobra.ExactArgs(1),
		RunE: a.verb(func(ctx context.Context, args []string) error {
			return a.changeType(ctx, c, func(ctx context.Context, o rpc.CallOptions) (rpc.TypeReply, error) {
				return a.client.DeleteType(ctx, rpc.TypeRequest{VolumeType: args[0]}, o)
			})
		}),
	})
}

// changeType carries a request about a type out and prints the type.
func (a *app) changeType(ctx context.Context, c change, send func(context.Context, rpc.CallOptions) (rpc.TypeReply, error)) error {
	reply, err := carryOut(ctx, a, c, func(r rpc.TypeReply) *volume.Operation { return r.Operation }, send)
	if err != nil && exitCode(err) != exitRunning {
		return err
	}
	return errors.Join(a.print(reply, typeTable(reply.VolumeType).withOperation(reply.Operation)), err)
}

func (a *app) typeList() *cobra.Command {
	var l list
	var req rpc.ListTypesRequest
	cmd := &cobra.Command{
		Use: "list", Short: "List volume types, newest first",
		RunE: a.read(func(ctx context.Context, _ []string) error {
			req.Page = l.page()
			all, err := collect(l, a.client.Types(ctx, req))
			if err != nil {
				return err
			}
			t := table{head: []string{"ID", "NAME", "EXTRA SPECS", "QOS", "CONSUMER", "DESCRIPTION"}}
			for _, v := range all {
				t.rows = append(t.rows, []string{v.ID, v.Name, joined(v.ExtraSpecs), joined(v.QoS), string(v.Consumer), v.Description})
			}
			return a.print(rpc.TypesReply{VolumeTypes: all}, t)
		}),
	}
	return l.add(cmd)
}

// joined returns the specs in one line.
func joined(specs map[string]string) string {
	var all []string
	for key, value := range sorted(specs) {
		all = append(all, key+"="+value)
	}
	return strings.Join(all, ",")
}

func (a *app) typeShow() *cobra.Command {
	return &cobra.Command{
		Use: "show TYPE", Short: "Show a volume type", Args: cobra.ExactArgs(1),
		RunE: a.read(func(ctx context.Context, args []string) error {
			reply, err := a.client.GetType(ctx, rpc.TypeRequest{VolumeType: args[0]})
			if err != nil {
				return err
			}
			return a.print(reply, typeTable(reply.VolumeType))
		}),
	}
}

func typeTable(v volume.Type) table {
	t := table{rows: [][]string{
		pair("id", v.ID), pair("name", v.Name), pair("description", v.Description), pair("created at", stamp(v.CreatedAt)),
	}}
	for key, value := range sorted(v.ExtraSpecs) {
		t.rows = append(t.rows, pair("spec "+key, value))
	}
	for key, value := range sorted(v.QoS) {
		t.rows = append(t.rows, pair("qos "+key, value))
	}
	if len(v.QoS) > 0 {
		t.rows = append(t.rows, pair("qos consumer", v.Consumer))
	}
	return t
}
