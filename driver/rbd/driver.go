package rbd

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/spell"
)

// Driver is one pool of one cluster, connected.
type Driver struct {
	cfg         Config
	log         hclog.Logger
	told        *spell.Log // of what fails at every interval
	control     *link
	data        *link
	aside       aside
	fsid        string
	features    uint64 // of new images
	cloneFormat uint64 // 1 or 2
	calls       calls
	entered     atomic.Int64 // calls that were admitted, ever
	purging     locks
	snapshots   locks // of images by id: one change at a time
	monitors    monitors
	sources     sources
	questions   questions
	fitness     fitness
	pace        pacer
	handles     atomic.Int64 // images that are open
	closing     sync.Mutex
	closed      bool // closing guards it
}

var _ driver.Driver = (*Driver)(nil)

// Addrs returns the addresses of all connections, as ip:port/nonce, the form
// in which the cluster lists watchers and blocklists clients.
func (d *Driver) Addrs() []string {
	return append([]string{d.control.addr, d.data.addr}, d.aside.addrs()...)
}

// Close waits for the calls that are in librbd, as long as one operation of the
// control connection may take, then ends the connections. If calls are still
// there it leaves the connections open and says so, with the kind Unavailable:
// shutting them down under a call crashes the process. Later calls are refused with
// Unavailable. Close can be repeated, and waits for such calls anew.
func (d *Driver) Close() error {
	d.closing.Lock()
	defer d.closing.Unlock()
	if d.closed {
		return nil
	}
	if left := d.calls.close(d.cfg.ConnectTimeout); left > 0 {
		return fault.New(fault.Unavailable, "%d calls hang in librbd: the connections are left open until they return", left)
	}
	d.closed = true
	d.aside.retire(0)
	d.control.close()
	d.data.close()
	return nil
}

// enter admits one call that librados must not be shut down under. The caller
// calls leave when it is through.
func (d *Driver) enter(ctx context.Context) (leave func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !d.calls.enter() {
		return nil, fault.New(fault.Unavailable, "the driver is closed")
	}
	d.entered.Add(1)
	return d.calls.leave, nil
}

// calls counts the calls in flight.
type calls struct {
	mu     sync.Mutex
	n      int
	closed bool
	idle   chan struct{} // closed with the last call, once closed
}

func (c *calls) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.n++
	return true
}

func (c *calls) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n--; c.n == 0 && c.closed {
		close(c.idle)
	}
}

// any reports whether calls are in flight.
func (c *calls) any() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n > 0
}

// close refuses further calls and waits for those in flight, at most the given
// time. It returns how many are left.
func (c *calls) close(wait time.Duration) int {
	c.mu.Lock()
	if !c.closed {
		c.closed, c.idle = true, make(chan struct{})
		if c.n == 0 {
			close(c.idle)
		}
	}
	c.mu.Unlock()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-c.idle:
	case <-timer.C:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// locks is a set of locks by key, each waited for no longer than a ctx lives.
type locks struct {
	mu   sync.Mutex
	held map[string]chan struct{} // closed on release
}

// lock takes the lock of the key, or returns the error of the ctx.
func (l *locks) lock(ctx context.Context, key string) (unlock func(), err error) {
	for {
		l.mu.Lock()
		if l.held == nil {
			l.held = map[string]chan struct{}{}
		}
		busy, taken := l.held[key]
		if !taken {
			mine := make(chan struct{})
			l.held[key] = mine
			l.mu.Unlock()
			return func() {
				l.mu.Lock()
				defer l.mu.Unlock()
				delete(l.held, key)
				close(mine)
			}, nil
		}
		l.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
