package rbd

import (
	"context"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/volumed/volumed/fault"
)

// directory is the RADOS object that lists the images of a pool; the cheapest
// thing to read there. A pool without images need not have it.
const directory = "rbd_directory"

// read reads something small from the pool. A monitor alone would not tell that
// the OSDs hang, nor that this client is blocklisted.
func (l *link) read() error {
	if _, err := l.io.Stat(directory); err != nil && errno(err) != syscall.ENOENT {
		return classify(err, "read from the pool")
	}
	return nil
}

// Ping reads from the pool over both connections and asks a monitor, each within
// the timeout of the control connection. Kind: Unavailable, with what is away.
func (d *Driver) Ping(ctx context.Context) (err error) {
	defer fault.Wrap(&err, "ping")
	leave, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := d.control.read(); err != nil {
		return err
	}
	if err := d.readData(ctx); err != nil {
		return err
	}
	var dump monDump
	return d.control.mon(&dump, "mon dump")
}

// probe is the read over the data connection, which never times out by itself:
// one that hangs is left behind, and no second one is started.
type probe struct{ running atomic.Bool }

func (d *Driver) readData(ctx context.Context) error {
	hangs := fault.New(fault.Unavailable, "a read over the data connection hangs").WithHint("check: ceph -s")
	if !d.probe.running.CompareAndSwap(false, true) {
		return hangs
	}
	if !d.calls.enter() {
		d.probe.running.Store(false)
		return fault.New(fault.Unavailable, "the driver is closed")
	}
	result := make(chan error, 1)
	go func() {
		defer d.calls.leave()
		err := d.data.read()
		d.probe.running.Store(false)
		result <- err
	}()
	timer := time.NewTimer(d.cfg.ConnectTimeout)
	defer timer.Stop()
	select {
	case err := <-result:
		return err
	case <-timer.C:
		return hangs
	case <-ctx.Done():
		return ctx.Err()
	}
}
