package mem

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// Driver is a driver on a World.
type Driver struct {
	world  *World
	addr   string
	closed atomic.Bool
}

var _ driver.Driver = (*Driver)(nil)

// New returns a driver on the world, with an address of its own.
func New(w *World) *Driver {
	w.mu.Lock()
	defer w.mu.Unlock()
	return &Driver{world: w, addr: fmt.Sprintf("127.0.0.1:0/%d", w.next())}
}

// Close ends the driver: later calls are refused with Unavailable. The world
// stays as it is.
func (d *Driver) Close() error { d.closed.Store(true); return nil }

// Addrs returns the one address of the driver.
func (d *Driver) Addrs() []string { return []string{d.addr} }

// enter locks the world for one call, or tells why there is none.
func (d *Driver) enter(ctx context.Context) (*World, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if d.closed.Load() {
		return nil, fault.New(fault.Unavailable, "the driver is closed")
	}
	d.world.mu.Lock()
	if why := d.world.down; why != "" {
		d.world.mu.Unlock()
		return nil, fault.New(fault.Unavailable, "%s", why)
	}
	return d.world, nil
}

// Ping fails while the world is down.
func (d *Driver) Ping(ctx context.Context) (err error) {
	defer fault.Wrap(&err, "ping")
	w, err := d.enter(ctx)
	if err != nil {
		return err
	}
	w.mu.Unlock()
	return nil
}

// Stats reports a pool of 1 TiB that volumes take nothing from.
func (d *Driver) Stats(ctx context.Context) (volume.Capabilities, error) {
	c := volume.Capabilities{
		VolumeBackendName: "mem", VendorName: "Open Source", DriverVersion: "1", StorageProtocol: "mem",
		LocationInfo: "mem::mem:None:mem", PoolName: "mem", MaxOverSubscriptionRatio: "20.0",
		ThinProvisioningSupport: true, Multiattach: true, BackendState: volume.Up,
	}
	w, err := d.enter(ctx)
	if ctx.Err() != nil {
		return c, err
	}
	if err != nil {
		c.BackendState, c.Reason = volume.Down, err.Error()
		return c, nil
	}
	defer w.mu.Unlock()
	c.PoolName, c.LocationInfo = w.pool, "mem::mem:None:"+w.pool
	total, free := w.total, w.total
	if w.full {
		free = 0
	}
	var provisioned int64
	for _, img := range w.live {
		provisioned += img.size
	}
	c.TotalCapacityGB, c.FreeCapacityGB, c.ProvisionedCapacityGB = &total, &free, &provisioned
	return c, nil
}

// InitializeConnection returns the name of the image. Kinds: NotFound, Conflict.
func (d *Driver) InitializeConnection(ctx context.Context, v volume.Ref, volumeID string, _ map[string]any) (info volume.ConnectionInfo, err error) {
	defer fault.Wrap(&err, "connect to %s", v.Name)
	w, err := d.enter(ctx)
	if err != nil {
		return info, err
	}
	defer w.mu.Unlock()
	if _, err := w.find(v); err != nil {
		return info, err
	}
	return volume.ConnectionInfo{
		DriverVolumeType: "mem",
		Data:             map[string]any{"name": "mem/" + v.Name, "volume_id": volumeID, "discard": true},
	}, nil
}

// TerminateConnection does nothing.
func (d *Driver) TerminateConnection(ctx context.Context, _ volume.Ref, _ map[string]any) error {
	return ctx.Err()
}
