package rbd

import (
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/driver/drivertest"
	"github.com/volumed/volumed/internal/testenv"
)

func TestBetween(t *testing.T) {
	env := testenv.Ceph(t)
	for name, format := range map[string]string{"format_1": "1", "format_2": "2"} {
		t.Run(name, func(t *testing.T) {
			from, to := config(env, env.NewPool(t)), config(env, env.NewPool(t))
			from.CloneFormat, to.CloneFormat = format, format
			from.ImagePools = []string{to.Pool}
			drivertest.RunBetween(t, func(t *testing.T) (driver.Driver, driver.Driver) {
				return openDriver(t, from), openDriver(t, to)
			})
		})
	}
}

func TestDriver(t *testing.T) {
	env := testenv.Ceph(t)
	for name, format := range map[string]string{"format_1": "1", "format_2": "2"} {
		t.Run(name, func(t *testing.T) {
			cfg := config(env, env.NewPool(t))
			cfg.CloneFormat = format
			measured(t, openDriver(t, cfg))
			drivertest.Run(t, func(t *testing.T) driver.Driver {
				d, err := Open(t.Context(), cfg, hclog.NewNullLogger())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { // after the suite has closed it
					if n := d.handles.Load(); n != 0 {
						t.Errorf("%d images are left open", n)
					}
				})
				return d
			})
		})
	}
}
