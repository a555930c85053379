package rbd

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/testenv"
	"github.com/volumed/volumed/volume"
)

// With the OSD or the monitor hanging, every call that a person waits for ends
// within a few timeouts, and says so.
func TestHungCluster(t *testing.T) {
	env := testenv.OwnCeph(t)
	cfg := config(env, "volumes")
	cfg.ConnectTimeout = time.Second
	d := openDriver(t, cfg)
	v := create(t, d, "volume-1")
	snap := snapshot(t, d, v, "snapshot-1")
	calls := map[string]func() error{
		"create": func() error {
			_, err := d.CreateVolume(t.Context(), volume.Spec{Ref: volume.Ref{Name: "volume-2"}, Size: 1})
			return err
		},
		"delete": func() error { _, err := d.DeleteVolume(t.Context(), v, 0); return err },
		"purge":  func() error { return d.PurgeVolume(t.Context(), volume.Ref{Name: "x", ImageID: "1f"}, nil) },
		"clone": func() error {
			_, err := d.CreateVolumeFromSnapshot(t.Context(), volume.Spec{Ref: volume.Ref{Name: "volume-2"}, Size: 1}, snap)
			return err
		},
		"flatten":  func() error { return d.FlattenVolume(t.Context(), v, nil) },
		"extend":   func() error { return d.ExtendVolume(t.Context(), v, 2) },
		"snapshot": func() error { return d.CreateSnapshot(t.Context(), volume.SnapshotRef{Volume: v, Name: "s"}) },
		"attach":   func() error { _, err := d.InitializeConnection(t.Context(), v, "", nil); return err },
		"ping":     func() error { return d.Ping(t.Context()) },
	}
	env.Signal(t, "osd", syscall.SIGSTOP)
	t.Cleanup(func() { env.Signal(t, "osd", syscall.SIGCONT) })
	for name, call := range calls {
		t.Run("osd/"+name, func(t *testing.T) {
			timely(t, 4*time.Second, func() { wantKind(t, fault.Unavailable, call()) })
		})
	}
	t.Run("osd/stats", func(t *testing.T) {
		timely(t, 4*time.Second, func() {
			c, err := d.Stats(t.Context())
			wantKind(t, "", err)
			if c.BackendState != volume.Down || c.Reason == "" || c.FreeCapacityGB != nil {
				t.Errorf("stats = %+v", c)
			}
		})
	})
	t.Run("osd/open", func(t *testing.T) {
		timely(t, 4*time.Second, func() {
			_, err := Open(t.Context(), cfg, hclog.NewNullLogger())
			wantKind(t, fault.Unavailable, err)
		})
	})
	t.Run("osd/data", func(t *testing.T) { hungData(t, d) })
	env.Signal(t, "osd", syscall.SIGCONT)
	for err := d.Ping(t.Context()); err != nil; {
		err = d.Ping(t.Context())
	}
	_, err := d.CreateVolume(t.Context(), volume.Spec{Ref: volume.Ref{Name: "volume-2"}, Size: 1, Repeat: true})
	wantKind(t, "", err) // whether or not the first attempt came through

	env.Signal(t, "mon", syscall.SIGSTOP)
	t.Cleanup(func() { env.Signal(t, "mon", syscall.SIGCONT) })
	for _, name := range []string{"snapshot", "ping"} {
		t.Run("mon/"+name, func(t *testing.T) {
			timely(t, 8*time.Second, func() { wantKind(t, fault.Unavailable, calls[name]()) })
		})
	}
	t.Run("mon/open", func(t *testing.T) {
		timely(t, 4*time.Second, func() {
			_, err := Open(t.Context(), cfg, hclog.NewNullLogger())
			wantKind(t, fault.Unavailable, err)
		})
	})
	env.Signal(t, "mon", syscall.SIGCONT)
}

// hungData shows that a question which hangs is asked once, however often somebody
// wants to know, and that such a driver is never shut down under it.
func hungData(t *testing.T, d *Driver) {
	hung := &Driver{cfg: d.cfg, log: d.log, told: d.told, control: d.control, data: d.data}
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		err := hung.questions.data.ask(ctx, hung, hung.data.read, "the data connection hangs")()
		cancel()
		wantKind(t, fault.Unavailable, err)
		if !strings.Contains(err.Error(), "hangs") {
			t.Error(err)
		}
	}
	if hung.calls.n != 1 {
		t.Errorf("%d reads are in flight, want the first one only", hung.calls.n)
	}
	wantKind(t, fault.Unavailable, hung.Close())
	wantKind(t, fault.Unavailable, hung.Ping(t.Context()))
}
