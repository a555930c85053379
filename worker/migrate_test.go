package worker_test

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/driver/mem"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// neighbourhood is two services on one database and one bus.
type neighbourhood struct {
	*site        // the one that volumes leave
	there  *site // the one that they go to
	leaves *process
	// spoil is run when this many connections from the one to the other have been made.
	connections, spoilAt atomic.Int64
	spoil                func()
	// From this connection on they lead elsewhere; 0 for never.
	astrayFrom atomic.Int64
}

func newNeighbourhood(t *testing.T) *neighbourhood {
	t.Helper()
	s := newSite(t)
	other := *s
	other.host, other.world = "node1@mem1", mem.NewWorld()
	other.world.SetPool("pool2")
	n := &neighbourhood{site: s, there: &other, leaves: s.bare()}
	n.leaves.deps.OpenNeighbour = func(_ context.Context, host string) (driver.Driver, error) {
		if host != "node1@mem1#pool2" {
			t.Errorf("connects to %s", host)
		}
		if n.connections.Add(1) == n.spoilAt.Load() {
			n.spoil()
		}
		if from := n.astrayFrom.Load(); from > 0 && n.connections.Load() >= from {
			return mem.New(s.world), nil
		}
		return mem.New(other.world), nil
	}
	n.leaves.start()
	arrives := other.bare()
	arrives.cfg.Pool, arrives.cfg.BackendName = "pool2", "there"
	arrives.start()
	return n
}

func (n *neighbourhood) migrate(v volume.Volume) (rpc.VolumeReply, error) {
	return n.operator().MigrateVolume(n.Context(), n.host, rpc.MigrateVolumeRequest{VolumeID: v.ID, Host: n.there.host}, wait())
}

// A volume moves with its snapshots and its limits; what depends on it keeps what it needs.
func TestMigrate(t *testing.T) {
	t.Parallel()
	n := newNeighbourhood(t)
	n.makeType("gold", map[string]string{"total_iops_sec": "10"})
	v := n.create(rpc.CreateVolumeRequest{Size: 2, VolumeType: "gold"})
	snap := n.snapshot(v)
	child := n.create(rpc.CreateVolumeRequest{SnapshotID: snap.ID})

	moved := must[rpc.VolumeReply](t)(n.migrate(v)).Volume
	if moved.Host != "node1@mem1#pool2" || moved.Status != volume.Available || moved.MigrationStatus != volume.MigrationSuccess || moved.ImageID == v.ImageID {
		t.Fatalf("moved: %+v", moved)
	}
	if !slices.Equal(n.there.world.Images(), []string{image(v)}) || len(n.there.world.Snapshots(image(v))) != 1 || n.there.world.Size(image(v)) != 2 {
		t.Errorf("there are %v", n.there.world.Images())
	}
	n.there.settings(v, map[string]int64{"total_iops_sec": 10})
	if !slices.Equal(n.world.Images(), []string{image(child)}) || !slices.Equal(n.world.Trash(), []string{image(v)}) {
		t.Errorf("left behind are %v and, in the trash, %v", n.world.Images(), n.world.Trash())
	}
	n.drifts(n.site, 0)
	n.drifts(n.there, 0)

	// It belongs to the other service now, with all that it can do.
	_, err := n.ExtendVolume(t.Context(), n.host, rpc.ExtendVolumeRequest{VolumeID: v.ID, NewSize: 3}, wait())
	_ = wantKind(t, err, fault.Invalid, "volume_id")
	n.there.create(rpc.CreateVolumeRequest{SnapshotID: snap.ID, Size: 2})
	must[rpc.VolumeReply](t)(n.there.ExtendVolume(t.Context(), n.there.host, rpc.ExtendVolumeRequest{VolumeID: v.ID, NewSize: 3}, wait()))

	n.remove(child)
	n.until("the old image is gone", func() bool { return len(n.world.Trash()) == 0 })
	n.drifts(n.site, 0)
}

// drifts audits a service.
func (n *neighbourhood) drifts(s *site, want int) {
	n.Helper()
	r := must[rpc.AuditReply](n)(n.operator().AuditBackend(n.Context(), s.host, rpc.AuditBackendRequest{}, wait()))
	if r.Audit.Drift != want {
		found, _, err := s.db.Findings(n.Context(), volume.FindingFilter{AuditID: r.Audit.ID})
		n.Errorf("%d differences at %s: %+v %v", r.Audit.Drift, s.host, found, err)
	}
}

