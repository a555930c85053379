package limit

import (
	"context"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/spell"
	"github.com/volumed/volumed/volume"
)

// Driver is a driver with bounded calls. A method waits for a slot and then for
// the call; it returns early, with the kind Cancelled or Unavailable, when its
// ctx ends. The effect of a call that had begun may then still come.
type Driver struct {
	below     driver.Driver
	told      *spell.Log // an outage ends for a thousand calls at once
	slots     *slots
	abandoned atomic.Int64
}

var (
	_ driver.Driver     = (*Driver)(nil)
	_ driver.Surrounder = (*Driver)(nil)
)

// lull is how long a trouble must not show to be over.
const lull = 10 * time.Second

// New puts bounds around d.
func New(d driver.Driver, cfg Config, log hclog.Logger) *Driver {
	return &Driver{below: d, told: spell.New(log, lull), slots: newSlots(cfg.withDefaults())}
}

// Unwrap returns the driver below. What is called on it is not bounded.
func (d *Driver) Unwrap() driver.Driver { return d.below }

// Busy returns how many slots are taken, abandoned calls included.
func (d *Driver) Busy() int { return d.slots.busy() }

// Abandoned returns how many calls are still in the driver below though nobody
// waits for them any more.
func (d *Driver) Abandoned() int { return int(d.abandoned.Load()) }

// grace is how long a caller whose ctx ended waits for a call that watches its
// ctx: such a call ends within a second, and its outcome is worth knowing.
const grace = 2 * time.Second

// call is what run needs to know of a method.
type call struct {
	class   Class
	name    string
	watches bool // it ends soon after its ctx
}

func bulk(name string) call { return call{class: Bulk, name: name, watches: true} }

// run runs the method under its bound.
func run[T any](ctx context.Context, d *Driver, c call, method func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	var zero T
	if err := ctx.Err(); err != nil {
		return zero, err
	}
	if err := d.slots.acquire(ctx, c.class); err != nil {
		return zero, fault.New(fault.KindOf(err), "no slot became free in time: %w", err)
	}
	results := make(chan result, 1)
	var left atomic.Bool // set by the side that comes second to the end
	go func() {
		r := result{err: fault.New(fault.Internal, "%s ended its goroutine", c.name)}
		defer func() {
			if p := recover(); p != nil {
				d.told.Note(c.name, hclog.Error, "driver panicked", "method", c.name, "panic", p, "stack", string(debug.Stack()))
				r.err = fault.New(fault.Internal, "%s panicked: %v", c.name, p)
			}
			d.slots.release(c.class)
			results <- r
			if left.Swap(true) {
				d.abandoned.Add(-1)
				d.told.Note("return", hclog.Info, "abandoned call has returned", "method", c.name, "error", r.err)
			}
		}()
		r.value, r.err = method()
	}()
	select {
	case r := <-results:
		return r.value, r.err
	case <-ctx.Done():
	}
	if c.watches {
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case r := <-results:
			return r.value, r.err
		case <-timer.C:
		}
	}
	d.abandoned.Add(1)
	if left.Swap(true) { // it returned just now
		d.abandoned.Add(-1)
		r := <-results
		return r.value, r.err
	}
	return zero, fault.New(fault.KindOf(ctx.Err()), "gave up waiting; the call goes on in the driver: %w", ctx.Err())
}

// runErr is run for methods that return an error only.
func runErr(ctx context.Context, d *Driver, c call, method func() error) error {
	_, err := run(ctx, d, c, func() (struct{}, error) { return struct{}{}, method() })
	return err
}

// CreateVolume is driver.Provisioner's, in the class Work.
func (d *Driver) CreateVolume(ctx context.Context, v volume.Spec) (volume.Location, error) {
	return run(ctx, d, call{class: Work, name: "CreateVolume"}, func() (volume.Location, error) {
		return d.below.CreateVolume(ctx, v)
	})
}

// DeleteVolume is driver.Provisioner's, in the class Work.
func (d *Driver) DeleteVolume(ctx context.Context, v volume.Ref, keep time.Duration) (volume.Location, error) {
	return run(ctx, d, call{class: Work, name: "DeleteVolume"}, func() (volume.Location, error) {
		return d.below.DeleteVolume(ctx, v, keep)
	})
}

// UndeleteVolume is driver.Provisioner's, in the class Work.
func (d *Driver) UndeleteVolume(ctx context.Context, v volume.Ref) error {
	return runErr(ctx, d, call{class: Work, name: "UndeleteVolume"}, func() error { return d.below.UndeleteVolume(ctx, v) })
}

