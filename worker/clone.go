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
	if err := tx.Claim(op.ID, volume.Resource{Type: volume.VolumeResource, ID: source.ID}, operation.Shared); err != nil {
		return err
	}
	return w.insertVolume(tx, op, c)
}

// joinBatch gets the snapshot to clone from.
func (w *Worker) joinBatch(ctx context.Context, t *operation.Task, c *creation) error {
	b := w.batches.join(t, c.From.Volume)
	if b.leader != t {
		select {
		case <-b.taken:
		case <-ctx.Done():
			return ctx.Err()
		}
	} else {
		w.takeSnapshot(ctx, t, b)
	}
	c.From = b.snapshot
	if b.err != nil {
		w.batches.leave(t)
	}
	return b.err
}

// takeSnapshot is the leader's part: gather, close the batch, take the snapshot.
func (w *Worker) takeSnapshot(ctx context.Context, t *operation.Task, b *batch) {
	defer close(b.taken)
	gather := time.NewTimer(gatherTime)
	defer gather.Stop()
	select {
	case <-gather.C:
	case <-ctx.Done():
	}
	w.batches.close(b)
	if t.Repeat() {
		// One that an earlier attempt took is older than what was accepted since.
		if b.err = w.driver.DeleteSnapshot(ctx, b.snapshot); b.err != nil {
			return
		}
	}
	b.err = w.driver.CreateSnapshot(ctx, b.snapshot)
}

// leaveBatch gives the snapshot up. The leader removes it once all have done so.
// An operation that was at work before removes the one that it may have taken
// then as well.
func (w *Worker) leaveBatch(ctx context.Context, t *operation.Task, c *creation) error {
	b := w.batches.leave(t)
	led := b != nil && b.leader == t
	if !led && !t.Repeat() {
		return nil
	}
	if led {
		select {
		case <-b.empty:
		case <-ctx.Done():
			return ctx.Err()
		}
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
	mu     sync.Mutex
	open   map[string]*batch          // by name of the source image
	joined map[*operation.Task]*batch // whom a task has joined and not left
}

// batch is a group of clones of one volume around one snapshot.
type batch struct {
	leader   *operation.Task
	snapshot volume.SnapshotRef
	members  int           // guarded by batches.mu
	taken    chan struct{} // closed when the snapshot was taken, or err is set
	err      error
	empty    chan struct{} // closed when the last member has left
}

func newBatches() *batches {
	return &batches{open: map[string]*batch{}, joined: map[*operation.Task]*batch{}}
}

// join returns the open batch of the source, making it with t as its leader if
// there is none.
func (bs *batches) join(t *operation.Task, source volume.Ref) *batch {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	b := bs.open[source.Name]
	if b == nil {
		b = &batch{
			leader: t, snapshot: volume.SnapshotRef{Volume: source, Name: cloneSnapshotName(t.Operation().ID)},
			taken: make(chan struct{}), empty: make(chan struct{}),
		}
		bs.open[source.Name] = b
	}
	b.members++
	bs.joined[t] = b
	return b
}

// close keeps others from joining.
func (bs *batches) close(b *batch) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	delete(bs.open, b.snapshot.Volume.Name)
}

// leave returns the batch that t was in, or nil.
func (bs *batches) leave(t *operation.Task) *batch {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	b := bs.joined[t]
	if b == nil {
		return nil
	}
	delete(bs.joined, t)
	if b.members--; b.members == 0 {
		close(b.empty)
	}
	return b
}
