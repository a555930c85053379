package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
)

func (a *app) serviceNoun() *cobra.Command {
	return noun("service", "Services, one for each backend", a.serviceList())
}

func (a *app) serviceList() *cobra.Command {
	var l list
	var req rpc.ListServicesRequest
	cmd := &cobra.Command{
		Use: "list", Short: "List services and how they are",
		RunE: a.read(func(ctx context.Context, _ []string) error {
			req.Page = l.page()
			all, err := collect(l, a.client.Services(ctx, req))
			if err != nil {
				return err
			}
			return a.print(rpc.ServicesReply{Services: all}, servicesTable(all))
		}),
	}
	cmd.Flags().StringVar(&req.Host, "host", "", "only this host@backend, or this backend")
	return l.add(cmd)
}

func servicesTable(all []rpc.ServiceInfo) table {
	t := table{head: []string{"BINARY", "HOST", "ZONE", "STATUS", "STATE", "UPDATED AT", "PHASE", "RECORDS", "REASON"}}
	for _, s := range all {
		records := s.ObjectCurrentVersion
		if s.HoldsBack {
			records += " (holds back)"
		}
		t.rows = append(t.rows, []string{
			s.Binary, s.Host, s.AvailabilityZone, s.Status, s.State, stamp(s.UpdatedAt), string(s.Phase), records, or(s.Reason, s.DisabledReason),
		})
	}
	return t
}

func (a *app) backendNoun() *cobra.Command {
	return noun("backend", "Backends", a.backendCapabilities())
}

func (a *app) backendCapabilities() *cobra.Command {
	var req rpc.CapabilitiesRequest
	cmd := &cobra.Command{
		Use: "capabilities B", Short: "Show what a backend can do and how full it is", Args: cobra.ExactArgs(1),
		RunE: a.read(func(ctx context.Context, args []string) error {
			service, err := a.service(ctx, args[0])
			if err != nil {
				return err
			}
			reply, err := a.client.GetCapabilities(ctx, service, req)
			if err != nil {
				return err
			}
			t, err := capabilitiesTable(reply)
			if err != nil {
				return err
			}
			return a.print(reply, t)
		}),
	}
	cmd.Flags().BoolVar(&req.Refresh, "refresh", false, "ask the cluster now instead of showing the last report")
	return cmd
}

// capabilitiesTable shows the fields under the names that they have in JSON and
// in their order there, whichever they are.
func capabilitiesTable(r rpc.CapabilitiesReply) (table, error) {
	t := table{rows: [][]string{pair("host", r.Host), pair("reported at", stamp(r.Timestamp))}}
	text, err := json.Marshal(r.Capabilities)
	if err != nil {
		return t, fault.New(fault.Internal, "capabilities: %w", err)
	}
	dec := json.NewDecoder(strings.NewReader(string(text)))
	if _, err := dec.Token(); err != nil {
		return t, fault.New(fault.Internal, "capabilities: %w", err)
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return t, fault.New(fault.Internal, "capabilities: %w", err)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return t, fault.New(fault.Internal, "capabilities: %w", err)
		}
		t.rows = append(t.rows, pair(fmt.Sprint(key), strings.Trim(string(value), `"`)))
	}
	return t, nil
}
