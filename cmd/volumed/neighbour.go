package main

import (
	"cmp"
	"context"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/config"
	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/driver/rbd"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// openNeighbour connects to the backend of another service, by its section where this
// configuration has it. A service of another machine has its own: its pool is then looked
// for on our cluster, with our user.
func openNeighbour(ctx context.Context, cfg *config.Config, own *config.Backend, host string, log hclog.Logger) (driver.Driver, error) {
	if own.VolumeDriver == config.DriverMem {
		return nil, fault.New(fault.Unsupported, "what is in the memory of one process cannot be copied to another")
	}
	return connectDriver(ctx, neighbourOf(cfg, own, volume.ParseHost(host)), log.Named("neighbour"))
}

func neighbourOf(cfg *config.Config, own *config.Backend, host volume.Host) *config.Backend {
	for i := range cfg.Backends {
		if b := &cfg.Backends[i]; b.Err == nil && b.ServiceHost(cfg) == host.Service() {
			return b
		}
	}
	other := *own
	other.RBDPool = host.Pool
	return &other
}

// backendName is what the driver reports as volume_backend_name.
func backendName(b *config.Backend) string {
	if b.VolumeDriver == config.DriverMem {
		return "mem"
	}
	return cmp.Or(b.VolumeBackendName, rbd.DefaultName)
}
