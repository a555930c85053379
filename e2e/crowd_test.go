package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// crowd is a service with many who ask for something at the same time, of volumes and
// snapshots that all of them share.
type crowd struct {
	*arena
	sum *butchery

	mu        sync.Mutex
	volumes   []string
	snapshots []string
	asked     map[string]asked // by request id
}

// asked is a request that was accepted, and the end that its caller was told; or one
// that was refused, without an operation.
type asked struct {
	method, operationID string
	end                 volume.OperationStatus
}

const (
	// crowdSize is how many requests are in flight at once.
	crowdSize = 20
	// crowdVolumes is with how many volumes deletes begin to prevail.
	crowdVolumes = 30
)

// wish is something to ask for.
type wish struct {
	method  string
	of      string // the volume or snapshot
	newSize int64
}

// ask asks for one thing after the other until stop is closed.
func (c *crowd) ask(rng *rand.Rand, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
			c.demand(rng)
		}
	}
}

// demand asks for something until that has come to its end, and notes what became of
// it. Some change their mind and cancel.
func (c *crowd) demand(rng *rand.Rand) {
	w := c.choose(rng)
	id, cancels := uuid.UUID{}, rng.IntN(8) == 0
	for i := range id {
		id[i] = byte(rng.Uint32())
	}
	o := rpc.CallOptions{RequestID: id.String(), Wait: time.Duration(rng.IntN(2)) * answerWait}
	op, err := c.persist(c.request(w, o))
	if err == nil && cancels {
		err = c.changeMind(op.ID)
	}
	for o.Wait = answerWait; err == nil && !op.Status.Terminal() && c.group.Context().Err() == nil; {
		op, err = c.persist(c.request(w, o))
	}
	if err != nil && !w.mayBeRefused(err) {
		c.group.Errorf("%s of %s: %v", w.method, w.of, err)
	}
	c.note(w, o.RequestID, op)
}

// mayBeRefused reports whether the error comes of somebody else's having been faster.
func (w wish) mayBeRefused(err error) bool {
	if errors.Is(err, fault.Invalid) { // it has that size already
		return w.method == rpc.MethodExtendVolume
	}
	return errors.Is(err, fault.Conflict) || errors.Is(err, fault.Busy) || errors.Is(err, fault.NotFound)
}

// choose draws what to ask for.
func (c *crowd) choose(rng *rand.Rand) wish {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.volumes) == 0 {
		return wish{method: rpc.MethodCreateVolume}
	}
	v := c.volumes[rng.IntN(len(c.volumes))]
	snapshot := ""
	if len(c.snapshots) > 0 {
		snapshot = c.snapshots[rng.IntN(len(c.snapshots))]
	}
	roll := rng.IntN(100)
	if len(c.volumes) > crowdVolumes {
		roll = rng.IntN(50)
	}
	switch {
	case roll < 20:
		return wish{method: rpc.MethodDeleteVolume, of: v}
	case roll < 35 && snapshot != "":
		return wish{method: rpc.MethodDeleteSnapshot, of: snapshot}
	case roll < 42:
		return wish{method: rpc.MethodExtendVolume, of: v, newSize: 2 + rng.Int64N(6)}
	case roll < 50:
		return wish{method: rpc.MethodFlattenVolume, of: v}
	case roll < 65:
		return wish{method: rpc.MethodCreateSnapshot, of: v}
	case roll < 75 && snapshot != "":
		return wish{method: wishFromSnapshot, of: snapshot}
	case roll < 85:
		return wish{method: wishClone, of: v}
	default:
		return wish{method: rpc.MethodCreateVolume}
	}
}

// Wishes for volumes that are made of something.
const (
	wishFromSnapshot = "create_volume_from_snapshot"
	wishClone        = "create_cloned_volume"
)

