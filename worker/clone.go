package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/volume"
)

// A clone waits for others of the same volume before the snapshot for all of them
// is taken: for as long as one comes within gatherTime, and gatherMost at the
// most. A snapshot costs one commit of the monitors, up to a second on a usual
// cluster, so this is well spent.
const (
	gatherTime = 20 * time.Millisecond
	gatherMost = 300 * time.Millisecond
)

// cloneSnapshotName is the snapshot that an operation takes to clone from. It
// exists only while that operation, or the one that follows it to remove the
// snapshot, is unfinished, in whichever process that is.
func cloneSnapshotName(operationID string) string { return "volumed-clone-" + operationID }

// createClone makes a volume out of another one: a snapshot shared by all
// clones that were accepted before it was taken, a clone of it, and the end of
// the snapshot when the last of them is made.
func (w *Worker) createClone() operation.Method[creation] {
	return operation.Method[creation]{
		Name: methodCreateClone, Resource: volume.VolumeResource, Lane: operation.Work, Target: operation.Exclusive, Creates: true,
		Accept: w.acceptClone,
		Steps: append([]operation.Step[creation]{
			{Name: "snapshot", Free: true, Run: w.joinBatch},
			{Name: "clone", Run: w.cloneSnapshot},
		}, w.keepShallow()...),
		Undo: func(ctx context.Context, t *operation.Task, c *creation, cause error) error {
			w.batches.leave(c)
			c.took = c.took || t.Repeat() // in a process before
			return w.undoClone(ctx, t, c, cause)
		},
		Finish: func(tx operation.Tx, t *operation.Task, c *creation, err error) error {
			if c.took {
				t.Follow(w.dropAfter(t.Operation(), c))
			}
			if err := w.finishCreate(tx, t, c, err); err != nil {
				return err
			}
			return w.flattenLater(tx, t, c, err)
		},
	}
}

// dropAfter is the request for the end of the snapshot that a clone may have
// taken. It is an operation of its own, so that the clone is answered without
// waiting for another commit of the monitors, and for the other clones.
func (w *Worker) dropAfter(op volume.Operation, c *creation) operation.Request {
	return dropRequest(op, dropping{
		SourceVolID: c.SourceVolID,
		Snapshot:    volume.SnapshotRef{Volume: c.From.Volume, Name: cloneSnapshotName(op.ID)},
	})
}

func dropRequest(op volume.Operation, d dropping) operation.Request {
	return operation.Request{
		RequestID: "drop-" + uuid.NewString(), ProjectID: op.ProjectID, UserID: op.UserID, TraceParent: op.TraceParent,
		Method: methodDropSnapshot, Args: d,
	}
}

// dropping is the state of the operation that ends a shared snapshot.
type dropping struct {
	SourceVolID string             `json:"source_volid"`
	Snapshot    volume.SnapshotRef `json:"snapshot"`
}

