package store

import (
	"context"
	"runtime/debug"
	"slices"
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
	// relaxed: commits do not wait for the disk. It belongs to the goroutine.
	relaxed bool

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
	how    manner
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
func (w *writer) write(ctx context.Context, how manner, change func(*session) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r := &request{change: change, how: how, result: make(chan error, 1)}
	if err := w.enqueue(r); err != nil {
		return err
	}
	select {
	case err := <-r.result:
		return err
	case <-ctx.Done():
		return r.withdraw(ctx)
	}
}

func (w *writer) enqueue(r *request) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return errClosed()
	}
	if r.how == urgent {
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
// came to, or the error with which the whole transaction was undone. Savepoints let
// one change fail alone, but cost every page a copy: they are set once one has failed,
// and everything was undone.
func (w *writer) transact(group []*request) ([]error, error) {
	ctx, cancel := context.WithTimeout(w.ctx, lockWait)
	defer cancel()
	if err := w.turns.take(ctx); err != nil {
		return nil, fault.New(fault.Unavailable, "nothing was written: another process keeps the database to itself: %w", err)
	}
	defer w.turns.give()
	if err := w.synchronize(group); err != nil {
		return nil, err
	}
	results, refused, err := w.attempt(ctx, group, w.apply)
	if refused && len(group) > 1 {
		results, _, err = w.attempt(ctx, group, w.applyAlone)
	}
	return results, err
}

// synchronize has the next commit wait for the disk, unless all of the group can do
// without. One that waits takes along everything that was committed before it.
func (w *writer) synchronize(group []*request) error {
	relaxed := !slices.ContainsFunc(group, func(r *request) bool { return r.how != soon })
	if relaxed == w.relaxed {
		return nil
	}
	level := "FULL"
	if relaxed {
		level = "NORMAL"
	}
	err := w.exec("PRAGMA synchronous = " + level)
	if err == nil {
		w.relaxed = relaxed
	}
	return err
}

// attempt runs a transaction of the changes, each by apply, which reports whether the
// transaction is lost with it. refused tells that it was undone for a change.
func (w *writer) attempt(ctx context.Context, group []*request, apply func(*request) (lost bool, err error)) (results []error, refused bool, err error) {
	if err := w.begin(ctx); err != nil {
		return nil, false, err
	}
	results = make([]error, len(group))
	for i, r := range group {
		lost, err := apply(r)
		if lost {
			w.conn.try("ROLLBACK") // unless the engine has done so itself
			return nil, true, err
		}
		results[i] = err
	}
	if err := w.exec("COMMIT"); err != nil {
		w.conn.try("ROLLBACK")
		return nil, false, err
	}
	return results, false, nil
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

// apply runs a change. The whole transaction is lost when it fails.
func (w *writer) apply(r *request) (lost bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.withdrawn {
		return false, nil // nobody waits for the result
	}
	r.started = true
	err = w.runChange(r.change)
	return err != nil, err
}

// applyAlone runs a change under a savepoint and undoes it when it fails. The whole
// transaction is lost if that does not do.
func (w *writer) applyAlone(r *request) (lost bool, err error) {
	if err := w.exec("SAVEPOINT change"); err != nil {
		return true, err
	}
	failed, err := w.apply(r)
	if failed && w.exec("ROLLBACK TO change") != nil {
		return true, err
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
