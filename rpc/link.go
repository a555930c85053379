package rpc

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/nats-io/nats.go"

	"github.com/volumed/volumed/fault"
)

// drainTimeout bounds how long Close waits for handlers of subscriptions.
const drainTimeout = 10 * time.Second

// link tells those who wait that a connection was found, lost or closed.
type link struct {
	mu      sync.Mutex
	changed chan struct{} // closed at every change, and replaced
	lost    context.Context
	lose    context.CancelFunc // ends lost; both are replaced then
	broken  bool               // the connection was lost at some time
	moved   time.Time          // when it was lost or found again last; zero if it was never lost
	notice  chan struct{}      // holds a token while a change has not been read
	done    chan struct{}      // closed when the connection is closed for good
}

func newLink() *link {
	l := &link{changed: make(chan struct{}), notice: make(chan struct{}, 1), done: make(chan struct{})}
	l.lost, l.lose = context.WithCancel(context.Background())
	return l
}

// change wakes those who wait for a change, and, if it is a loss, those whose
// answers are lost with the connection.
func (l *link) change(loss bool) {
	l.mu.Lock()
	close(l.changed)
	l.changed = make(chan struct{})
	if loss {
		l.lose()
		l.lost, l.lose = context.WithCancel(context.Background())
		l.broken = true
	}
	if l.broken {
		l.moved = time.Now()
	}
	l.mu.Unlock()
	select {
	case l.notice <- struct{}{}:
	default:
	}
}

// settling reports whether the connection was lost or found again so lately that
// others may not have found it yet.
func (l *link) settling() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.moved.IsZero() && time.Since(l.moved) < settle
}

// next returns a channel that is closed at the next change.
func (l *link) next() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

// onLoss calls f in a goroutine when the connection is lost, unless stop is
// called before.
func (l *link) onLoss(f func()) (stop func() bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return context.AfterFunc(l.lost, f)
}

// Connected reports whether the connection is up.
func (c *Conn) Connected() bool { return c.nc.IsConnected() }

// Changes returns a channel that yields after Connected may have changed;
// changes that were not read yet count as one. It has one reader.
func (c *Conn) Changes() <-chan struct{} { return c.link.notice }

// Server returns the address that the connection was opened for, without
// credentials.
func (c *Conn) Server() string { return c.name }

// WaitConnected returns when the connection is up, or an error of the kind
// fault.Unavailable when ctx ends before or the connection was closed.
func (c *Conn) WaitConnected(ctx context.Context) error {
	for {
		changed := c.link.next()
		if c.nc.IsConnected() {
			return nil
		}
		select {
		case <-changed:
		case <-c.link.done:
			return fault.New(fault.Unavailable, "the connection to %s is closed", c.name)
		case <-ctx.Done():
			return fault.New(fault.Unavailable, "no connection to %s: %w", c.name, errors.Join(ctx.Err(), c.nc.LastError()))
		}
	}
}

// Close lets what was received be handled and what was sent go out, for at most
// ten seconds, and ends the connection.
func (c *Conn) Close() {
	if err := c.nc.Drain(); err != nil {
		c.nc.Close()
	}
	<-c.link.done
}

// publish sends data to a subject. It does not wait for the server.
func (c *Conn) publish(msg *nats.Msg) error {
	err := c.nc.PublishMsg(msg)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrMaxPayload):
		return fault.New(fault.Invalid, "a message of %d bytes is more than %s takes", len(msg.Data), c.name)
	default:
		return fault.New(fault.Unavailable, "publish on %s: %w", msg.Subject, err)
	}
}

// flush returns when the server has handled everything that was sent before.
func (c *Conn) flush(ctx context.Context) error {
	if _, ok := ctx.Deadline(); !ok { // FlushWithContext insists on one
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, drainTimeout)
		defer cancel()
	}
	if err := c.nc.FlushWithContext(ctx); err != nil {
		return fault.New(fault.Unavailable, "%s does not answer: %w", c.name, err)
	}
	return nil
}

// flushWhileConnected is flush, but it gives up as soon as the connection is lost.
func (c *Conn) flushWhileConnected(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	lost := fault.New(fault.Unavailable, "the connection to %s is lost", c.name)
	defer c.link.onLoss(func() { cancel(lost) })()
	if !c.nc.IsConnected() {
		return lost
	}
	return c.flush(ctx)
}

// confirm waits until the server has handled all subscriptions, and returns
// the refusal of one if there was any since the error before.
func (c *Conn) confirm(ctx context.Context, before error) error {
	if err := c.flush(ctx); err != nil {
		return err
	}
	//nolint:errorlint // the very error that was there before, not one of its kind
	if err := c.nc.LastError(); err != before && errors.Is(err, nats.ErrPermissionViolation) {
		return fault.New(fault.Invalid, "%s forbids it: %w", c.name, err).
			WithHint("allow the user of this service to subscribe to %s and $SRV.>", prefix+">")
	}
	return nil
}

func (c *Conn) connected(*nats.Conn) {
	c.log.Info("connected", "server", c.name)
	c.told.End(connectionTrouble)
	c.link.change(false)
}

func (c *Conn) disconnected(_ *nats.Conn, err error) {
	if err != nil { // nil: by our own Close
		c.log.Warn("connection lost, trying again", "server", c.name, "error", err)
	}
	c.link.change(true)
}

func (c *Conn) closed(*nats.Conn) {
	close(c.link.done)
	c.link.change(true)
}

// Keys of troubles. A refused permission does not go by itself.
const (
	connectionTrouble = "connection"
	permissionTrouble = "permission"
	answerTrouble     = "answer"
)

// failed reports what NATS tells between requests: a refused permission, a
// subscription whose messages were dropped, credentials that expired.
func (c *Conn) failed(_ *nats.Conn, sub *nats.Subscription, err error) {
	if sub != nil {
		c.told.Note(sub.Subject, hclog.Error, "subscription trouble", "subject", sub.Subject, "error", err)
		return
	}
	key := connectionTrouble
	if errors.Is(err, nats.ErrPermissionViolation) {
		key = permissionTrouble
	}
	c.told.Note(key, hclog.Error, "connection trouble", "server", c.name, "error", err)
}

func (c *Conn) lameDuck(*nats.Conn) {
	c.log.Info("the server is about to stop", "server", c.name)
}
