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

	"github.com/volumed/volumed/volume"
)

// Random processes are killed at random moments under a mixed load, and nothing is
// stuck, lost or doubled: every accepted operation ends, pool and tables agree, and
// in the end an emptied pool is empty.
//
// VOLUMED_TEST_KILLS and VOLUMED_TEST_SEED change the extent and the run.
func TestRandomKills(t *testing.T) {
	kills, seed := extent(t, "VOLUMED_TEST_KILLS", 30), seed(t)
	sum := &butchery{count: map[victim]int{}, ends: map[volume.OperationStatus]int{}, done: map[string]bool{}}
	began := time.Now()
	t.Run("at once", func(t *testing.T) {
		places := extent(t, "VOLUMED_TEST_PLACES", 2)
		for i := range places {
			t.Run(fmt.Sprint("place ", i), func(t *testing.T) {
				t.Parallel()
				newCrowd(t, 2-i%2, sum).run(seed+uint64(i), kills/places)
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
	done   map[string]bool // methods of which one has succeeded
	audits int
}

func (b *butchery) killed(v victim) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count[v]++
}

// noteRest counts an audit, and the ends of the requests before it.
func (b *butchery) noteRest(requests map[string]asked) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.audits++
	for _, a := range requests {
		b.ends[a.end]++
		b.done[a.method] = b.done[a.method] || a.end == volume.Succeeded
	}
}

// undone are the methods of the crowd of which none has succeeded.
func (b *butchery) undone() (methods []string) {
	for _, w := range wishes {
		if !b.done[w.method] {
			methods = append(methods, w.method)
		}
	}
	return methods
}

func (b *butchery) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	total := 0
	for _, n := range b.count {
		total += n
	}
	return fmt.Sprintf("%d kills (%d workers, %d buses, %d supervisors, %d groups), %d operations succeeded, %d failed, %d cancelled, %d requests refused, %d audits; without a success: %v",
		total, b.count[theWorker], b.count[theBus], b.count[theSupervisor], b.count[theGroup],
		b.ends[volume.Succeeded], b.ends[volume.Failed], b.ends[volume.Cancelled], b.ends[""], b.audits, b.undone())
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
			c.answers(c.backend(rng.IntN(len(c.pools))))
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
		if c.slay(v, rng) {
			c.sum.killed(v)
			n--
		}
	}
	for i := range c.pools {
		c.answers(c.backend(i))
	}
}

// slay kills one of the kind, if there is one now.
func (c *crowd) slay(v victim, rng *rand.Rand) bool {
	c.t.Helper()
	pid := c.cmd.Process.Pid
	switch v {
	case theWorker, theBus:
		role := map[victim]string{theWorker: " worker ", theBus: " bus "}[v]
		found := slices.DeleteFunc(c.children(), func(p process) bool { return !strings.Contains(p.line+" ", role) })
		return len(found) > 0 && syscall.Kill(found[rng.IntN(len(found))].pid, syscall.SIGKILL) == nil
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
