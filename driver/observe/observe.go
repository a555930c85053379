// Package observe watches the calls of a driver: it times them, says while one is
// running that it is slow, knows which are running, and hands each that has ended
// to a callback for metrics.
package observe

import (
	"context"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// Call is one call that has ended.
type Call struct {
	Method string // as in Go: CreateVolume
	Object string // what it was about; empty for the backend itself
	Took   time.Duration
	Kind   fault.Kind // of its error; empty for success
}

// Driver is a driver that is watched.
type Driver struct {
	below   driver.Driver
	log     hclog.Logger
	ended   func(Call)
	flights flights
	slow    slow
}

var (
	_ driver.Driver     = (*Driver)(nil)
	_ driver.Tracker    = (*Driver)(nil)
	_ driver.Surrounder = (*Driver)(nil)
)

// New watches d. Calls are logged at the debug level. That one takes
// longer than such a call should is logged at warn, while it runs, one a minute where
// many do, and that none is slow any more once the last has returned; failures are for
// the caller to log. ended may be nil; it is called on the goroutine of the call and must
// return at once.
func New(d driver.Driver, log hclog.Logger, ended func(Call)) *Driver {
	if ended == nil {
		ended = func(Call) {}
	}
	return &Driver{below: d, log: log, ended: ended}
}

// Unwrap returns the driver below.
func (d *Driver) Unwrap() driver.Driver { return d.below }

// When a call is slow. A snapshot waits for a commit of the monitors, which alone
// takes a second; what copies or removes data takes as long as there is data.
const (
	usual     = time.Second
	usualSnap = 5 * time.Second
	never     = time.Duration(0)
)

// watch runs the method.
func watch[T any](d *Driver, method, object string, slow time.Duration, run func() (T, error)) (T, error) {
	return fly(d, method, object, slow, func(*flight) (T, error) { return run() })
}

// watchErr is watch for methods that return an error only.
func watchErr(d *Driver, method, object string, slow time.Duration, run func() error) error {
	_, err := watch(d, method, object, slow, func() (struct{}, error) { return struct{}{}, run() })
	return err
}

// watchLong is watchErr for methods that take as long as there is data, and tell
// how far they are.
func watchLong(d *Driver, method, object string, p driver.Progress, run func(driver.Progress) error) error {
	_, err := fly(d, method, object, never, func(f *flight) (struct{}, error) { return struct{}{}, run(f.signs(p)) })
	return err
}

// fly runs a call and watches it.
func fly[T any](d *Driver, method, object string, slow time.Duration, run func(*flight) (T, error)) (value T, err error) {
	f := d.flights.begin(method, object)
	if slow != never {
		timer := time.AfterFunc(slow, func() {
			if d.slow.begin(f) {
				d.log.Warn("driver call is slow", "method", method, "object", object, "running", slow)
			}
		})
		defer timer.Stop()
	}
	defer func() {
		d.flights.end(f)
		if times, lasted := d.slow.end(f); times > 0 {
			d.log.Info("no driver call is slow any more", "times", times, "lasted", lasted)
		}
		c := Call{Method: method, Object: object, Took: time.Since(f.begun), Kind: fault.KindOf(err)}
		d.log.Debug("driver call", "method", method, "object", object, "took", c.Took, "kind", string(c.Kind))
		d.ended(c)
	}()
	return run(f)
}

// CreateVolume is driver.Provisioner's.
func (d *Driver) CreateVolume(ctx context.Context, v volume.Spec) (volume.Location, error) {
	return watch(d, "CreateVolume", v.Name, usual, func() (volume.Location, error) { return d.below.CreateVolume(ctx, v) })
}

// DeleteVolume is driver.Provisioner's.
func (d *Driver) DeleteVolume(ctx context.Context, v volume.Ref, keep time.Duration) (volume.Location, error) {
	return watch(d, "DeleteVolume", v.Name, usual, func() (volume.Location, error) { return d.below.DeleteVolume(ctx, v, keep) })
}

// UndeleteVolume is driver.Provisioner's.
func (d *Driver) UndeleteVolume(ctx context.Context, v volume.Ref) error {
	return watchErr(d, "UndeleteVolume", v.Name, usual, func() error { return d.below.UndeleteVolume(ctx, v) })
}

// PurgeVolume is driver.Provisioner's.
func (d *Driver) PurgeVolume(ctx context.Context, v volume.Ref, p driver.Progress) error {
	return watchLong(d, "PurgeVolume", v.Name, p, func(p driver.Progress) error { return d.below.PurgeVolume(ctx, v, p) })
}

// CreateSnapshot is driver.Snapshotter's.
func (d *Driver) CreateSnapshot(ctx context.Context, s volume.SnapshotRef) error {
	return watchErr(d, "CreateSnapshot", s.String(), usualSnap, func() error { return d.below.CreateSnapshot(ctx, s) })
}

// DeleteSnapshot is driver.Snapshotter's.
func (d *Driver) DeleteSnapshot(ctx context.Context, s volume.SnapshotRef) error {
	return watchErr(d, "DeleteSnapshot", s.String(), usualSnap, func() error { return d.below.DeleteSnapshot(ctx, s) })
}

// CreateVolumeFromSnapshot is driver.Cloner's.
func (d *Driver) CreateVolumeFromSnapshot(ctx context.Context, v volume.Spec, from volume.SnapshotRef) (volume.Location, error) {
	return watch(d, "CreateVolumeFromSnapshot", v.Name, usual, func() (volume.Location, error) {
		return d.below.CreateVolumeFromSnapshot(ctx, v, from)
	})
}

// FlattenVolume is driver.Cloner's.
func (d *Driver) FlattenVolume(ctx context.Context, v volume.Ref, p driver.Progress) error {
	return watchLong(d, "FlattenVolume", v.Name, p, func(p driver.Progress) error { return d.below.FlattenVolume(ctx, v, p) })
}

// Surround is driver.Surrounder's.
func (d *Driver) Surround(_ context.Context, c driver.Call, p driver.Progress, call func(driver.Progress) error) error {
	if c.Extent == driver.Brief {
		return watchErr(d, c.Method, c.Object, usual, func() error { return call(p) })
	}
	return watchLong(d, c.Method, c.Object, p, call)
}

// ExtendVolume is driver.Extender's.
func (d *Driver) ExtendVolume(ctx context.Context, v volume.Ref, size int64) error {
	return watchErr(d, "ExtendVolume", v.Name, usual, func() error { return d.below.ExtendVolume(ctx, v, size) })
}

// InitializeConnection is driver.Connector's.
func (d *Driver) InitializeConnection(ctx context.Context, v volume.Ref, id string, connector map[string]any) (volume.ConnectionInfo, error) {
	return watch(d, "InitializeConnection", v.Name, usual, func() (volume.ConnectionInfo, error) {
		return d.below.InitializeConnection(ctx, v, id, connector)
	})
}

// TerminateConnection is driver.Connector's.
func (d *Driver) TerminateConnection(ctx context.Context, v volume.Ref, connector map[string]any) error {
	return watchErr(d, "TerminateConnection", v.Name, usual, func() error { return d.below.TerminateConnection(ctx, v, connector) })
}

// Stats is driver.Reporter's.
func (d *Driver) Stats(ctx context.Context) (volume.Capabilities, error) {
	return watch(d, "Stats", "", usual, func() (volume.Capabilities, error) { return d.below.Stats(ctx) })
}

// Ping is driver.Reporter's.
func (d *Driver) Ping(ctx context.Context) error {
	return watchErr(d, "Ping", "", usual, func() error { return d.below.Ping(ctx) })
}

// Addrs is driver.Reporter's. It is not watched: it asks nobody.
func (d *Driver) Addrs() []string { return d.below.Addrs() }

// Close is driver.Driver's.
func (d *Driver) Close() error { return d.below.Close() }
