package worker_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/volumed/volumed/driver/mem"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// makeType makes a volume type with limits of the back end.
func (s *site) makeType(name string, qos map[string]string) volume.Type {
	s.Helper()
	r := rpc.CreateTypeRequest{Name: name, QoS: qos}
	return must[rpc.TypeReply](s)(s.operator().CreateType(s.Context(), r, wait())).VolumeType
}

// settings checks what the image of a volume has, and that an audit agrees.
func (s *site) settings(v volume.Volume, want map[string]int64) {
	s.Helper()
	d := mem.New(s.world)
	found := must[[]volume.Image](s)(d.Inspect(s.Context(), volume.Ref{Name: image(v)}, false))
	if diff := cmp.Diff(d.SettingsMetadata(volume.Settings{Limits: want}), found[0].Metadata); diff != "" {
		s.Errorf("settings of %s: %s", v.ID, diff)
	}
}

// Limits come with the type of a volume, whatever it is made from, and go with it; per GiB
// they grow with it.
func TestLimitsOfTypes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.bare().start()
	gold := s.makeType("gold", map[string]string{"total_iops_sec_per_gb": "10"})
	fixed := s.makeType("fixed", map[string]string{"read_bytes_sec": "5"})
	v := s.create(rpc.CreateVolumeRequest{Size: 2, VolumeType: "gold"})
	if v.VolumeTypeID != gold.ID {
		t.Errorf("type %q", v.VolumeTypeID)
	}
	s.settings(v, map[string]int64{"total_iops_sec": 20})
	snap := s.snapshot(v)
	s.settings(s.clone(v), nil)
	s.settings(s.create(rpc.CreateVolumeRequest{SourceVolID: v.ID, VolumeType: fixed.ID}), map[string]int64{"read_bytes_sec": 5})
	s.settings(s.create(rpc.CreateVolumeRequest{SnapshotID: snap.ID, Size: 3, VolumeType: "gold"}), map[string]int64{"total_iops_sec": 30})
	s.settings(s.create(rpc.CreateVolumeRequest{SnapshotID: snap.ID}), nil)

	must[rpc.VolumeReply](t)(s.ExtendVolume(t.Context(), s.host, rpc.ExtendVolumeRequest{VolumeID: v.ID, NewSize: 4}, wait()))
	s.settings(v, map[string]int64{"total_iops_sec": 40})
	now := must[rpc.VolumeReply](t)(s.Retype(t.Context(), s.host, rpc.RetypeRequest{VolumeID: v.ID, NewType: "fixed"}, wait())).Volume
	if now.VolumeTypeID != fixed.ID || now.Status != volume.Available {
		t.Errorf("retyped: %+v", now)
	}
	s.settings(v, map[string]int64{"read_bytes_sec": 5})
	s.audit()
}

// Limits that others have set on an image, such as one that was managed, are not handed
// down to what is made of it.
func TestLimitsOfOthers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.bare().start()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	limits := mem.New(s.world).SettingsMetadata(volume.Settings{Limits: map[string]int64{"total_iops_sec": 7}})
	for key, value := range limits {
		s.did(s.world.SetMetadata(image(v), key, value))
	}
	snap := s.snapshot(v)
	s.settings(s.clone(v), nil)
	s.settings(s.create(rpc.CreateVolumeRequest{SnapshotID: snap.ID}), nil)
	s.settings(v, map[string]int64{"total_iops_sec": 7})
}

