package store

import (
	"context"
	"runtime/debug"
	"sync"
	"time"

	"github.com/volumed/volumed/fault"
)

const (
	// groupSize bounds the changes of one transaction, and so what a heartbeat
	// that comes in the middle has to wait for.
	groupSize = 64
	// lockWait is how long a group waits for another process to let it write.
	lockWait = 15 * time.Second
)

// writer is the only one in the process who writes to a SQLite database. It
// takes what is queued, urgent changes first, and commits it as one transaction.
type writer struct {
	d     *dialect
	conn  *statements
	turns *turnstile

	mu     sync.Mutex
	urgent []*request
	queue  []*request
	closed bool

	wake chan struct{} // has room for one: something is queued, or closed is set
	quit context.CancelFunc
	ctx  context.Context //nolint:containedctx // ends with quit, and only ends waits for locks
	done chan struct{}   // closed when the goroutine has ended
}

// request is a change on its way through the writer.
type request struct {
	change func(*session) error
	result chan error // has room for the one result

	mu        sync.Mutex // held while the change runs
	started   bool
	withdrawn bool
}

func newWriter(d *dialect, conn *statements, turns *turnstile) *writer {
	w := &writer{d: d, conn: conn, turns: turns, wake: make(chan struct{}, 1), done: make(chan struct{})}
	w.ctx, w.quit = context.WithCancel(context.Background())
	go w.run()
	return w
}

// write implements engine.
func (w *writer) write(ctx context.Context, urgent bool, change func(*session) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r := &request{change: change, result: make(chan error, 1)}
	if err := w.enqueue(r, urgent); err != nil {
		return err
	}
	select {
	case err := <-r.result:
		return err
	case <-ctx.Done():
		return r.withdraw(ctx)
	}
}

func (w *writer) enqueue(r *request, urgent bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return errClosed()
	}
	if urgent {
		w.urgent = append(w.urgent, r)
	} else {
		w.queue = append(w.queue, r)
	}
	w.signal()
	return nil
}

func errClosed() error {
	return fault.New(fault.Unavailable, "the database is closed; nothing was written")
}

func (w *writer) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// withdraw gives a request up. It waits for a change that runs, so that no change
// runs after this.
func (r *request) withdraw(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.withdrawn = true
	select {
	case err := <-r.result:
		return err
	default:
	}
	if r.started {
		return unknownOutcome(ctx.Err())
	}
	return ctx.Err()
}

func (w *writer) run() {
	defer close(w.done)
	for range w.wake {
		for group := w.next(); len(group) > 0; group = w.next() {
			w.commit(group)
		}
		if w.stopped() {
			return
		}
	}
}

// next takes the next group from the queues.
func (w *writer) next() []*request {
	w.mu.Lock()
	defer w.mu.Unlock()
	group := make([]*request, 0, min(groupSize, len(w.urgent)+len(w.queue)))
	for _, queue := range []*[]*request{&w.urgent, &w.queue} {
		n := min(groupSize-len(group), len(*queue))
		group = append(group, (*queue)[:n]...)
		clear((*queue)[:n]) // what is done must not be kept alive by the queue
		if *queue = (*queue)[n:]; len(*queue) == 0 {
			*queue = nil
		}
	}
	return group
}

func (w *writer) stopped() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed
}

// stop ends the goroutine: the group that is being written is committed, what is
// queued is given up.
func (w *writer) stop() {
	w.mu.Lock()
	abandoned := append(w.urgent, w.queue...)
	w.urgent, w.queue, w.closed = nil, nil, true
	w.signal()
	w.mu.Unlock()
	w.quit()
	for _, r := range abandoned {
		r.result <- errClosed()
	}
	<-w.done
}

// commit writes a group and answers its requests.
func (w *writer) commit(group []*request) {
	results, err := w.transact(group)
	for i, r := range group {
		if err != nil {
			r.result <- err
		} else {
			r.result <- results[i]
		}
	}
}

// transact runs the changes of a group in one transaction. It returns what each
// came to, or the error with which the whole transaction was undone.
func (w *writer) transact(group []*request) ([]error, error) {
	ctx, cancel := context.WithTimeout(w.ctx, lockWait)
	defer cancel()
	if err := w.turns.take(ctx); err != nil {
		return nil, fault.New(fault.Unavailable, "nothing was written: another process keeps the database to itself: %w", err)
	}
	defer w.turns.give()
	if err := w.begin(ctx); err != nil {
		return nil, err
	}
	results := make([]error, len(group))
	for i, r := range group {
		lost, err := w.apply(r, len(group) == 1)
		if lost {
			w.conn.try("ROLLBACK") // unless the engine has done so itself
			return nil, err
		}
		results[i] = err
	}
	if err := w.exec("COMMIT"); err != nil {
		w.conn.try("ROLLBACK")
		return nil, err
	}
	return results, nil
}

// begin starts a transaction that may write. Every try waits for the busy_timeout
// of the connection.
func (w *writer) begin(ctx context.Context) error {
	for {
		err := w.exec("BEGIN IMMEDIATE")
		if err == nil || !locked(err) || ctx.Err() != nil {
			return err
		}
	}
}

func (w *writer) exec(statement string) error {
	_, err := newSession(context.Background(), w.d, w.conn).exec(statement)
	return err
}

// apply runs a change under a savepoint and undoes it when it fails. If that does
// not do, the whole transaction is lost. A change that is alone in its transaction
// needs no savepoint.
func (w *writer) apply(r *request, alone bool) (lost bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.withdrawn {
		return false, nil // nobody waits for the result
	}
	r.started = true
	if alone {
		err := w.runChange(r.change)
		return err != nil, err
	}
	if err := w.exec("SAVEPOINT change"); err != nil {
		return true, err
	}
	err = w.runChange(r.change)
	if err != nil {
		if w.exec("ROLLBACK TO change") != nil {
			return true, err
		}
	}
	if rerr := w.exec("RELEASE change"); rerr != nil {
		return true, rerr
	}
	return false, err
}

func (w *writer) runChange(change func(*session) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fault.New(fault.Internal, "panic in a change: %v\n%s", p, debug.Stack())
		}
	}()
	s := newSession(context.Background(), w.d, w.conn)
	if err := change(s); err != nil {
		return err
	}
	return s.broken
}
