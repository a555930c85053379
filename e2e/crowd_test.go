package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
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
	home      map[string]string // the volumes of snapshots
	types     []string          // that no volume has
	// What was unmanaged, until it is managed again.
	loose, looseSnapshots []string
	asked                 map[string]asked // by request id
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
	// crowdVolumes is with how many volumes no more are asked for.
	crowdVolumes = 30
)

// newCrowd returns one at a service of two backends, with images to make volumes of.
func newCrowd(t *testing.T, format int, sum *butchery) *crowd {
	t.Helper()
	dir := t.TempDir()
	web := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(web.Close)
	c := &crowd{
		arena: newHardArena(t, format, options{backends: 2, defaults: "image_file_allow = " + dir + "\nimage_url_allow = 127.0.0.1\n"}),
		sum:   sum, home: map[string]string{}, asked: map[string]asked{},
	}
	c.imageDir, c.imageURL, c.kinds = dir, web.URL, map[string]string{}
	for _, content := range []string{original, other} {
		c.writeImage(content, content)
	}
	for _, name := range []string{limited, inherited, shared} {
		c.kind(name)
	}
	return c
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
	request := func() (*volume.Operation, error) { return w.ask(o) }
	op, err := c.persist(request)
	if err == nil && cancels && w.at != "" {
		err = c.changeMind(w.at, op.ID)
	}
	for o.Wait = answerWait; err == nil && !op.Status.Terminal() && c.group.Context().Err() == nil; {
		op, err = c.persist(request)
	}
	if err != nil && !w.mayBeRefused(err) {
		c.group.Errorf("%s of %s: %v", w.method, w.of, err)
	}
	c.note(w, o.RequestID, op)
}

// mayBeRefused reports whether the error comes of somebody else's having been faster.
func (w wish) mayBeRefused(err error) bool {
	switch fault.KindOf(err) {
	case fault.Conflict, fault.Busy, fault.NotFound:
		return true
	case fault.Exists:
		return w.method == rpc.MethodManageExisting || w.method == rpc.MethodManageExistingSnapshot
	case fault.Invalid: // it has that size already, or has moved
		return w.method == rpc.MethodExtendVolume || strings.Contains(err.Error(), "belongs to")
	default:
		return false
	}
}

// changeMind cancels an operation, if it has not ended.
func (c *crowd) changeMind(at, operationID string) error {
	_, err := c.persist(func() (*volume.Operation, error) {
		reply, err := c.client.CancelOperation(c.group.Context(), at, rpc.OperationRequest{OperationID: operationID}, rpc.CallOptions{})
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
	id := op.Resource.ID
	without := func(ids []string) []string {
		return slices.DeleteFunc(ids, func(other string) bool { return other == w.of })
	}
	switch w.method {
	case rpc.MethodCreateVolume, fromSnapshot, fromVolume, fromImage:
		c.volumes = append(c.volumes, id)
	case rpc.MethodManageExisting:
		c.loose, c.volumes = without(c.loose), append(c.volumes, id)
	case rpc.MethodDeleteVolume:
		c.volumes = without(c.volumes)
	case unmanage:
		c.volumes, c.loose = without(c.volumes), append(c.loose, w.of)
	case rpc.MethodCreateSnapshot:
		c.snapshots, c.home[id] = append(c.snapshots, id), w.of
	case rpc.MethodManageExistingSnapshot:
		c.looseSnapshots, c.snapshots = without(c.looseSnapshots), append(c.snapshots, id)
	case rpc.MethodDeleteSnapshot:
		c.snapshots = without(c.snapshots)
	case unmanageSnapshot:
		c.snapshots, c.looseSnapshots = without(c.snapshots), append(c.looseSnapshots, w.of)
	case rpc.MethodCreateType:
		c.types = append(c.types, id)
	case rpc.MethodDeleteType:
		c.types = without(c.types)
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
