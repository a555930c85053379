package operation

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// memJournal is a Journal in memory. A transaction works on a copy of the tables
// that takes their place when it is committed.
type memJournal struct {
	mu     sync.Mutex
	tables tables
	writes int
	soon   int // of them, those that need not be durable at once
	// mishap, if set, decides what befalls the n-th write, counted from 1.
	mishap func(n int) mishap
	// broken are rules of operations' lives that a write has broken.
	broken []string
}

// mishap is what can befall a write. The zero value is none.
type mishap struct {
	before error           // returned without writing
	after  error           // returned although it is written
	block  <-chan struct{} // waited for, before anything
	linger <-chan struct{} // waited for, once it is written
}

type tables struct {
	epochs    map[string]int64
	ops       map[string]volume.Operation
	claims    map[claim]ClaimMode
	volumes   map[string]volume.Volume
	snapshots map[string]volume.Snapshot
	events    []volume.Event
	tick      int // makes the times of creation differ
}

type claim struct {
	op       string
	resource volume.Resource
}

func newMemJournal() *memJournal {
	return &memJournal{tables: tables{
		epochs: map[string]int64{}, ops: map[string]volume.Operation{}, claims: map[claim]ClaimMode{},
		volumes: map[string]volume.Volume{}, snapshots: map[string]volume.Snapshot{},
	}}
}

func (t tables) clone() tables {
	t.epochs, t.ops, t.claims = maps.Clone(t.epochs), maps.Clone(t.ops), maps.Clone(t.claims)
	t.volumes, t.snapshots, t.events = maps.Clone(t.volumes), maps.Clone(t.snapshots), slices.Clone(t.events)
	return t
}

// takeOver returns the fence of the next process of the host.
func (j *memJournal) takeOver(host string) Fence {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.tables.epochs[host]++
	return Fence{Host: host, Epoch: j.tables.epochs[host]}
}

// Write implements Journal. The change of every second write runs twice, since
// it may.
func (j *memJournal) Write(ctx context.Context, fence Fence, change func(tx Tx) error) error {
	m, n := j.nextMishap()
	if m.block != nil {
		select {
		case <-m.block:
		case <-ctx.Done():
		}
	}
	if err := cmp.Or(m.before, ctx.Err()); err != nil {
		return err
	}
	if err := j.commit(fence, change, n%2 == 0); err != nil {
		return err
	}
	if m.linger != nil {
		<-m.linger
	}
	return m.after
}

// WriteSoon implements Journal.
func (j *memJournal) WriteSoon(ctx context.Context, fence Fence, change func(tx Tx) error) error {
	j.mu.Lock()
	j.soon++
	j.mu.Unlock()
	return j.Write(ctx, fence, change)
}

func (j *memJournal) commit(fence Fence, change func(tx Tx) error, twice bool) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.tables.epochs[fence.Host] != fence.Epoch {
		return ErrFenced
	}
	if twice {
		_ = change(&memTx{tables: j.tables.clone(), fence: fence})
	}
	tx := &memTx{tables: j.tables.clone(), fence: fence}
	if err := change(tx); err != nil {
		return err
	}
	j.judge(tx.tables)
	j.tables = tx.tables
	return nil
}

func (j *memJournal) nextMishap() (mishap, int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.writes++
	if j.mishap == nil {
		return mishap{}, j.writes
	}
	return j.mishap(j.writes), j.writes
}

// judge notes what must never happen to an operation.
func (j *memJournal) judge(next tables) {
	for id, was := range j.tables.ops {
		is := next.ops[id]
		switch {
		case was.Status.Terminal() && (is.Status != was.Status || is.UpdatedAt != was.UpdatedAt):
			j.broken = append(j.broken, "changed after its end: "+id)
		case is.Progress < was.Progress:
			j.broken = append(j.broken, "progress fell: "+id)
		case is.Attempt < was.Attempt:
			j.broken = append(j.broken, "attempt fell: "+id)
		case was.CancelRequested && !is.CancelRequested:
			j.broken = append(j.broken, "cancel request lost: "+id)
		case is.Status == volume.Waiting && (is.Reason == "" || is.NextTry.IsZero()):
			j.broken = append(j.broken, "waits without reason or next try: "+id)
		}
	}
}