// dropSnapshot removes the snapshot once all clones are made that joined for it.
// One of a process that died has nobody waiting: those clones take their own. Like
// a purge it never gives up. It claims nothing: what waits to delete the source may
// still be refused or cancelled, and the snapshot has to go all the same.
func (w *Worker) dropSnapshot() operation.Method[dropping] {
	return operation.Method[dropping]{
		Name: methodDropSnapshot, Resource: volume.VolumeResource, Lane: operation.Control,
		Accept: func(_ operation.Tx, op *volume.Operation, d *dropping) error {
			op.Resource.ID = d.SourceVolID
			return nil
		},
		Steps: []operation.Step[dropping]{
			{Name: "wait", Free: true, Interruptible: true, Run: func(ctx context.Context, _ *operation.Task, d *dropping) error {
				return w.batches.made(ctx, d.Snapshot.Name)
			}},
			{Name: "remove", Run: func(ctx context.Context, t *operation.Task, d *dropping) error {
				if err := w.confirm(ctx); err != nil {
					return err
				}
				err := w.driver.DeleteSnapshot(ctx, d.Snapshot)
				if errors.Is(err, fault.Busy) {
					// Clones of format 1 need it for as long as they live; the purge of
					// the source removes it with the rest.
					return nil
				}
				if err == nil {
					w.thinOut(ctx, d.Snapshot.Volume) // it stays, hidden, for its clones
				}
				return waitOut(err)
			}},
		},
		Finish: func(operation.Tx, *operation.Task, *dropping, error) error { return nil },
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
	c.From.Volume, c.OriginID = source.Ref(w.cfg.VolumeNameTemplate), source.ID
	if err := claimSource(tx, op, source.ID); err != nil {
		return err
	}
	return w.insertVolume(tx, op, c, &source)
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
	if errors.Is(c.batch.err, driver.ErrTooManySnapshots) {
		if c.relief == nil {
			c.relief = relief{}
		}
		return w.crowdedOut(ctx, c.From.Volume, c.relief, c.batch.err)
	}
	return c.batch.err
}

// takeSnapshot is the leader's part: gather, close the batch, take the snapshot.
// Snapshots of one volume are taken one after another, by librbd if not by us, so
// the batch stays open while the one before is being taken.
func (w *Worker) takeSnapshot(ctx context.Context, b *batch) {
	defer close(b.taken)
	for begun, seen := time.Now(), 0; seen < w.batches.size(b) && time.Since(begun) < gatherMost && ctx.Err() == nil; {
		seen = w.batches.size(b)
		select {
		case <-time.After(gatherTime):
		case <-ctx.Done():
		}
	}
	if b.before != nil {
		<-b.before
	}
	w.batches.close(b)
	b.err = w.driver.CreateSnapshot(ctx, b.snapshot)
}

// batches gathers the clones of one volume that can share a snapshot.
type batches struct {
	mu   sync.Mutex
	open map[string]*batch // by name of the source image
	busy map[string]*batch // by name of the snapshot, until all members have left
	// last is the batch of a source that was closed last.
	last map[string]*batch
}

// batch is a group of clones of one volume around one snapshot.
type batch struct {
	snapshot volume.SnapshotRef // of its leader
	members  int                // guarded by batches.mu
	before   <-chan struct{}    // closed when the snapshot before was taken; nil if there was none
	taken    chan struct{}      // closed when the snapshot was taken, or err is set
	err      error
	empty    chan struct{} // closed when the last member has left
}

func newBatches() *batches {
	return &batches{open: map[string]*batch{}, busy: map[string]*batch{}, last: map[string]*batch{}}
}

// join returns the open batch of own's volume. If there is none it makes one
// around own, and the caller leads it.
func (bs *batches) join(own volume.SnapshotRef) (b *batch, leads bool) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	b = bs.open[own.Volume.Name]
	if b == nil {
		b, leads = &batch{snapshot: own, taken: make(chan struct{}), empty: make(chan struct{})}, true
		if last := bs.last[own.Volume.Name]; last != nil {
			b.before = last.taken
		}
		bs.open[own.Volume.Name], bs.busy[own.Name] = b, b
	}
	b.members++
	return b, leads
}

// close keeps others from joining.
func (bs *batches) close(b *batch) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	delete(bs.open, b.snapshot.Volume.Name)
	bs.last[b.snapshot.Volume.Name] = b
}

// size returns how many have joined and not left.
func (bs *batches) size(b *batch) int {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	return b.members
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
		delete(bs.busy, c.batch.snapshot.Name)
		if source := c.batch.snapshot.Volume.Name; bs.last[source] == c.batch {
			delete(bs.last, source)
		}
	}
}

// made waits until all who joined for the snapshot have left.
func (bs *batches) made(ctx context.Context, snapshot string) error {
	bs.mu.Lock()
	b := bs.busy[snapshot]
	bs.mu.Unlock()
	if b == nil {
		return nil
	}
	select {
	case <-b.empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
