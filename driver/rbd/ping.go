package rbd

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"time"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
)

// directory is the RADOS object that lists the images of a pool; the cheapest
// thing to read there. A pool without images need not have it.
const directory = "rbd_directory"

// read reads something small from the pool. A monitor alone would not tell that
// the OSDs hang, nor that this client is blocklisted. It reads what probe reads, too.
func (l *link) read() error {
	for _, object := range []string{directory, "rbd_id." + nobody, nobody + ".rbd"} {
		if _, err := l.io.Stat(object); err != nil && errno(err) != syscall.ENOENT {
			return classify(err, "read from the pool")
		}
	}
	return nil
}

// answerWithin is how soon a cluster that serves answers a question of Ping: a
// healthy one takes a millisecond, one that recovers from a failure up to a second.
const answerWithin = 2 * time.Second

// asideWithin is for how long Ping waits for the connection of flattens.
const asideWithin = 200 * time.Millisecond

// Ping reads from the pool over all connections and asks a monitor, all side by
// side, and returns within two seconds, or the timeout of the control connection
// if that is shorter. A question that is not answered by then stays under way, and
// the next Ping waits for the same answer: a cluster that hangs holds a thread
// for each, however often it is asked. The connection of flattens counts only when it
// has ended: what it asks is the least urgent, so it may be late where all others are served.
//
// Kind: Unavailable, with what does not answer; driver.ErrShutOut is in its chain
// when the cluster has blocklisted one of the connections, or librbd has wedged.
func (d *Driver) Ping(ctx context.Context) (err error) {
	defer fault.Wrap(&err, "ping")
	if err := ctx.Err(); err != nil {
		return err
	}
	within := min(answerWithin, d.cfg.ConnectTimeout)
	late, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	awaitAside := d.askAside(late, &d.questions.aside, (*link).read)
	answers := []func() error{
		d.questions.control.ask(late, d, d.control.read, "a read from pool %s is not answered within %s: its OSDs are down or hang", d.cfg.Pool, within),
		d.questions.data.ask(late, d, d.data.read, "a read from pool %s over the data connection is not answered within %s", d.cfg.Pool, within),
		d.questions.monitor.ask(late, d, d.control.askMonitor, "the monitors do not answer within %s: they are down, or have no quorum", within),
	}
	awaitAside()
	for _, answer := range append(answers, d.aside.ended) {
		if e := answer(); err == nil || errors.Is(e, driver.ErrShutOut) && !errors.Is(err, driver.ErrShutOut) {
			err = e
		}
	}
	if wedged := d.askLibrary(late, err == nil, (*link).probe); err == nil {
		err = wedged
	}
	d.retireAside()
	if ctx.Err() != nil { // asked by somebody who has left
		return ctx.Err()
	}
	return err
}

// askMonitor asks a monitor for something small.
func (l *link) askMonitor() error {
	var dump monDump
	return l.mon(&dump, "mon dump")
}

// questions are those of Ping.
type questions struct {
	control, data, aside, monitor             question
	controlLibrary, dataLibrary, asideLibrary question
}

// askAside asks what ask does over the connection of flattens, if there is one, and
// returns what waits for the answer, though not for long. That the cluster has ended the
// connection is remembered, however late it is told.
func (d *Driver) askAside(ctx context.Context, q *question, put func(*link) error) (await func()) {
	if len(d.aside.addrs()) == 0 {
		return func() {}
	}
	brief, cancel := context.WithTimeout(ctx, asideWithin)
	answer := q.ask(brief, d, func() error {
		l := d.aside.borrow()
		if l == nil { // closed since
			return nil
		}
		defer d.aside.leave()
		err := put(l)
		d.aside.hear(err)
		return err
	}, "the connection of flattens is late")
	return func() {
		defer cancel()
		_ = answer()
	}
}

// question is asked at most once at a time.
type question struct {
	mu    sync.Mutex
	asked *asked // nil while it is not under way
}

// asked is a question that is under way.
type asked struct {
	at   time.Time
	done chan struct{} // closed with the answer
	err  error
}

// since is when the question was asked that is under way; zero if none is.
func (q *question) since() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.asked == nil {
		return time.Time{}
	}
	return q.asked.at
}

// ask asks the question, unless it is under way, and returns what waits for the
// answer as long as ctx lasts. The text says what no answer means.
func (q *question) ask(ctx context.Context, d *Driver, put func() error, silent string, args ...any) (answer func() error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.asked == nil {
		if !d.calls.enter() {
			return func() error { return fault.New(fault.Unavailable, "the driver is closed") }
		}
		q.asked = &asked{at: time.Now(), done: make(chan struct{})}
		go func(a *asked) {
			a.err = put()
			d.calls.leave()
			q.mu.Lock()
			q.asked = nil
			q.mu.Unlock()
			close(a.done)
		}(q.asked)
	}
	a := q.asked
	return func() error {
		select {
		case <-a.done:
			if errno(a.err) != syscall.ETIMEDOUT {
				return a.err
			}
		case <-ctx.Done():
		}
		return fault.New(fault.Unavailable, silent, args...).WithHint("check: ceph -s")
	}
}