// request returns what sends the wish.
func (c *crowd) request(w wish, o rpc.CallOptions) func() (*volume.Operation, error) {
	ctx, to := c.group.Context(), c.backend(0)
	create := func(req rpc.CreateVolumeRequest) func() (*volume.Operation, error) {
		return func() (*volume.Operation, error) {
			reply, err := c.client.CreateVolume(ctx, to, req, o)
			return reply.Operation, err
		}
	}
	switch w.method {
	case rpc.MethodDeleteVolume:
		return func() (*volume.Operation, error) {
			reply, err := c.client.DeleteVolume(ctx, to, rpc.DeleteVolumeRequest{VolumeID: w.of}, o)
			return reply.Operation, err
		}
	case rpc.MethodDeleteSnapshot:
		return func() (*volume.Operation, error) {
			reply, err := c.client.DeleteSnapshot(ctx, to, rpc.DeleteSnapshotRequest{SnapshotID: w.of}, o)
			return reply.Operation, err
		}
	case rpc.MethodExtendVolume:
		return func() (*volume.Operation, error) {
			reply, err := c.client.ExtendVolume(ctx, to, rpc.ExtendVolumeRequest{VolumeID: w.of, NewSize: w.newSize}, o)
			return reply.Operation, err
		}
	case rpc.MethodFlattenVolume:
		c.mu.Lock()
		c.flattened = append(c.flattened, w.of)
		c.mu.Unlock()
		return func() (*volume.Operation, error) {
			reply, err := c.client.FlattenVolume(ctx, to, rpc.FlattenVolumeRequest{VolumeID: w.of}, o)
			return reply.Operation, err
		}
	case rpc.MethodCreateSnapshot:
		return func() (*volume.Operation, error) {
			reply, err := c.client.CreateSnapshot(ctx, to, rpc.CreateSnapshotRequest{VolumeID: w.of}, o)
			return reply.Operation, err
		}
	case wishFromSnapshot:
		return create(rpc.CreateVolumeRequest{SnapshotID: w.of})
	case wishClone:
		return create(rpc.CreateVolumeRequest{SourceVolID: w.of})
	default:
		return create(rpc.CreateVolumeRequest{Size: 1})
	}
}

// changeMind cancels an operation, if it has not ended.
func (c *crowd) changeMind(operationID string) error {
	_, err := c.persist(func() (*volume.Operation, error) {
		reply, err := c.client.CancelOperation(c.group.Context(), c.backend(0), rpc.OperationRequest{OperationID: operationID}, rpc.CallOptions{})
		return &reply.Operation, err
	})
	if errors.Is(err, fault.Conflict) {
		return nil
	}
	return err
}

// note remembers what became of a request.
func (c *crowd) note(w wish, requestID string, op volume.Operation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked[requestID] = asked{w.method, op.ID, op.Status}
	if op.Status != volume.Succeeded {
		return
	}
	is := func(id string) bool { return id == w.of }
	switch w.method {
	case rpc.MethodCreateVolume, wishFromSnapshot, wishClone:
		c.volumes = append(c.volumes, op.Resource.ID)
	case rpc.MethodDeleteVolume:
		c.volumes = slices.DeleteFunc(c.volumes, is)
	case rpc.MethodCreateSnapshot:
		c.snapshots = append(c.snapshots, op.Resource.ID)
	case rpc.MethodDeleteSnapshot:
		c.snapshots = slices.DeleteFunc(c.snapshots, is)
	}
}

// churn uses as many objects of the pool as the OSDs keep in mind, and more. An OSD
// that loses the connection to a client in the instant in which it begins to watch an
// object keeps that watch, also of a client that is dead and blocklisted, for as long
// as it has the object in mind. In a pool at work that is not for long; here nothing
// else is at work.
func (p *pool) churn(t *testing.T) {
	t.Helper()
	const objects, writers = 4096, 32
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for n := w; n < objects; n += writers {
				name := fmt.Sprint("churn-", n)
				if err := errors.Join(p.io.WriteFull(name, []byte("x")), p.io.Delete(name)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}
