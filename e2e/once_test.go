package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// Requests of many callers go through a network that loses, delays, doubles and
// swaps messages, to a worker that is killed again and again. Each has its effect
// once, and whoever repeats one is told the same as the first time: also long
// after, and after the volume is gone.
//
// VOLUMED_TEST_REQUESTS and VOLUMED_TEST_SEED change the extent and the run.
func TestExactlyOnce(t *testing.T) {
	n, seed := extent(t, "VOLUMED_TEST_REQUESTS", 300), seed(t)
	e := &exactly{arena: newHardArena(t, 2, options{}), requests: plan(seed, n)}
	bus, err := url.Parse(e.url())
	if err != nil {
		t.Fatal(err)
	}
	e.noise = newNoise(t, bus.Host, seed)
	for range 8 {
		conn := e.dial(e.noise.address())
		t.Cleanup(conn.Close)
		e.callers = append(e.callers, rpc.NewClient(conn, rpc.Options{Project: "p1", Timeout: 300 * time.Millisecond}))
	}
	began := time.Now()
	kills := e.run(max(5, n/50))
	e.again("asked again")
	took := time.Since(began)
	e.noise.hush()
	e.pool.churn(t)
	e.quiet()
	e.check()
	e.again("asked when all was done")
	e.sql("UPDATE operations SET created_at = created_at - 86400000000, updated_at = updated_at - 86400000000, finished_at = finished_at - 86400000000")
	e.again("asked a day later")
	e.check()
	fmt.Printf("exactly once: %d requests, %d effects, %d kills of the worker, %s; messages: %s; VOLUMED_TEST_SEED=%d\n",
		n, e.effects, kills, took.Round(time.Second), e.noise, seed)
}

// exactly is a service and what is asked of it.
type exactly struct {
	*arena
	noise    *noise
	callers  []*rpc.Client
	requests [][]*keyed // in the order that they have to be in; each row by itself
	answered atomic.Int64
	effects  int64
}

// keyed is a request under its key.
type keyed struct {
	id     string
	method string
	size   int64
	told   volume.Operation // at its end
}

// plan makes n requests: the lives of volumes, most of them short.
func plan(seed uint64, n int) (lives [][]*keyed) {
	rng := rand.New(rand.NewPCG(seed, 1))
	for n > 0 {
		methods := []string{rpc.MethodCreateVolume}
		if rng.IntN(10) < 2 {
			methods = append(methods, rpc.MethodExtendVolume)
		}
		if rng.IntN(10) < 3 {
			methods = append(methods, rpc.MethodDeleteVolume)
		}
		var life []*keyed
		for _, m := range methods[:min(n, len(methods))] {
			id := uuid.UUID{}
			for i := range id {
				id[i] = byte(rng.Uint32())
			}
			life = append(life, &keyed{id: id.String(), method: m, size: 1 + rng.Int64N(2)})
		}
		lives = append(lives, life)
		n -= len(life)
	}
	return lives
}

const (
	// inFlight is how many requests are under way at once.
	inFlight = 50
	// answerWait is how long an answer waits for the end of its operation: not long,
	// as it may be lost, and is missed only after that.
	answerWait = 200 * time.Millisecond
)