// What cannot move stays where and as it was, and nothing of it is left at the other place.
func TestMigrateRefused(t *testing.T) {
	t.Parallel()
	n := newNeighbourhood(t)
	v := n.create(rpc.CreateVolumeRequest{Size: 1})
	ctx := t.Context()
	for host, kind := range map[string]fault.Kind{
		"": fault.Invalid, "node1": fault.Invalid, "node1@none": fault.NotFound, n.host: fault.Invalid, n.there.host + "#other": fault.Invalid,
	} {
		_, err := n.operator().MigrateVolume(ctx, n.host, rpc.MigrateVolumeRequest{VolumeID: v.ID, Host: host}, wait())
		_ = wantKind(t, err, kind, "host")
	}
	_, err := n.MigrateVolume(ctx, n.host, rpc.MigrateVolumeRequest{VolumeID: v.ID, Host: n.there.host}, wait())
	_ = wantKind(t, err, fault.Invalid, "project")
	n.refuses(v)
	release := must[func()](t)(n.world.Watch(image(v), "10.0.0.9:0/1"))
	_, err = n.migrate(v)
	if f := wantKind(t, err, fault.Busy, ""); !slices.Equal(f.BlockedBy, []string{"10.0.0.9:0/1"}) {
		t.Errorf("blocked by %v", f.BlockedBy)
	}
	release()
	stays := func(after string) {
		t.Helper()
		now := must[volume.Volume](t)(n.db.Volume(ctx, v.ID))
		if now.Status != volume.Available || now.Host != v.Host || now.ImageID != v.ImageID {
			t.Errorf("after %s: %+v", after, now)
		}
		if !slices.Equal(n.world.Images(), []string{image(v)}) || len(n.world.Trash()) != 0 {
			t.Errorf("after %s there are %v and %v", after, n.world.Images(), n.world.Trash())
		}
	}
	stays("one that is open")
	if len(n.there.world.Images()) != 0 {
		t.Errorf("left at the destination: %v", n.there.world.Images())
	}
	// Opened while it was copied: the old image cannot go.
	n.leaves.faulty.FailBefore("DeleteVolume", n.leaves.faulty.Calls("DeleteVolume")+1, fault.New(fault.Busy, "open").WithBlockers("10.0.0.9:0/1"))
	_, err = n.migrate(v)
	_ = wantKind(t, err, fault.Busy, "")
	stays("one that was opened")
	if len(n.there.world.Images()) != 0 {
		t.Errorf("left at the destination: %v", n.there.world.Images())
	}
	// An image of that name that is somebody's.
	foreign := mem.New(n.there.world)
	must[volume.Location](t)(foreign.CreateVolume(ctx, volume.Spec{Ref: volume.Ref{Name: image(v)}, Size: 1}))
	_, err = n.migrate(v)
	_ = wantKind(t, err, fault.Exists, "")
	stays("a name that is taken")
	if !slices.Equal(n.there.world.Images(), []string{image(v)}) {
		t.Error("somebody else's image is gone")
	}
}

// refuses checks that the destination takes neither what is too large for it nor what it
// cannot do.
func (n *neighbourhood) refuses(v volume.Volume) {
	n.Helper()
	op, ctx := n.operator(), n.Context()
	must[rpc.TypeReply](n)(op.CreateType(ctx, rpc.CreateTypeRequest{
		Name: "mirrored", ExtraSpecs: map[string]string{volume.SpecReplication: "<is> True"},
	}, wait()))
	_, err := op.MigrateVolume(ctx, n.host, rpc.MigrateVolumeRequest{VolumeID: v.ID, Host: n.there.host, NewType: "mirrored"}, wait())
	_ = wantKind(n, err, fault.Unsupported, "host")
	n.there.world.SetTotal(2) // of which 40 may be promised
	must[rpc.CapabilitiesReply](n)(op.GetCapabilities(ctx, n.there.host, rpc.CapabilitiesRequest{Refresh: true}))
	large := n.create(rpc.CreateVolumeRequest{Size: 41})
	_, err = n.migrate(large)
	_ = wantKind(n, err, fault.Invalid, "host")
	n.remove(large)
	n.until("it is purged", func() bool { return len(n.world.Trash()) == 0 })
}

// A snapshot that somebody takes while the copy is made would go with the old image.
func TestMigrateLeavesNoSnapshotOfOthers(t *testing.T) {
	t.Parallel()
	n := newNeighbourhood(t)
	v := n.create(rpc.CreateVolumeRequest{Size: 1})
	if err := n.leaves.end(); err != nil {
		t.Fatal(err)
	}
	p := n.another()
	connect, connected := p.deps.OpenNeighbour, 0
	p.deps.OpenNeighbour = func(ctx context.Context, host string) (driver.Driver, error) {
		if connected++; connected == 2 { // to copy
			if err := n.world.AddSnapshot(image(v), "backup", false); err != nil {
				t.Error(err)
			}
		}
		return connect(ctx, host)
	}
	p.start()
	_, err := n.migrate(v)
	if f := wantKind(t, err, fault.Conflict, ""); len(f.BlockedBy) != 1 {
		t.Errorf("blocked by %v", f.BlockedBy)
	}
	if got := n.status(v.ID); got != volume.Available || !slices.Equal(n.world.Images(), []string{image(v)}) || len(n.there.world.Images()) > 0 {
		t.Errorf("the volume is %s; here are %v, there %v", got, n.world.Images(), n.there.world.Images())
	}
}