// A retype that fails leaves the volume what it was.
func TestRetypeFails(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.bare().start()
	s.makeType("gold", map[string]string{"total_iops_sec": "10"})
	r := must[rpc.TypeReply](t)(s.operator().CreateType(t.Context(), rpc.CreateTypeRequest{
		Name: "shared", ExtraSpecs: map[string]string{volume.SpecMultiattach: "<is> True"},
	}, wait()))
	v := s.create(rpc.CreateVolumeRequest{Size: 1, VolumeType: "gold"})
	release := must[func()](t)(s.world.Watch(image(v), "10.0.0.9:0/1"))
	_, err := s.Retype(t.Context(), s.host, rpc.RetypeRequest{VolumeID: v.ID, NewType: r.VolumeType.ID}, wait())
	if f := wantKind(t, err, fault.Busy, ""); len(f.BlockedBy) != 1 {
		t.Errorf("blocked by %v", f.BlockedBy)
	}
	now := must[volume.Volume](t)(s.db.Volume(t.Context(), v.ID))
	if now.Status != volume.Available || now.VolumeTypeID != v.VolumeTypeID || now.Multiattach {
		t.Errorf("it is %+v", now)
	}
	s.settings(v, map[string]int64{"total_iops_sec": 10})
	release()
	now = must[rpc.VolumeReply](t)(s.Retype(t.Context(), s.host, rpc.RetypeRequest{VolumeID: v.ID, NewType: "shared"}, wait())).Volume
	if !now.Multiattach {
		t.Error("it cannot be shared")
	}
	s.settings(v, nil)
}

// Types are what operators say, once; what they do to volumes that exist stays.
func TestTypes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.bare()
	p.cfg.BackendName = "here"
	p.start()
	op, ctx := s.operator(), t.Context()
	o := rpc.CallOptions{RequestID: "r1"}
	req := rpc.CreateTypeRequest{Name: "gold", QoS: map[string]string{"total_iops_sec": "10"}}
	gold := must[rpc.TypeReply](t)(op.CreateType(ctx, req, o))
	again := must[rpc.TypeReply](t)(op.CreateType(ctx, req, o))
	if again.VolumeType.ID != gold.VolumeType.ID || again.Operation.ID != gold.Operation.ID || gold.VolumeType.Consumer != volume.BackEnd {
		t.Errorf("%+v, again %+v", gold, again)
	}
	_, err := op.CreateType(ctx, req, rpc.CallOptions{})
	_ = wantKind(t, err, fault.Exists, "name")
	_, err = s.CreateType(ctx, req, rpc.CallOptions{})
	_ = wantKind(t, err, fault.Invalid, "project")
	_, err = op.CreateType(ctx, rpc.CreateTypeRequest{Name: "bad", QoS: map[string]string{"speed": "1"}}, rpc.CallOptions{})
	_ = wantKind(t, err, fault.Invalid, "qos_specs")
	_, err = op.CreateType(ctx, rpc.CreateTypeRequest{Name: "bad\x1b[2J"}, rpc.CallOptions{})
	_ = wantKind(t, err, fault.Invalid, "name")

	_, err = s.CreateVolume(ctx, s.host, rpc.CreateVolumeRequest{Size: 1, VolumeType: "none"}, wait())
	_ = wantKind(t, err, fault.NotFound, "volume_type")
	must[rpc.TypeReply](t)(op.CreateType(ctx, rpc.CreateTypeRequest{Name: "far", ExtraSpecs: map[string]string{volume.SpecBackendName: "there"}}, rpc.CallOptions{}))
	must[rpc.TypeReply](t)(op.CreateType(ctx, rpc.CreateTypeRequest{Name: "near", ExtraSpecs: map[string]string{volume.SpecBackendName: "here"}}, rpc.CallOptions{}))
	_, err = s.CreateVolume(ctx, s.host, rpc.CreateVolumeRequest{Size: 1, VolumeType: "far"}, wait())
	_ = wantKind(t, err, fault.Invalid, "volume_type")
	s.create(rpc.CreateVolumeRequest{Size: 1, VolumeType: "near"})

	v := s.create(rpc.CreateVolumeRequest{Size: 1, VolumeType: "gold"})
	name, qos := "silver", map[string]string{"total_iops_sec": "20"}
	_, err = op.UpdateType(ctx, rpc.UpdateTypeRequest{VolumeType: "gold", QoS: qos}, rpc.CallOptions{})
	_ = wantKind(t, err, fault.Conflict, "volume_type")
	_, err = op.DeleteType(ctx, rpc.TypeRequest{VolumeType: "gold"}, rpc.CallOptions{})
	_ = wantKind(t, err, fault.Conflict, "volume_type")
	must[rpc.TypeReply](t)(op.UpdateType(ctx, rpc.UpdateTypeRequest{VolumeType: "gold", Name: &name}, rpc.CallOptions{}))
	s.remove(v)
	s.until("the volume is purged", func() bool {
		return len(s.world.Trash()) == 0 && must[volume.Volume](t)(s.db.VolumeRecord(ctx, v.ID)).ImageID == ""
	})
	changed := must[rpc.TypeReply](t)(op.UpdateType(ctx, rpc.UpdateTypeRequest{VolumeType: "silver", QoS: qos}, rpc.CallOptions{}))
	if diff := cmp.Diff(qos, changed.VolumeType.QoS); diff != "" {
		t.Error(diff)
	}
	must[rpc.TypeReply](t)(op.DeleteType(ctx, rpc.TypeRequest{VolumeType: gold.VolumeType.ID}, rpc.CallOptions{}))
	_, err = op.GetType(ctx, rpc.TypeRequest{VolumeType: "silver"})
	_ = wantKind(t, err, fault.NotFound, "volume_type")
}

