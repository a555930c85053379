package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
)

func (a *app) attachmentNoun() *cobra.Command {
	return noun("attachment", "How hosts reach volumes", a.attachmentConnect(), a.attachmentDisconnect())
}

// connector is the flag that says who wants to attach.
type connector struct{ text string }

func (c *connector) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.text, "connector", "", "what the host says of itself: JSON, or @FILE with it; by default its name")
}

// value returns the connector as os-brick would collect it.
func (c *connector) value() (map[string]any, error) {
	text := []byte(c.text)
	if name, ok := strings.CutPrefix(c.text, "@"); ok {
		var err error
		if text, err = os.ReadFile(name); err != nil {
			return nil, fault.New(fault.Invalid, "--connector: %w", err).WithField("connector")
		}
	}
	if len(text) == 0 {
		host, err := os.Hostname()
		if err != nil {
			return nil, fault.New(fault.Internal, "name of this host: %w", err)
		}
		return map[string]any{"host": host}, nil
	}
	var v map[string]any
	if err := json.Unmarshal(text, &v); err != nil {
		return nil, fault.New(fault.Invalid, "--connector is not a JSON object: %w", err).WithField("connector")
	}
	return v, nil
}

func (a *app) attachmentConnect() *cobra.Command {
	var by connector
	cmd := &cobra.Command{
		Use: "connect VOLUME", Short: "Tell how this host attaches a volume (initialize_connection)", Args: cobra.ExactArgs(1),
		RunE: a.read(func(ctx context.Context, args []string) error {
			at, req, err := a.connection(ctx, args[0], by)
			if err != nil {
				return err
			}
			reply, err := a.client.InitializeConnection(ctx, at.service, req, rpc.CallOptions{})
			if err != nil {
				return err
			}
			return a.print(reply, connectionTable(reply))
		}),
	}
	by.add(cmd)
	return cmd
}

func (a *app) attachmentDisconnect() *cobra.Command {
	var by connector
	cmd := &cobra.Command{
		Use: "disconnect VOLUME", Short: "Say that this host no longer attaches a volume (terminate_connection)", Args: cobra.ExactArgs(1),
		RunE: a.read(func(ctx context.Context, args []string) error {
			at, req, err := a.connection(ctx, args[0], by)
			if err != nil {
				return err
			}
			reply, err := a.client.TerminateConnection(ctx, at.service, req, rpc.CallOptions{})
			if err != nil {
				return err
			}
			return a.print(reply, volumeTable(reply.Volume, nil))
		}),
	}
	by.add(cmd)
	return cmd
}

func (a *app) connection(ctx context.Context, arg string, by connector) (target, rpc.ConnectionRequest, error) {
	who, err := by.value()
	if err != nil {
		return target{}, rpc.ConnectionRequest{}, err
	}
	at, err := a.volumeTarget(ctx, arg, change{})
	return at, rpc.ConnectionRequest{VolumeID: at.id, Connector: who}, err
}

func connectionTable(r rpc.ConnectionReply) table {
	t := table{rows: [][]string{pair("driver_volume_type", r.ConnectionInfo.DriverVolumeType)}}
	data := r.ConnectionInfo.Data
	for _, key := range slices.Sorted(maps.Keys(data)) {
		value := data[key]
		if key == "keyring" && value != nil {
			value = "(hidden; -o json shows it)"
		}
		t.rows = append(t.rows, pair(key, fmt.Sprint(value)))
	}
	return t
}
