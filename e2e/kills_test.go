package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// Random processes are killed at random moments under a mixed load, and nothing is
// stuck, lost or doubled: every accepted operation ends, pool and tables agree, and
// in the end an emptied pool is empty.
//
// VOLUMED_TEST_KILLS and VOLUMED_TEST_SEED change the extent and the run.
func TestRandomKills(t *testing.T) {
	kills, seed := extent(t, "VOLUMED_TEST_KILLS", 30), seed(t)
	sum := &butchery{count: map[victim]int{}}
	began := time.Now()
	t.Run("at once", func(t *testing.T) {
		places := extent(t, "VOLUMED_TEST_PLACES", 2)
		for i := range places {
			t.Run(fmt.Sprint("place ", i), func(t *testing.T) {
				t.Parallel()
				c := &crowd{arena: newHardArena(t, 2-i%2), asked: map[string]asked{}, sum: sum}
				c.run(seed+uint64(i), kills/places)
			})
		}
	})
	fmt.Printf("random kills: %s; %s; VOLUMED_TEST_SEED=%d\n", sum, time.Since(began).Round(time.Second), seed)
}

// victim is what is killed.
type victim string

const (
	theWorker     victim = "workers"
	theBus        victim = "buses"
	theSupervisor victim = "supervisors" // whose children end by themselves
	theGroup      victim = "groups"      // of supervisor, worker and bus
)

// butchery counts what was done.
type butchery struct {
	mu     sync.Mutex
	count  map[victim]int
	ends   map[volume.OperationStatus]int
	audits int
}

func (b *butchery) killed(v victim) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count[v]++
}

func (b *butchery) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	total := 0
	for _, n := range b.count {
		total += n
	}
	return fmt.Sprintf("%d kills (%d workers, %d buses, %d supervisors, %d groups), %d operations succeeded, %d failed, %d cancelled, %d requests refused, %d audits",
		total, b.count[theWorker], b.count[theBus], b.count[theSupervisor], b.count[theGroup],
		b.ends[volume.Succeeded], b.ends[volume.Failed], b.ends[volume.Cancelled], b.ends[""], b.audits)
}

// between is how many kills there are before everything has to come to rest.
const between = 100

// run kills so many processes under the load, with a look at everything between.
func (c *crowd) run(seed uint64, kills int) {
	for round, left := uint64(0), kills; left > 0; round++ {
		n := min(left, between)
		left -= n
		stop := make(chan struct{})
		var all sync.WaitGroup
		for i := range crowdSize {
			rng := rand.New(rand.NewPCG(seed, round<<32|uint64(i)))
			all.Go(func() { c.ask(rng, stop) })
		}
		c.kill(rand.New(rand.NewPCG(seed, round<<32|1<<31)), n)
		close(stop)
		c.answered(&all)
		c.rest()
		if c.group.Failed() {
			return
		}
	}
	c.clear()
}

// answered waits until everybody has his answer.
func (c *crowd) answered(all *sync.WaitGroup) {
	c.t.Helper()
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(patience):
		_ = syscall.Kill(c.worker(0), syscall.SIGQUIT) // its stacks come into the log
		c.t.Fatalf("some wait for an answer since %s: %v", patience, c.unfinished())
	}
}

// kill kills n processes at moments of its own: some when the one before has just
// been replaced, some while it is being replaced.
func (c *crowd) kill(rng *rand.Rand, n int) {
	c.t.Helper()
	for n > 0 {
		if rng.IntN(4) > 0 {
			c.answers(c.backend(0))
		}
		moment := time.NewTimer(time.Duration(rng.Int64N(int64(400 * time.Millisecond))))
		select {
		case <-moment.C:
		case <-c.ended:
			c.t.Fatal("the supervisor ended by itself")
		}
		v := theWorker
		switch roll := rng.IntN(20); {
		case roll < 1:
			v = theGroup
		case roll < 2:
			v = theSupervisor
		case roll < 5:
			v = theBus
		}
		if c.slay(v) {
			c.sum.killed(v)
			n--
		}
	}
	c.answers(c.backend(0))
}

// slay kills one of the kind, if there is one now.
func (c *crowd) slay(v victim) bool {
	c.t.Helper()
	pid := c.cmd.Process.Pid
	switch v {
	case theWorker, theBus:
		role := map[victim]string{theWorker: " worker ", theBus: " bus "}[v]
		pid = 0
		for _, p := range c.children() {
			if strings.Contains(p.line+" ", role) {
				pid = p.pid
			}
		}
		return pid != 0 && syscall.Kill(pid, syscall.SIGKILL) == nil
	case theGroup:
		pid = -pid
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		c.t.Fatal(err)
	}
	<-c.ended
	c.start()
	return true
}