// PurgeVolume is driver.Provisioner's, in the class Bulk.
func (d *Driver) PurgeVolume(ctx context.Context, v volume.Ref, p driver.Progress) error {
	return runErr(ctx, d, call{class: Bulk, name: "PurgeVolume", watches: true}, func() error { return d.below.PurgeVolume(ctx, v, p) })
}

// CreateSnapshot is driver.Snapshotter's, in the class Control.
func (d *Driver) CreateSnapshot(ctx context.Context, s volume.SnapshotRef) error {
	return runErr(ctx, d, call{class: Control, name: "CreateSnapshot"}, func() error { return d.below.CreateSnapshot(ctx, s) })
}

// DeleteSnapshot is driver.Snapshotter's, in the class Control.
func (d *Driver) DeleteSnapshot(ctx context.Context, s volume.SnapshotRef) error {
	return runErr(ctx, d, call{class: Control, name: "DeleteSnapshot"}, func() error { return d.below.DeleteSnapshot(ctx, s) })
}

// CreateVolumeFromSnapshot is driver.Cloner's, in the class Work.
func (d *Driver) CreateVolumeFromSnapshot(ctx context.Context, v volume.Spec, from volume.SnapshotRef) (volume.Location, error) {
	return run(ctx, d, call{class: Work, name: "CreateVolumeFromSnapshot"}, func() (volume.Location, error) {
		return d.below.CreateVolumeFromSnapshot(ctx, v, from)
	})
}

// FlattenVolume is driver.Cloner's, in the class Bulk. When its ctx ends it waits
// for the driver to stop, at most two seconds.
func (d *Driver) FlattenVolume(ctx context.Context, v volume.Ref, p driver.Progress) error {
	return runErr(ctx, d, call{Bulk, "FlattenVolume", true}, func() error { return d.below.FlattenVolume(ctx, v, p) })
}

// Surround is driver.Surrounder's: brief calls are in the class Work, those that list in
// the class Stats, long ones in the class Bulk. When the ctx of one of the latter two ends,
// it waits for the driver to stop, at most two seconds.
func (d *Driver) Surround(ctx context.Context, c driver.Call, p driver.Progress, method func(driver.Progress) error) error {
	within := call{class: Work, name: c.Method}
	switch c.Extent {
	case driver.Listing:
		within = call{class: Stats, name: c.Method, watches: true}
	case driver.Long:
		within = bulk(c.Method)
	}
	return runErr(ctx, d, within, func() error { return method(p) })
}

// ExtendVolume is driver.Extender's, in the class Control.
func (d *Driver) ExtendVolume(ctx context.Context, v volume.Ref, size int64) error {
	return runErr(ctx, d, call{class: Control, name: "ExtendVolume"}, func() error { return d.below.ExtendVolume(ctx, v, size) })
}

// InitializeConnection is driver.Connector's, in the class Control.
func (d *Driver) InitializeConnection(ctx context.Context, v volume.Ref, id string, connector map[string]any) (volume.ConnectionInfo, error) {
	return run(ctx, d, call{class: Control, name: "InitializeConnection"}, func() (volume.ConnectionInfo, error) {
		return d.below.InitializeConnection(ctx, v, id, connector)
	})
}

// TerminateConnection is driver.Connector's, in the class Control.
func (d *Driver) TerminateConnection(ctx context.Context, v volume.Ref, connector map[string]any) error {
	return runErr(ctx, d, call{class: Control, name: "TerminateConnection"}, func() error {
		return d.below.TerminateConnection(ctx, v, connector)
	})
}

// Stats is driver.Reporter's, in the class Stats.
func (d *Driver) Stats(ctx context.Context) (volume.Capabilities, error) {
	return run(ctx, d, call{class: Stats, name: "Stats"}, func() (volume.Capabilities, error) { return d.below.Stats(ctx) })
}

// Ping is driver.Reporter's. It has a slot of its own beside the others.
func (d *Driver) Ping(ctx context.Context) error {
	return runErr(ctx, d, call{class: check, name: "Ping"}, func() error { return d.below.Ping(ctx) })
}

// Addrs is driver.Reporter's. It takes no slot.
func (d *Driver) Addrs() []string { return d.below.Addrs() }

// Close is driver.Driver's. It takes no slot: the driver below knows its calls.
func (d *Driver) Close() error { return d.below.Close() }