// What the hypervisor enforces is in the connection, for the size that the volume has.
func TestFrontEndLimits(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.bare().start()
	must[rpc.TypeReply](t)(s.operator().CreateType(t.Context(), rpc.CreateTypeRequest{
		Name: "front", QoS: map[string]string{"total_iops_sec_per_gb": "10"}, Consumer: volume.FrontEnd,
	}, wait()))
	v := s.create(rpc.CreateVolumeRequest{Size: 3, VolumeType: "front"})
	s.settings(v, nil)
	info := must[rpc.ConnectionReply](t)(s.InitializeConnection(t.Context(), s.host, rpc.ConnectionRequest{VolumeID: v.ID}, wait())).ConnectionInfo
	if diff := cmp.Diff(map[string]any{"total_iops_sec": "30"}, info.Data["qos_specs"]); diff != "" {
		t.Error(diff)
	}
	plain := s.create(rpc.CreateVolumeRequest{Size: 3})
	info = must[rpc.ConnectionReply](t)(s.InitializeConnection(t.Context(), s.host, rpc.ConnectionRequest{VolumeID: plain.ID}, wait())).ConnectionInfo
	if specs, there := info.Data["qos_specs"]; there {
		t.Errorf("a volume without a type is limited to %v", specs)
	}
}

// A type that a volume is about to get stays as it is until the volume has it.
func TestTypeOfAPendingRetype(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.bare().start()
	silver := s.makeType("silver", map[string]string{"total_iops_sec": "20"})
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	reached, release := p.faulty.Hold("ConfigureVolume", 1)
	defer release()
	retype := must[rpc.VolumeReply](t)(s.Retype(t.Context(), s.host, rpc.RetypeRequest{VolumeID: v.ID, NewType: "silver"}, rpc.CallOptions{}))
	receive(t, "the retype configures", reached)

	ctx, op := t.Context(), s.operator()
	_, err := op.DeleteType(ctx, rpc.TypeRequest{VolumeType: "silver"}, rpc.CallOptions{})
	if f := wantKind(t, err, fault.Busy, "volume_type"); !slices.Equal(f.BlockedBy, []string{retype.Operation.ID}) {
		t.Errorf("blocked by %v", f.BlockedBy)
	}
	qos, name := map[string]string{"total_iops_sec": "30"}, "platinum"
	_, err = op.UpdateType(ctx, rpc.UpdateTypeRequest{VolumeType: "silver", QoS: qos}, rpc.CallOptions{})
	_ = wantKind(t, err, fault.Busy, "volume_type")
	must[rpc.TypeReply](t)(op.UpdateType(ctx, rpc.UpdateTypeRequest{VolumeType: "silver", Name: &name}, rpc.CallOptions{}))
	release()
	s.want(retype.Operation.ID, volume.Succeeded)
	if now := must[volume.Volume](t)(s.db.Volume(ctx, v.ID)); now.VolumeTypeID != silver.ID {
		t.Errorf("the volume has the type %q", now.VolumeTypeID)
	}
	s.settings(v, map[string]int64{"total_iops_sec": 20})
	_, err = op.DeleteType(ctx, rpc.TypeRequest{VolumeType: silver.ID}, rpc.CallOptions{})
	_ = wantKind(t, err, fault.Conflict, "volume_type")
	s.auditClaims()
}