// A type that only the other backend can have moves the volume, where that is allowed.
func TestRetypeMoves(t *testing.T) {
	t.Parallel()
	n := newNeighbourhood(t)
	kind := must[rpc.TypeReply](t)(n.operator().CreateType(t.Context(), rpc.CreateTypeRequest{
		Name: "far", ExtraSpecs: map[string]string{volume.SpecBackendName: "mem"}, QoS: map[string]string{"read_iops_sec": "7"},
	}, wait())).VolumeType
	v := n.create(rpc.CreateVolumeRequest{Size: 1})
	req := rpc.RetypeRequest{VolumeID: v.ID, NewType: "far"}
	_, err := n.Retype(t.Context(), n.host, req, wait())
	_ = wantKind(t, err, fault.Invalid, "new_type")
	req.Host = n.there.host
	_, err = n.Retype(t.Context(), n.host, req, wait())
	_ = wantKind(t, err, fault.Invalid, "host")
	req.MigrationPolicy = rpc.MigrateOnDemand
	_, err = n.Retype(t.Context(), n.host, req, wait())
	_ = wantKind(t, err, fault.Invalid, "project")
	o := wait()
	o.RequestID = "r1"
	for range 2 {
		moved := must[rpc.VolumeReply](t)(n.operator().Retype(t.Context(), n.host, req, o)).Volume
		if moved.VolumeTypeID != kind.ID || moved.Host != "node1@mem1#pool2" {
			t.Errorf("moved: %+v", moved)
		}
	}
	n.there.settings(v, map[string]int64{"read_iops_sec": 7})
}

// A copy that is asked to be verified and differs is removed, and the volume stays; one
// that does not differ is taken.
func TestMigrateVerifies(t *testing.T) {
	t.Parallel()
	n := newNeighbourhood(t)
	v := n.create(rpc.CreateVolumeRequest{Size: 1})
	n.snapshot(v)
	n.spoil = func() {
		data := bytes.Repeat([]byte{1}, 4096)
		if err := mem.New(n.there.world).WriteVolume(t.Context(), volume.Ref{Name: image(v)}, bytes.NewReader(data), int64(len(data)), nil); err != nil {
			t.Error(err)
		}
	}
	migrate := func() error {
		_, err := n.operator().MigrateVolume(t.Context(), n.host, rpc.MigrateVolumeRequest{VolumeID: v.ID, Host: n.there.host, Verify: true}, wait())
		return err
	}
	n.spoilAt.Store(3) // after the look at the name, and the copy
	_ = wantKind(t, migrate(), fault.Internal, "")
	if now := must[volume.Volume](t)(n.db.Volume(t.Context(), v.ID)); now.Host != v.Host || now.Status != volume.Available {
		t.Errorf("after a copy that differs: %+v", now)
	}
	if there := n.there.world.Images(); len(there) != 0 || !slices.Equal(n.world.Images(), []string{image(v)}) {
		t.Errorf("here are %v, there %v", n.world.Images(), there)
	}
	if err := migrate(); err != nil {
		t.Error(err)
	}
	if !slices.Equal(n.there.world.Images(), []string{image(v)}) {
		t.Errorf("there are %v", n.there.world.Images())
	}
}

// A destination that is gone for good keeps nobody from the volume: once what is known of
// it leads elsewhere, the migration fails and says what may be left there.
func TestMigrateToWhatIsGone(t *testing.T) {
	t.Parallel()
	n := newNeighbourhood(t)
	v := n.create(rpc.CreateVolumeRequest{Size: 1})
	n.astrayFrom.Store(2) // after the look at the name
	_, err := n.migrate(v)
	if f := wantKind(t, err, fault.Conflict, ""); !strings.Contains(f.Message, "could not be undone") {
		t.Errorf("%v", err)
	}
	if now := must[volume.Volume](t)(n.db.Volume(t.Context(), v.ID)); now.Host != v.Host || now.Status != volume.Available || now.MigrationStatus != volume.MigrationError {
		t.Errorf("the row is %+v", now)
	}
	if !slices.Equal(n.world.Images(), []string{image(v)}) {
		t.Errorf("here are %v", n.world.Images())
	}
}
