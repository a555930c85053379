package rbd

import (
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/testenv"
	"github.com/volumed/volumed/volume"
)

// config returns the configuration of a driver on the test's cluster.
func config(env *testenv.CephEnv, pool string) Config {
	return Config{ConfFile: env.Conf, User: env.User, Pool: pool, ConnectRetries: 1}
}

// openDriver opens a driver that is closed after the test, when no image may be
// open any more.
func openDriver(t testing.TB, cfg Config) *Driver {
	t.Helper()
	d, err := Open(t.Context(), cfg, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if n := d.handles.Load(); n != 0 {
			t.Errorf("%d images are left open", n)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// fresh returns a driver on a pool of its own.
func fresh(t testing.TB) (*testenv.CephEnv, *Driver) {
	t.Helper()
	env := testenv.Ceph(t)
	return env, openDriver(t, config(env, env.NewPool(t)))
}

// measured returns the stats once the monitors know the figures of the pool,
// which a new one's manager reports every few seconds.
func measured(t testing.TB, d *Driver) volume.Capabilities {
	t.Helper()
	for {
		c, err := d.Stats(t.Context())
		wantKind(t, "", err)
		if c.TotalCapacityGB != nil {
			return c
		}
	}
}

// wantKind fails the test unless err is of the kind; "" stands for no error.
func wantKind(t testing.TB, kind fault.Kind, err error) {
	t.Helper()
	if got := fault.KindOf(err); got != kind {
		t.Fatalf("kind = %q, want %q: %v", got, kind, err)
	}
}

// create makes a volume of 1 GiB.
func create(t testing.TB, d *Driver, name string) volume.Ref {
	t.Helper()
	loc, err := d.CreateVolume(t.Context(), volume.Spec{Ref: volume.Ref{Name: name}, Size: 1})
	wantKind(t, "", err)
	return volume.Ref{Name: name, ImageID: loc.ImageID}
}

// snapshot takes a snapshot of v.
func snapshot(t testing.TB, d *Driver, v volume.Ref, name string) volume.SnapshotRef {
	t.Helper()
	s := volume.SnapshotRef{Volume: v, Name: name}
	wantKind(t, "", d.CreateSnapshot(t.Context(), s))
	return s
}

// clone makes a clone of 1 GiB.
func clone(t testing.TB, d *Driver, name string, from volume.SnapshotRef) volume.Ref {
	t.Helper()
	return cloneOf(t, d, name, from, 1)
}

// cloneOf makes a clone of that size in GiB.
func cloneOf(t testing.TB, d *Driver, name string, from volume.SnapshotRef, size int64) volume.Ref {
	t.Helper()
	loc, err := d.CreateVolumeFromSnapshot(t.Context(), volume.Spec{Ref: volume.Ref{Name: name}, Size: size}, from)
	wantKind(t, "", err)
	return volume.Ref{Name: name, ImageID: loc.ImageID}
}

// remove deletes and purges v.
func remove(t testing.TB, d *Driver, v volume.Ref) error {
	t.Helper()
	loc, err := d.DeleteVolume(t.Context(), v, 0)
	if err != nil {
		return err
	}
	return d.PurgeVolume(t.Context(), volume.Ref{Name: v.Name, ImageID: loc.ImageID}, nil)
}

// timely fails the test if do takes longer than most.
func timely(t testing.TB, most time.Duration, do func()) {
	t.Helper()
	start := time.Now()
	do()
	if took := time.Since(start); took > most {
		t.Errorf("took %v, want at most %v", took, most)
	}
}