// rest sees that everything has come to an end, as it should.
func (c *crowd) rest() {
	t := c.t
	t.Helper()
	c.pool.churn(t)
	c.release()
	c.quiet()
	c.unwatched()
	ends := map[volume.OperationStatus]int{}
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, a := range c.asked {
		found := c.strings("SELECT id || ' ' || status FROM operations WHERE request_id = $1", id)
		want := []string{a.operationID + " " + string(a.end)}
		if a.operationID == "" { // refused
			want = nil
		}
		if !slices.Equal(found, want) {
			t.Errorf("the caller of %s, request %s, was told of %v; there is %v", a.method, id, want, found)
		}
		ends[a.end]++
	}
	// What was accepted to make something has claimed what it makes it of.
	for _, failed := range c.strings(`SELECT method || ' ' || id || ' of ' || resource_id || ': ' || coalesce(error, '') FROM operations
		WHERE status = 'failed' AND (method LIKE 'create%' OR error NOT LIKE '%"kind":"conflict"%'
			AND error NOT LIKE '%"kind":"busy"%' AND error NOT LIKE '%"kind":"not_found"%')`) {
		t.Errorf("failed: %s", failed)
	}
	c.agree()
	c.checkRest()
	c.checkService()
	c.sum.mu.Lock()
	defer c.sum.mu.Unlock()
	c.sum.audits++
	if c.sum.ends == nil {
		c.sum.ends = map[volume.OperationStatus]int{}
	}
	for status, n := range ends {
		c.sum.ends[status] += n
	}
	c.asked = map[string]asked{}
}

// unwatched waits until nobody has an image open any more.
func (c *crowd) unwatched() {
	c.t.Helper()
	for name := range c.pool.images(c.t) {
		id := strings.TrimPrefix(name, "volume-")
		c.within(patience, "nobody watches "+id, func() error {
			if w := c.pool.inspect(c.t, id).watchers; len(w) > 0 {
				return fmt.Errorf("watched by %v", w)
			}
			return nil
		})
	}
}

// agree has the service's own audit compare pool and tables. Of clones of format 1
// that are no more, a snapshot stays behind, which its repair removes.
func (c *crowd) agree() {
	c.t.Helper()
	audit := c.audited()
	if audit.Drift > 0 && c.format == 1 {
		for f, err := range c.client.Findings(c.t.Context(), rpc.GetAuditRequest{AuditID: audit.ID}) {
			if err != nil || !f.Note && f.Kind != volume.StrayCloneSnapshot {
				c.t.Errorf("audit: %+v, %v", f, err)
			}
		}
		_, err := c.client.ApplyRepairs(c.t.Context(), c.backend(0), rpc.ApplyRepairsRequest{AuditID: audit.ID}, wait)
		if err != nil {
			c.t.Errorf("repair: %v", err)
		}
		audit = c.audited()
	}
	if audit.Drift == 0 {
		return
	}
	for f, err := range c.client.Findings(c.t.Context(), rpc.GetAuditRequest{AuditID: audit.ID}) {
		c.t.Errorf("audit: %+v, %v", f, err)
	}
}

func (c *crowd) audited() volume.Audit {
	c.t.Helper()
	reply, err := c.client.AuditBackend(c.t.Context(), c.backend(0), rpc.AuditBackendRequest{Deep: true}, wait)
	c.succeeded("audit_backend", reply.Operation, err)
	if reply.Audit == nil {
		c.t.Fatal("an audit without an outcome")
	}
	return *reply.Audit
}

// release makes clones independent whose parents are deleted: their space comes back
// only then.
func (c *crowd) release() {
	c.t.Helper()
	c.each(`SELECT id FROM volumes WHERE deleted_at IS NULL AND status = 'available' AND (source_volid <> '' OR snapshot_id <> '')`, func(id string) error {
		c.mu.Lock()
		c.flattened = append(c.flattened, id)
		c.mu.Unlock()
		_, err := c.client.FlattenVolume(c.t.Context(), c.backend(0), rpc.FlattenVolumeRequest{VolumeID: id}, wait)
		return err
	})
}

// clear deletes everything, and sees that nothing is left.
func (c *crowd) clear() {
	c.t.Helper()
	c.each("SELECT id FROM snapshots WHERE deleted_at IS NULL", func(id string) error {
		_, err := c.client.DeleteSnapshot(c.t.Context(), c.backend(0), rpc.DeleteSnapshotRequest{SnapshotID: id}, wait)
		return err
	})
	c.empty()
}
