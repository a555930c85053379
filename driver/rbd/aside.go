package rbd

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/volumed/volumed/driver"
)

// Flattens that nobody waits for have a connection of their own while there are any:
// librados tells of what is done one after another, so whoever sleeps in a callback
// keeps all of the connection waiting; and what they ask of the OSDs is the least urgent.

// asideKeep is for how long the connection stays open when nothing is flattened.
const asideKeep = time.Minute

// asideOptions are those of librados and librbd on this connection only.
var asideOptions = map[string]string{
	// Objects that a flatten copies at once. Ten, as usual, are a queue that others
	// stand in, too.
	"rbd_concurrent_management_ops": "1",
	// That of clients is 63. OSDs that schedule by mclock make no difference.
	"osd_client_op_priority": "1",
}

var _ driver.Introducer = (*Driver)(nil)

// Introduce has note called before the connection for flattens is used.
func (d *Driver) Introduce(note func(context.Context) error) { d.aside.note = note }

// aside is a connection that is there when it is needed.
type aside struct {
	note    func(context.Context) error // of the owner of the driver; may be nil
	opening locks

	mu    sync.Mutex
	link  *link // nil while there is none
	noted bool
	users int
	used  time.Time // when the last flatten ended
	end   error     // why the connection serves nobody any more; nil while it does

	fitness fitness // since when it has answered
}

// use returns the connection, opened if it must be, and known to the owner of the
// driver. The caller calls done when he has closed what he opened there.
func (a *aside) use(ctx context.Context, cfg Config) (l *link, done func(), err error) {
	unlock, err := a.opening.lock(ctx, "")
	if err != nil {
		return nil, nil, err
	}
	defer unlock()
	if l = a.borrow(); l == nil {
		if l, err = dial(cfg, 0, asideOptions); err != nil {
			return nil, nil, err
		}
		a.mu.Lock()
		a.link, a.noted, a.users, a.end = l, false, 1, nil
		a.mu.Unlock()
	}
	if err := a.introduce(ctx); err != nil {
		a.leave()
		return nil, nil, err
	}
	return l, a.flattened, nil
}

// introduce tells the owner of the driver of the connection, once.
func (a *aside) introduce(ctx context.Context) error {
	a.mu.Lock()
	noted := a.noted
	a.mu.Unlock()
	if noted || a.note == nil {
		return nil
	}
	if err := a.note(ctx); err != nil {
		return err
	}
	a.mu.Lock()
	a.noted = true
	a.mu.Unlock()
	return nil
}

// borrow returns the connection if there is one, and keeps it open until leave.
func (a *aside) borrow() *link {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.link != nil {
		a.users++
	}
	return a.link
}

func (a *aside) leave() {
	a.mu.Lock()
	a.users--
	a.mu.Unlock()
}

// hear takes in what the cluster has answered over the connection.
func (a *aside) hear(answer error) {
	if !errors.Is(answer, driver.ErrShutOut) {
		return
	}
	a.mu.Lock()
	a.end = answer
	a.mu.Unlock()
}

// ended returns an error, with driver.ErrShutOut in its chain, when the cluster has ended
// the connection.
func (a *aside) ended() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.end
}

// flattened is the leave of a flatten.
func (a *aside) flattened() {
	a.mu.Lock()
	a.used = time.Now()
	a.users--
	a.mu.Unlock()
}

// addrs returns the address of the connection, if there is one.
func (a *aside) addrs() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.link == nil {
		return nil
	}
	return []string{a.link.addr}
}

// retireAside closes the connection, in the background, when nothing has been flattened
// for a while.
func (d *Driver) retireAside() {
	if len(d.aside.addrs()) == 0 || !d.calls.enter() {
		return
	}
	go func() {
		defer d.calls.leave()
		d.aside.retire(asideKeep)
	}()
}

// retire closes the connection if nothing has used it for the given time.
func (a *aside) retire(after time.Duration) {
	a.mu.Lock()
	l := a.link
	if l == nil || a.users > 0 || time.Since(a.used) < after {
		a.mu.Unlock()
		return
	}
	a.link = nil
	a.mu.Unlock()
	l.close()
}
