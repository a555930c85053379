package rbd

import (
	"encoding/json"
	"math"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/volumed/volumed/internal/testenv"
	"github.com/volumed/volumed/volume"
)

func TestConnectionInfo(t *testing.T) {
	env, d := fresh(t)
	v := create(t, d, "volume-1")
	fsid := strings.TrimSpace(env.Ceph(t, "fsid"))
	info, err := d.InitializeConnection(t.Context(), v, "the-id", map[string]any{"host": "h"})
	wantKind(t, "", err)
	hosts, ports := info.Data["hosts"].([]string), info.Data["ports"].([]string)
	if len(hosts) != 1 || len(ports) != 1 || net.ParseIP(hosts[0]) == nil {
		t.Fatalf("hosts %q, ports %q", hosts, ports)
	}
	dump := env.Ceph(t, "mon", "dump", "-f", "json")
	if !strings.Contains(dump, `"addr":"`+net.JoinHostPort(hosts[0], ports[0])+`/0"`) {
		t.Errorf("%s:%s is not the first version's address in %s", hosts[0], ports[0], dump)
	}
	want := volume.ConnectionInfo{DriverVolumeType: "rbd", Data: map[string]any{
		"name": d.cfg.Pool + "/volume-1", "hosts": hosts, "ports": ports, "cluster_name": "ceph",
		"auth_enabled": true, "auth_username": "volumed", "secret_type": "ceph", "secret_uuid": fsid,
		"volume_id": "the-id", "discard": true,
	}}
	if diff := cmp.Diff(want, info); diff != "" {
		t.Error(diff)
	}
}

func TestConnectionInfoWithoutUser(t *testing.T) {
	env := testenv.Ceph(t)
	cfg := config(env, env.NewPool(t))
	cfg.User, cfg.SecretUUID = "", "a-secret"
	d := openDriver(t, cfg)
	info, err := d.InitializeConnection(t.Context(), create(t, d, "volume-1"), "the-id", nil)
	wantKind(t, "", err)
	if info.Data["auth_enabled"] != false || info.Data["auth_username"] != nil || info.Data["secret_uuid"] != "a-secret" {
		t.Errorf("data = %v", info.Data)
	}
}

func TestStatsAgainstCeph(t *testing.T) {
	env, d := fresh(t)
	fill(t, d, create(t, d, "volume-1"))
	_, err := d.CreateVolume(t.Context(), volume.Spec{Ref: volume.Ref{Name: "volume-2"}, Size: 5})
	wantKind(t, "", err)

	c := measured(t, d)
	var df struct {
		Stats struct {
			Total float64 `json:"total_bytes"`
		}
		Pools []struct {
			Name  string
			Stats struct {
				Available float64 `json:"max_avail"`
			}
		}
	}
	if err := json.Unmarshal([]byte(env.Ceph(t, "df", "-f", "json")), &df); err != nil {
		t.Fatal(err)
	}
	available := 0.0
	for _, p := range df.Pools {
		if p.Name == d.cfg.Pool {
			available = p.Stats.Available
		}
	}
	near := func(name string, got *float64, bytes float64) { // other tests use the cluster meanwhile
		t.Helper()
		if got == nil || math.Abs(*got-bytes/volume.GiB) > 0.5 {
			t.Errorf("%s = %v, want %v", name, got, bytes/volume.GiB)
		}
	}
	near("total", c.TotalCapacityGB, df.Stats.Total)
	near("free", c.FreeCapacityGB, available)
	if c.ProvisionedCapacityGB == nil || *c.ProvisionedCapacityGB != 6 {
		t.Errorf("provisioned = %v, want 6", c.ProvisionedCapacityGB)
	}
	fsid := strings.TrimSpace(env.Ceph(t, "fsid"))
	if want := "ceph:" + env.Conf + ":" + fsid + ":volumed:" + d.cfg.Pool; c.LocationInfo != want {
		t.Errorf("location = %q, want %q", c.LocationInfo, want)
	}
	if c.StorageProtocol != "ceph" || c.VolumeBackendName != "RBD" || !c.QoSSupport || !c.ThinProvisioningSupport || !c.Multiattach {
		t.Errorf("stats = %+v", c)
	}

	env.Ceph(t, "osd", "pool", "set-quota", d.cfg.Pool, "max_bytes", "1073741824")
	cfg := d.cfg
	cfg.ExclusivePool, cfg.DynamicCapacity = true, true
	exclusive := openDriver(t, cfg)
	if c, err = exclusive.Stats(t.Context()); err != nil {
		t.Fatal(err)
	}
	near("total under a quota", c.TotalCapacityGB, volume.GiB)
	if c.ProvisionedCapacityGB != nil {
		t.Errorf("an exclusive pool reports %d GiB provisioned", *c.ProvisionedCapacityGB)
	}
}