// run sends all requests, and kills the worker so many times meanwhile.
func (e *exactly) run(kills int) int {
	e.t.Helper()
	total := int64(0)
	lives := make(chan []*keyed, len(e.requests))
	for _, life := range e.requests {
		total += int64(len(life))
		lives <- life
	}
	close(lives)
	var all sync.WaitGroup
	for i := range inFlight {
		all.Go(func() {
			for life := range lives {
				if err := e.live(i, life); err != nil {
					e.t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	killed := 0
	for tick := time.NewTicker(time.Millisecond); ; {
		select {
		case <-done:
			tick.Stop()
			return killed
		case <-tick.C:
		}
		if e.answered.Load() < int64(killed+1)*total/int64(kills+1) || killed == kills {
			continue
		}
		if err := syscall.Kill(e.worker(0), syscall.SIGKILL); err == nil {
			killed++
		}
	}
}

// live sends the requests of one volume, one after the other.
func (e *exactly) live(caller int, life []*keyed) error {
	volumeID, size := "", int64(0)
	for _, r := range life {
		first, err := e.send(caller, r, volumeID, size, 0)
		for r.told = first; err == nil && !r.told.Status.Terminal(); {
			r.told, err = e.send(caller+1, r, volumeID, size, answerWait)
		}
		switch {
		case err != nil:
			return fmt.Errorf("%s %s: %w", r.method, r.id, err)
		case r.told.ID != first.ID || r.told.Resource != first.Resource:
			return fmt.Errorf("%s %s: first operation %s of %s, then %s of %s", r.method, r.id, first.ID, first.Resource, r.told.ID, r.told.Resource)
		case r.told.Status != volume.Succeeded:
			return fmt.Errorf("%s %s: operation %s is %s, %+v", r.method, r.id, r.told.ID, r.told.Status, r.told.Error)
		}
		volumeID = r.told.Resource.ID
		size += r.size
		e.answered.Add(1)
	}
	return nil
}

// send sends a request until it is answered.
func (e *exactly) send(caller int, r *keyed, volumeID string, size int64, wait time.Duration) (volume.Operation, error) {
	client := e.callers[caller%len(e.callers)]
	o := rpc.CallOptions{RequestID: r.id, Wait: wait}
	ctx, to := e.group.Context(), e.backend(0)
	return e.persist(func() (*volume.Operation, error) {
		var reply rpc.VolumeReply
		var err error
		switch r.method {
		case rpc.MethodCreateVolume:
			reply, err = client.CreateVolume(ctx, to, rpc.CreateVolumeRequest{Size: r.size}, o)
		case rpc.MethodExtendVolume:
			reply, err = client.ExtendVolume(ctx, to, rpc.ExtendVolumeRequest{VolumeID: volumeID, NewSize: size + r.size}, o)
		case rpc.MethodDeleteVolume:
			reply, err = client.DeleteVolume(ctx, to, rpc.DeleteVolumeRequest{VolumeID: volumeID}, o)
		}
		if err == nil && reply.Volume.ID != reply.Operation.Resource.ID {
			err = errors.New("the answer is about volume " + reply.Volume.ID + ", the operation about " + reply.Operation.Resource.ID)
		}
		return reply.Operation, err
	})
}

// again sends every request once more, all at once, and compares the answers.
func (e *exactly) again(when string) {
	e.t.Helper()
	lives := make(chan []*keyed, len(e.requests))
	for _, life := range e.requests {
		lives <- life
	}
	close(lives)
	var all sync.WaitGroup
	for i := range inFlight {
		all.Go(func() {
			for life := range lives {
				size := int64(0)
				for _, r := range life {
					op, err := e.send(i, r, r.told.Resource.ID, size, 0)
					if err != nil || op.ID != r.told.ID || op.Resource != r.told.Resource || op.Status != r.told.Status {
						e.t.Errorf("%s %s, %s: operation %s of %s, %s, %v; it was %s of %s, %s", r.method, r.id, when,
							op.ID, op.Resource, op.Status, err, r.told.ID, r.told.Resource, r.told.Status)
					}
					size += r.size
				}
			}
		})
	}
	all.Wait()
}

// check counts the effects, and compares pool and tables.
func (e *exactly) check() {
	e.t.Helper()
	want := map[string]int64{}
	sizes := int64(0) // of all volumes that there ever were
	for _, life := range e.requests {
		for _, r := range life {
			want[r.method]++
			if r.method != rpc.MethodDeleteVolume {
				sizes += r.size
			}
			if n := e.ints("SELECT count(*) FROM operations WHERE request_id = $1", r.id); n[0] != 1 {
				e.t.Errorf("%d operations for the request %s", n[0], r.id)
			}
		}
	}
	for method, n := range want {
		if got := e.ints("SELECT count(*) FROM operations WHERE method = $1 AND status = 'succeeded'", method); got[0] != n {
			e.t.Errorf("%d operations %s for %d requests", got[0], method, n)
		}
	}
	got := e.ints(`SELECT count(*), count(deleted_at), sum(size), (SELECT count(*) FROM operations WHERE method = 'purge_volume') FROM volumes`)
	created, deleted := want[rpc.MethodCreateVolume], want[rpc.MethodDeleteVolume]
	if got[0] != created || got[1] != deleted || got[2] != sizes || got[3] != deleted {
		e.t.Errorf("%d volumes, %d deleted, %d GiB, %d purges; want %d, %d, %d, %d", got[0], got[1], got[2], got[3], created, deleted, sizes, deleted)
	}
	if images := e.pool.images(e.t); int64(len(images)) != created-deleted {
		e.t.Errorf("%d images, want %d", len(images), created-deleted)
	}
	e.effects = created + deleted + want[rpc.MethodExtendVolume]
	e.checkRest()
	e.checkService()
}

// A request id means the same request for operation_retention, over restarts, and a
// new one after that.
func TestAnswersAreKept(t *testing.T) {
	s := newService(t, options{defaults: "operation_retention = 2d\n"})
	s.start()
	s.ready()
	ask := func(id string) volume.Operation {
		t.Helper()
		o := wait
		o.RequestID = id
		reply, err := s.client.CreateVolume(t.Context(), s.backend(0), rpc.CreateVolumeRequest{Size: 1}, o)
		s.succeeded("create_volume", reply.Operation, err)
		return *reply.Operation
	}
	kept, old := ask("kept"), ask("old")
	const day = 24 * 60 * 60 * 1_000_000
	for id, days := range map[string]int{kept.ID: 1, old.ID: 3} {
		s.sql("UPDATE operations SET created_at = created_at - ?, finished_at = finished_at - ? WHERE id = ?", days*day, days*day, id)
	}
	s.stop()
	s.start()
	s.ready()
	s.eventually("what is too old is removed", func() error {
		_, err := s.client.GetOperation(t.Context(), rpc.OperationRequest{OperationID: old.ID})
		if !errors.Is(err, fault.NotFound) {
			return fmt.Errorf("its record is still there, %w", err)
		}
		return nil
	})
	if again := ask("kept"); again.ID != kept.ID || again.Resource != kept.Resource {
		t.Errorf("within the retention: operation %s of %s, it was %s of %s", again.ID, again.Resource, kept.ID, kept.Resource)
	}
	if anew := ask("old"); anew.ID == old.ID || anew.Resource == old.Resource {
		t.Errorf("after the retention: operation %s of %s again", anew.ID, anew.Resource)
	}
	if images := s.images(0); len(images) != 3 {
		t.Errorf("images: %v", images)
	}
}

// busURL is the address of the bus with another host and port.
func busURL(t *testing.T, bus, address string) string {
	t.Helper()
	u, err := url.Parse(bus)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = address
	return u.String()
}