// Claim implements Journal.
func (j *memJournal) Claim(_ context.Context, fence Fence) ([]volume.Operation, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.tables.epochs[fence.Host] != fence.Epoch {
		return nil, ErrFenced
	}
	var ops []volume.Operation
	for id, op := range j.tables.ops {
		if op.Backend == fence.Host && !op.Status.Terminal() {
			op.Epoch, op.Attempt = fence.Epoch, op.Attempt+1
			j.tables.ops[id] = op
			ops = append(ops, op)
		}
	}
	slices.SortFunc(ops, func(a, b volume.Operation) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return ops, nil
}

// Operation implements Journal.
func (j *memJournal) Operation(_ context.Context, id string) (volume.Operation, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	op, ok := j.tables.ops[id]
	if !ok {
		return op, fault.New(fault.NotFound, "operation %s: not found", id)
	}
	return op, nil
}

// memTx is a transaction of a memJournal.
type memTx struct {
	Tx // for what no method of these tests calls: rows of volume types
	tables
	fence Fence
}

func (tx *memTx) OperationByRequest(projectID, requestID string) (volume.Operation, error) {
	for _, op := range tx.ops {
		if op.ProjectID == projectID && op.RequestID == requestID {
			return op, nil
		}
	}
	return volume.Operation{}, fault.New(fault.NotFound, "request %s: not found", requestID)
}

func (tx *memTx) OperationOn(r volume.Resource, method string) (newest volume.Operation, err error) {
	for _, op := range tx.ops {
		if op.Resource == r && op.Method == method && !op.Status.Terminal() && op.CreatedAt.After(newest.CreatedAt) {
			newest = op
		}
	}
	if newest.ID == "" {
		err = fault.New(fault.NotFound, "no %s on %s", method, r)
	}
	return newest, err
}

func (tx *memTx) InsertOperation(op *volume.Operation) error {
	if _, err := tx.OperationByRequest(op.ProjectID, op.RequestID); err == nil {
		return fault.New(fault.Exists, "request %s exists", op.RequestID)
	}
	tx.tick++
	op.CreatedAt = time.Now().Add(time.Duration(tx.tick) * time.Microsecond)
	op.UpdatedAt = op.CreatedAt
	tx.ops[op.ID] = *op
	return nil
}

func (tx *memTx) UpdateOperation(op *volume.Operation) error {
	row, ok := tx.ops[op.ID]
	switch {
	case !ok:
		return fault.New(fault.NotFound, "operation %s: not found", op.ID)
	case row.Status.Terminal():
		return fault.New(fault.Conflict, "operation %s has ended", op.ID)
	case row.Epoch != tx.fence.Epoch:
		return fault.New(fault.Conflict, "operation %s belongs to epoch %d", op.ID, row.Epoch)
	}
	op.UpdatedAt, op.CancelRequested = time.Now(), op.CancelRequested || row.CancelRequested
	tx.ops[op.ID] = *op
	return nil
}

func (tx *memTx) Claim(operationID string, r volume.Resource, mode ClaimMode) error {
	for c, m := range tx.claims {
		if c.resource == r && c.op != operationID && m == Exclusive {
			return fault.New(fault.Busy, "%s is claimed", r).WithBlockers("operation " + c.op)
		}
	}
	tx.claims[claim{operationID, r}] = mode
	return nil
}

func (tx *memTx) Holders(operationID string, r volume.Resource) ([]string, error) {
	var ids []string
	for c, m := range tx.claims {
		if c.resource == r && c.op != operationID && m == Shared {
			ids = append(ids, c.op)
		}
	}
	slices.Sort(ids)
	return ids, nil
}

func (tx *memTx) Release(operationID string) error {
	maps.DeleteFunc(tx.claims, func(c claim, _ ClaimMode) bool { return c.op == operationID })
	return nil
}

func (tx *memTx) Volume(id string) (volume.Volume, error) { return tx.volume(id, false) }

func (tx *memTx) DeletedVolume(id string) (volume.Volume, error) { return tx.volume(id, true) }

func (tx *memTx) volume(id string, deleted bool) (volume.Volume, error) {
	v, ok := tx.volumes[id]
	if !ok || v.Deleted() != deleted {
		return volume.Volume{}, fault.New(fault.NotFound, "volume %s: not found", id)
	}
	return v, nil
}

func (tx *memTx) InsertVolume(v *volume.Volume) error {
	if _, taken := tx.volumes[v.ID]; taken {
		return fault.New(fault.Exists, "volume %s exists", v.ID)
	}
	v.CreatedAt = time.Now()
	tx.volumes[v.ID] = *v
	return nil
}

func (tx *memTx) UpdateVolume(v *volume.Volume, from volume.Status) error {
	if row, ok := tx.volumes[v.ID]; !ok || row.Status != from {
		return fault.New(fault.Conflict, "volume %s is %s, not %s", v.ID, row.Status, from)
	}
	v.UpdatedAt = time.Now()
	if v.Status == volume.Deleted {
		v.DeletedAt = v.UpdatedAt
	}
	tx.volumes[v.ID] = *v
	return nil
}

func (tx *memTx) Snapshot(id string) (volume.Snapshot, error) {
	s, ok := tx.snapshots[id]
	if !ok || s.Status == volume.Deleted {
		return volume.Snapshot{}, fault.New(fault.NotFound, "snapshot %s: not found", id)
	}
	return s, nil
}

func (tx *memTx) InsertSnapshot(s *volume.Snapshot) error {
	if _, taken := tx.snapshots[s.ID]; taken {
		return fault.New(fault.Exists, "snapshot %s exists", s.ID)
	}
	tx.snapshots[s.ID] = *s
	return nil
}

func (tx *memTx) UpdateSnapshot(s *volume.Snapshot, from volume.Status) error {
	if row, ok := tx.snapshots[s.ID]; !ok || row.Status != from {
		return fault.New(fault.Conflict, "snapshot %s is %s, not %s", s.ID, row.Status, from)
	}
	tx.snapshots[s.ID] = *s
	return nil
}

func (tx *memTx) LabelVolume(v *volume.Volume) error {
	row, err := tx.Volume(v.ID)
	if err == nil {
		row.Name, row.Description, row.Metadata, row.Bootable = v.Name, v.Description, v.Metadata, v.Bootable
		tx.volumes[v.ID] = row
	}
	return err
}

func (tx *memTx) LabelSnapshot(s *volume.Snapshot) error {
	row, err := tx.Snapshot(s.ID)
	if err == nil {
		row.Name, row.Description, row.Metadata = s.Name, s.Description, s.Metadata
		tx.snapshots[s.ID] = row
	}
	return err
}

func (tx *memTx) DeletedSnapshot(id string) (volume.Snapshot, error) {
	s, ok := tx.snapshots[id]
	if !ok || s.Status != volume.Deleted {
		return volume.Snapshot{}, fault.New(fault.NotFound, "snapshot %s: not found", id)
	}
	return s, nil
}

func (tx *memTx) Snapshots(volumeID string) (list []volume.Snapshot, err error) {
	for _, s := range tx.snapshots {
		if s.VolumeID == volumeID && s.Status != volume.Deleted {
			list = append(list, s)
		}
	}
	return list, nil
}

func (tx *memTx) Attachments(string) (int, error) { return 0, nil }

func (tx *memTx) AppendEvent(e *volume.Event) error {
	e.ID, e.CreatedAt = int64(len(tx.events)+1), time.Now()
	tx.events = append(tx.events, *e)
	return nil
}
