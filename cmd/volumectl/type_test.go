package main

import (
	"context"
	"strings"
	"testing"

	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// registerTypes answers with what was asked, as a type or on a volume.
func (f *fake) registerTypes() {
	rpc.Handle(f.srv, rpc.Any, rpc.MethodCreateType, func(_ context.Context, r rpc.CreateTypeRequest) (rpc.TypeReply, error) {
		return rpc.TypeReply{VolumeType: volume.Type{ID: idA, Name: r.Name, ExtraSpecs: r.ExtraSpecs, QoS: r.QoS, Consumer: r.Consumer}}, nil
	})
	rpc.Handle(f.srv, rpc.Any, rpc.MethodUpdateType, func(_ context.Context, r rpc.UpdateTypeRequest) (rpc.TypeReply, error) {
		t := volume.Type{ID: idA, Name: r.VolumeType, ExtraSpecs: r.ExtraSpecs, QoS: r.QoS, Description: "unchanged"}
		if r.Name != nil {
			t.Name = *r.Name
		}
		for _, key := range r.Unset {
			t.Description += " but " + key
		}
		return rpc.TypeReply{VolumeType: t}, nil
	})
	gold := volume.Type{ID: idA, Name: "gold", QoS: map[string]string{"total_iops_sec": "5"}, Consumer: volume.BackEnd}
	rpc.Handle(f.srv, rpc.Any, rpc.MethodDeleteType, func(context.Context, rpc.TypeRequest) (rpc.TypeReply, error) {
		return rpc.TypeReply{VolumeType: gold}, nil
	})
	rpc.Handle(f.srv, rpc.Any, rpc.MethodGetType, func(context.Context, rpc.TypeRequest) (rpc.TypeReply, error) {
		return rpc.TypeReply{VolumeType: gold}, nil
	})
	rpc.Handle(f.srv, rpc.Any, rpc.MethodListTypes, func(context.Context, rpc.ListTypesRequest) (rpc.TypesReply, error) {
		return rpc.TypesReply{VolumeTypes: []volume.Type{gold}}, nil
	})
	rpc.Handle(f.srv, rpc.Service, rpc.MethodRetype, func(_ context.Context, r rpc.RetypeRequest) (rpc.VolumeReply, error) {
		v, err := f.find(r.VolumeID)
		v.VolumeTypeID = r.NewType
		return rpc.VolumeReply{Volume: v}, err
	})
	rpc.Handle(f.srv, rpc.Service, rpc.MethodMigrateVolume, func(_ context.Context, r rpc.MigrateVolumeRequest) (rpc.VolumeReply, error) {
		v, err := f.find(r.VolumeID)
		v.Host, v.VolumeTypeID, v.MigrationStatus = r.Host, r.NewType, volume.MigrationSuccess
		return rpc.VolumeReply{Volume: v}, err
	})
}

func TestTypeVerbs(t *testing.T) {
	f := newFake(t)
	for name, tt := range map[string]struct {
		args           string
		code           int
		stdout, stderr []string // in this order
	}{
		"create":          {"type create gold --qos total_iops_sec=5 --spec a=b --consumer both", 0, []string{"name", "gold", "spec a", "b", "qos total_iops_sec", "5", "qos consumer", "both"}, nil},
		"create, no name": {"type create", 2, nil, []string{"arg"}},
		"set":             {"type set gold --name silver --qos read_iops_sec=1 --unset x,y", 0, []string{"silver", "unchanged but x but y", "qos read_iops_sec"}, nil},
		"list":            {"type list", 0, []string{"NAME", "gold", "total_iops_sec=5", "back-end"}, nil},
		"list as JSON":    {"type list -o json", 0, []string{`"volume_types"`, `"qos_specs"`}, nil},
		"show":            {"type show gold", 0, []string{"gold", "qos consumer", "back-end"}, nil},
		"delete":          {"type delete gold", 0, []string{"gold"}, nil},
		"retype":          {"volume retype first --type gold", 0, []string{"type", "gold"}, nil},
		"retype to none":  {"volume retype first", 2, nil, []string{"type"}},
		"retype far":      {"volume retype first --type gold --to node2@rbd1", 0, []string{"gold"}, nil},
		"migrate":         {"volume migrate first --to node2@rbd1 --type gold", 0, []string{"host", "node2@rbd1", "type", "gold", "migration", "success"}, nil},
		"migrate nowhere": {"volume migrate first", 2, nil, []string{"to"}},
		"migrate where?":  {"volume migrate first --to rbd1", 1, nil, []string{"is not one service"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := f.volumectl(t, strings.Fields(tt.args)...)
			if got.code != tt.code || !inOrder(got.stdout, tt.stdout) || !inOrder(got.stderr, tt.stderr) {
				t.Errorf("want exit %d, %q, %q; got %v", tt.code, tt.stdout, tt.stderr, got)
			}
		})
	}
}
