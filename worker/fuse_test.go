package worker_test

import (
	"context"
	"sync"
	"time"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/volume"
	"github.com/volumed/volumed/worker"
)

// fuse ends a process at one moment, as kill -9 does: from then on it changes
// neither the database nor the storage. Before each change of either is a moment;
// for those who are left it is the one after the change before, too.
type fuse struct {
	mu    sync.Mutex
	armed bool
	left  int // moments until the end
	dead  bool
	where string
	blew  chan struct{}
}

func newFuse() *fuse { return &fuse{blew: make(chan struct{})} }

// arm lets the n-th moment from now be the last one, counted from 0.
func (f *fuse) arm(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed, f.left = true, n
}

func (f *fuse) blown() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dead
}

// moment returns an error when the process is dead.
func (f *fuse) moment(where string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.armed && !f.dead {
		if f.left--; f.left < 0 {
			f.dead, f.where = true, where
			close(f.blew)
		}
	}
	if f.dead {
		return errDead
	}
	return nil
}

// around runs a change after its moment. What comes back to the dead is an error.
func around[T any](f *fuse, name string, change func() (T, error)) (T, error) {
	var zero T
	if err := f.moment("before " + name); err != nil {
		return zero, err
	}
	v, err := change()
	if f.blown() {
		return zero, errDead
	}
	return v, err
}

func aroundErr(f *fuse, name string, change func() error) error {
	_, err := around(f, name, func() (struct{}, error) { return struct{}{}, change() })
	return err
}

var errDead = fault.New(fault.Unavailable, "this process is dead")

// fusedStore is the database of a process with a fuse.
type fusedStore struct {
	worker.Store
	fuse *fuse
}

func (s fusedStore) Write(ctx context.Context, fence operation.Fence, change func(operation.Tx) error) error {
	return aroundErr(s.fuse, "Write", func() error { return s.Store.Write(ctx, fence, change) })
}

func (s fusedStore) WriteSoon(ctx context.Context, fence operation.Fence, change func(operation.Tx) error) error {
	return aroundErr(s.fuse, "Write", func() error { return s.Store.WriteSoon(ctx, fence, change) })
}

// Heartbeat is no moment: it comes when it likes.
func (s fusedStore) Heartbeat(ctx context.Context, f operation.Fence, phase volume.Phase, reason string, addrs []string) error {
	if s.fuse.blown() {
		return errDead
	}
	return s.Store.Heartbeat(ctx, f, phase, reason, addrs)
}

// fusedDriver is the driver of a process with a fuse.
type fusedDriver struct {
	driver.Driver
	fuse *fuse
}

func (d fusedDriver) CreateVolume(ctx context.Context, v volume.Spec) (volume.Location, error) {
	return around(d.fuse, "CreateVolume", func() (volume.Location, error) { return d.Driver.CreateVolume(ctx, v) })
}

func (d fusedDriver) DeleteVolume(ctx context.Context, v volume.Ref, keep time.Duration) (volume.Location, error) {
	return around(d.fuse, "DeleteVolume", func() (volume.Location, error) { return d.Driver.DeleteVolume(ctx, v, keep) })
}

func (d fusedDriver) UndeleteVolume(ctx context.Context, v volume.Ref) error {
	return aroundErr(d.fuse, "UndeleteVolume", func() error { return d.Driver.UndeleteVolume(ctx, v) })
}

func (d fusedDriver) PurgeVolume(ctx context.Context, v volume.Ref, p driver.Progress) error {
	return aroundErr(d.fuse, "PurgeVolume", func() error { return d.Driver.PurgeVolume(ctx, v, p) })
}

func (d fusedDriver) CreateSnapshot(ctx context.Context, s volume.SnapshotRef) error {
	return aroundErr(d.fuse, "CreateSnapshot", func() error { return d.Driver.CreateSnapshot(ctx, s) })
}

func (d fusedDriver) DeleteSnapshot(ctx context.Context, s volume.SnapshotRef) error {
	return aroundErr(d.fuse, "DeleteSnapshot", func() error { return d.Driver.DeleteSnapshot(ctx, s) })
}

func (d fusedDriver) CreateVolumeFromSnapshot(ctx context.Context, v volume.Spec, from volume.SnapshotRef) (volume.Location, error) {
	return around(d.fuse, "CreateVolumeFromSnapshot", func() (volume.Location, error) {
		return d.Driver.CreateVolumeFromSnapshot(ctx, v, from)
	})
}

func (d fusedDriver) FlattenVolume(ctx context.Context, v volume.Ref, p driver.Progress) error {
	return aroundErr(d.fuse, "FlattenVolume", func() error { return d.Driver.FlattenVolume(ctx, v, p) })
}

func (d fusedDriver) ExtendVolume(ctx context.Context, v volume.Ref, size int64) error {
	return aroundErr(d.fuse, "ExtendVolume", func() error { return d.Driver.ExtendVolume(ctx, v, size) })
}

func (d fusedDriver) RevertToSnapshot(ctx context.Context, s volume.SnapshotRef, size int64, p driver.Progress) error {
	below, err := driver.Ability[driver.Reverter](d.Driver, "revert volumes")
	if err != nil {
		return err
	}
	return aroundErr(d.fuse, "RevertToSnapshot", func() error { return below.RevertToSnapshot(ctx, s, size, p) })
}
