package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/volume"
)

// gatherTime is how long a clone waits for others of the same volume before the
// snapshot for all of them is taken. A snapshot costs one commit of the
// monitors, up to a second on a usual cluster, so 20 ms are well spent.
const gatherTime = 20 * time.Millisecond

// cloneSnapshotName is the snapshot that an operation takes to clone from. It
// exists only while that operation is unfinished: the operation removes it
// before it ends, in whichever process that is.
func cloneSnapshotName(operationID string) string { return "volumed-clone-" + operationID }

// createClone makes a volume out of another one: a snapshot shared by all
// clones that were accepted before it was taken, a clone of it, and the end of
// the snapshot when the last of them is made.
func (w *Worker) createClone() operation.Method[creation] {
	return operation.Method[creation]{
		Name: methodCreateClone, Resource: volume.VolumeResource, Lane: operation.Work, Target: operation.Exclusive,
		Accept: w.acceptClone,
		Steps: []operation.Step[creation]{
			{Name: "snapshot", Free: true, Run: w.joinBatch},
			{Name: "clone", Run: w.cloneSnapshot},
			{Name: "release", Free: true, Run: w.leaveBatch},
		},
		Undo: func(ctx context.Context, t *operation.Task, c *creation, cause error) error {
			c.took = c.took || t.Repeat() // in a process before
			return errors.Join(w.removeCreated(ctx, t, c, cause), w.leaveBatch(ctx, t, c))
		},
		Finish: w.finishCreate,
	}
}

func (w *Worker) acceptClone(tx operation.Tx, op *volume.Operation, c *creation) error {
	source, err := w.ourVolume(tx, op, c.SourceVolID, "source_volid")
	if err != nil {
		return err
	}
	if err := usable(&source); err != nil {
		return fault.Of(err).WithField("source_volid")
	}
	if err := c.sizeOf("volume "+source.ID, source.Size); err != nil {
		return err
	}
	c.From.Volume = source.Ref(w.cfg.VolumeNameTemplate)
	if err := claimSource(tx, op, source.ID); err != nil {
		return err
	}
	return w.insertVolume(tx, op, c)
}

// joinBatch gets the snapshot to clone from.
func (w *Worker) joinBatch(ctx context.Context, t *operation.Task, c *creation) error {
	own := volume.SnapshotRef{Volume: c.From.Volume, Name: cloneSnapshotName(t.Operation().ID)}
	if t.Repeat() {
		// What an earlier attempt took is older than what was accepted since: it
		// cannot be shared.
		err := w.driver.DeleteSnapshot(ctx, own)
		if errors.Is(err, fault.Busy) { // clones of format 1 keep it, so it is there
			c.From, c.took = own, true
			return nil
		}
		if err != nil {
			return err
		}
	}
	c.batch, c.took = w.batches.join(own)
	c.joined = true
	if c.took {
		w.takeSnapshot(ctx, c.batch)
	}
	select {
	case <-c.batch.taken:
	case <-ctx.Done():
		return ctx.Err()
	}
	c.From = c.batch.snapshot
	if c.batch.err != nil {
		w.batches.leave(c)
	}
	return c.batch.err
}

// takeSnapshot is the leader's part: gather, close the batch, take the snapshot.
func (w *Worker) takeSnapshot(ctx context.Context, b *batch) {
	defer close(b.taken)
	gather := time.NewTimer(gatherTime)
	defer gather.Stop()
	select {
	case <-gather.C:
	case <-ctx.Done():
	}
	w.batches.close(b)
	b.err = w.driver.CreateSnapshot(ctx, b.snapshot)
}

// leaveBatch gives the snapshot up. Who may have taken one removes it, once all
// who joined have given it up.
func (w *Worker) leaveBatch(ctx context.Context, t *operation.Task, c *creation) error {
	w.batches.leave(c)
	if !c.took {
		return nil
	}
	if c.batch != nil {
		select {
		case <-c.batch.empty:
		case <-w.draining: // some of them may be left as they are
			return fault.New(fault.Unavailable, "other clones still need the snapshot; the next process removes it")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := w.confirm(ctx); err != nil {
		return err
	}
	err := w.driver.DeleteSnapshot(ctx, volume.SnapshotRef{Volume: c.From.Volume, Name: cloneSnapshotName(t.Operation().ID)})
	if errors.Is(err, fault.Busy) {
		// Clones of format 1 need it for as long as they live; the purge of the
		// source removes it with the rest.
		return nil
	}
	return err
}

// batches gathers the clones of one volume that can share a snapshot.
type batches struct {
	mu   sync.Mutex
	open map[string]*batch // by name of the source image
}

// batch is a group of clones of one volume around one snapshot.
type batch struct {
	snapshot volume.SnapshotRef // of its leader
	members  int                // guarded by batches.mu
	taken    chan struct{}      // closed when the snapshot was taken, or err is set
	err      error
	empty    chan struct{} // closed when the last member has left
}

func newBatches() *batches { return &batches{open: map[string]*batch{}} }

// join returns the open batch of own's volume. If there is none it makes one
// around own, and the caller leads it.
func (bs *batches) join(own volume.SnapshotRef) (b *batch, leads bool) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	b = bs.open[own.Volume.Name]
	if b == nil {
		b, leads = &batch{snapshot: own, taken: make(chan struct{}), empty: make(chan struct{})}, true
		bs.open[own.Volume.Name] = b
	}
	b.members++
	return b, leads
}

// close keeps others from joining.
func (bs *batches) close(b *batch) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	delete(bs.open, b.snapshot.Volume.Name)
}

// leave takes c out of its batch, if it is in one.
func (bs *batches) leave(c *creation) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	if !c.joined {
		return
	}
	c.joined = false
	if c.batch.members--; c.batch.members == 0 {
		close(c.batch.empty)
	}
}
