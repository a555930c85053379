package rbd

import (
	"errors"
	"testing"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/testenv"
	"github.com/volumed/volumed/volume"
)

// A client that is blocklisted, by either of its connections, is told so by Ping
// and by every call, and closes in good order. A fresh one is not concerned.
func TestBlocklisted(t *testing.T) {
	env := testenv.Ceph(t)
	cfg := config(env, env.NewPool(t))
	other := openDriver(t, cfg)
	for name, of := range map[string]func(*Driver) string{
		"control": func(d *Driver) string { return d.control.addr },
		"marked":  func(d *Driver) string { return volume.Elsewhere([]string{d.control.addr})[0] },
		"data":    func(d *Driver) string { return d.data.addr },
	} {
		t.Run(name, func(t *testing.T) {
			d := openDriver(t, cfg)
			wantKind(t, "", other.Fence(t.Context(), []string{of(d)}))
			err := d.Ping(t.Context())
			for err == nil { // until the OSD has heard of it
				err = d.Ping(t.Context())
			}
			wantKind(t, fault.Unavailable, err)
			if !errors.Is(err, driver.ErrShutOut) {
				t.Errorf("ping: %v", err)
			}
			if name == "control" {
				_, err := d.CreateVolume(t.Context(), volume.Spec{Ref: volume.Ref{Name: "volume-1"}, Size: 1})
				if !errors.Is(err, driver.ErrShutOut) {
					t.Errorf("create: %v", err)
				}
			}
			wantKind(t, "", other.Ping(t.Context()))
		})
	}
}
