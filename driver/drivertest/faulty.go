package drivertest

import (
	"context"
	"sync"
	"time"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/volume"
)

// Faulty is a driver in front of another one that fails where it is told to.
// Methods are named as in Go: "CreateVolume". Calls of a method are counted from
// 1; the n-th is the n-th since the Faulty was made.
type Faulty struct {
	driver.Driver

	mu    sync.Mutex
	calls map[string]int
	rules map[call]rule
}

// call is one call to come.
type call struct {
	method string
	n      int
}

// rule is what happens to it.
type rule struct {
	before, after error
	reached       chan struct{} // closed when the call is there; nil = it is not held
	release       chan struct{}
}

var _ driver.Driver = (*Faulty)(nil)

// NewFaulty returns a Faulty in front of d that does nothing yet.
func NewFaulty(d driver.Driver) *Faulty {
	return &Faulty{Driver: d, calls: map[string]int{}, rules: map[call]rule{}}
}

// Unwrap returns the driver below.
func (f *Faulty) Unwrap() driver.Driver { return f.Driver }

// FailBefore lets the n-th call of the method fail with err without any effect.
func (f *Faulty) FailBefore(method string, n int, err error) {
	f.change(method, n, func(r *rule) { r.before = err })
}

// FailAfter lets the n-th call of the method fail with err after its effect:
// the backend did it and the reply was lost.
func (f *Faulty) FailAfter(method string, n int, err error) {
	f.change(method, n, func(r *rule) { r.after = err })
}

// Hold lets the n-th call of the method hang before its effect, whatever
// becomes of its ctx, as a call into C does, until release is called. reached is
// closed once the call is there.
func (f *Faulty) Hold(method string, n int) (reached <-chan struct{}, release func()) {
	r := rule{reached: make(chan struct{}), release: make(chan struct{})}
	f.change(method, n, func(old *rule) { old.reached, old.release = r.reached, r.release })
	return r.reached, sync.OnceFunc(func() { close(r.release) })
}

// Calls returns how often the method was called.
func (f *Faulty) Calls(method string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[method]
}

func (f *Faulty) change(method string, n int, change func(*rule)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.rules[call{method, n}]
	change(&r)
	f.rules[call{method, n}] = r
}

// next counts a call and returns its rule.
func (f *Faulty) next(method string) rule {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[method]++
	return f.rules[call{method, f.calls[method]}]
}

// do runs one call under its rule.
func do[T any](f *Faulty, method string, run func() (T, error)) (T, error) {
	var zero T
	r := f.next(method)
	if r.reached != nil {
		close(r.reached)
		<-r.release
	}
	if r.before != nil {
		return zero, r.before
	}
	value, err := run()
	if r.after != nil {
		return zero, r.after
	}
	return value, err
}

// doErr is do for methods that return an error only.
func doErr(f *Faulty, method string, run func() error) error {
	_, err := do(f, method, func() (struct{}, error) { return struct{}{}, run() })
	return err
}

// CreateVolume is driver.Provisioner's.
func (f *Faulty) CreateVolume(ctx context.Context, v volume.Spec) (volume.Location, error) {
	return do(f, "CreateVolume", func() (volume.Location, error) { return f.Driver.CreateVolume(ctx, v) })
}

// DeleteVolume is driver.Provisioner's.
func (f *Faulty) DeleteVolume(ctx context.Context, v volume.Ref, keep time.Duration) (volume.Location, error) {
	return do(f, "DeleteVolume", func() (volume.Location, error) { return f.Driver.DeleteVolume(ctx, v, keep) })
}

// UndeleteVolume is driver.Provisioner's.
func (f *Faulty) UndeleteVolume(ctx context.Context, v volume.Ref) error {
	return doErr(f, "UndeleteVolume", func() error { return f.Driver.UndeleteVolume(ctx, v) })
}

// PurgeVolume is driver.Provisioner's.
func (f *Faulty) PurgeVolume(ctx context.Context, v volume.Ref, p driver.Progress) error {
	return doErr(f, "PurgeVolume", func() error { return f.Driver.PurgeVolume(ctx, v, p) })
}

// CreateSnapshot is driver.Snapshotter's.
func (f *Faulty) CreateSnapshot(ctx context.Context, s volume.SnapshotRef) error {
	return doErr(f, "CreateSnapshot", func() error { return f.Driver.CreateSnapshot(ctx, s) })
}

// DeleteSnapshot is driver.Snapshotter's.
func (f *Faulty) DeleteSnapshot(ctx context.Context, s volume.SnapshotRef) error {
	return doErr(f, "DeleteSnapshot", func() error { return f.Driver.DeleteSnapshot(ctx, s) })
}

// CreateVolumeFromSnapshot is driver.Cloner's.
func (f *Faulty) CreateVolumeFromSnapshot(ctx context.Context, v volume.Spec, from volume.SnapshotRef) (volume.Location, error) {
	return do(f, "CreateVolumeFromSnapshot", func() (volume.Location, error) {
		return f.Driver.CreateVolumeFromSnapshot(ctx, v, from)
	})
}

// FlattenVolume is driver.Cloner's.
func (f *Faulty) FlattenVolume(ctx context.Context, v volume.Ref, p driver.Progress) error {
	return doErr(f, "FlattenVolume", func() error { return f.Driver.FlattenVolume(ctx, v, p) })
}

// ExtendVolume is driver.Extender's.
func (f *Faulty) ExtendVolume(ctx context.Context, v volume.Ref, size int64) error {
	return doErr(f, "ExtendVolume", func() error { return f.Driver.ExtendVolume(ctx, v, size) })
}

// InitializeConnection is driver.Connector's.
func (f *Faulty) InitializeConnection(ctx context.Context, v volume.Ref, id string, connector map[string]any) (volume.ConnectionInfo, error) {
	return do(f, "InitializeConnection", func() (volume.ConnectionInfo, error) {
		return f.Driver.InitializeConnection(ctx, v, id, connector)
	})
}

// TerminateConnection is driver.Connector's.
func (f *Faulty) TerminateConnection(ctx context.Context, v volume.Ref, connector map[string]any) error {
	return doErr(f, "TerminateConnection", func() error { return f.Driver.TerminateConnection(ctx, v, connector) })
}

// Stats is driver.Reporter's.
func (f *Faulty) Stats(ctx context.Context) (volume.Capabilities, error) {
	return do(f, "Stats", func() (volume.Capabilities, error) { return f.Driver.Stats(ctx) })
}

// Ping is driver.Reporter's.
func (f *Faulty) Ping(ctx context.Context) error {
	return doErr(f, "Ping", func() error { return f.Driver.Ping(ctx) })
}
