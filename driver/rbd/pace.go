package rbd

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/driver"
)

// Flattens share the cluster with its clients, who are to suffer as little as they can. So while there are
// any the latency of small reads from the pool is measured, and compared with what it
// is when they stand still; as long as it suffers, they pause between objects. The
// pause is one for all of them, and long at first: it grows with each read that is slow,
// and shrinks a little with each that is not.

const (
	probeEvery = 5 * time.Millisecond // between two small reads
	window     = 60                   // reads that tell what is usual
	settle     = 100 * time.Millisecond
	// stillEvery is how often all flattens stand still to measure what is usual; the
	// clients' own load changes.
	stillEvery = time.Minute
	// A read is slow from slowFrom times the latency that only one in a hundred has when
	// flattens stand still. The pause stays as it is while one in slowShare is.
	slowFrom  = 1.3
	slowShare = 100
	longer    = 2.0 // times the pause, for a slow read
	pauseMin  = 4 * time.Millisecond
	pauseMost = 400 * time.Millisecond
	// sleepMost bounds what a flatten waits at a time, when there are many: its
	// connection must not seem to have wedged.
	sleepMost = time.Second
	// awaitedMost bounds it where somebody waits for the flatten, which keeps others of
	// the data connection waiting meanwhile.
	awaitedMost = 100 * time.Millisecond
	// measureMost bounds a measurement in a pool that hardly answers.
	measureMost = 2 * time.Second
	// mapMost is the most objects of an image of which it is found out what to copy: more
	// take too much memory.
	mapMost = 1 << 26
)

// shorter is what makes up for one slow read in slowShare.
var shorter = math.Pow(longer, -1.0/(slowShare-1))

// pacer says when flattens may copy the next object.
type pacer struct {
	mu     sync.Mutex
	active int           // flattens
	still  chan struct{} // closed when they may go on; nil while they may
	pause  time.Duration // between two objects
	next   time.Time     // when the next one may be copied
	stop   context.CancelFunc
}

// begin counts a flatten in, which calls end in the end. The first one has the reads
// begin.
func (p *pacer) begin(d *Driver) (end func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.active++; p.active == 1 && d.calls.enter() {
		ctx, stop := context.WithCancel(context.Background())
		p.stop = stop
		go func() {
			defer d.calls.leave()
			p.watch(ctx, d.control.touch)
		}()
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.active--; p.active == 0 && p.stop != nil {
			p.stop()
			p.stop = nil
		}
	}
}

// touch reads something small from somewhere in the pool: nothing, from an object that
// does not exist, so that every OSD is asked in its turn.
func (l *link) touch() error {
	_, err := l.io.Stat(fmt.Sprintf("%s.%08x", nobody, rand.Uint32()))
	if errno(err) == syscall.ENOENT {
		return nil
	}
	return err
}

// watch sets the pause until ctx ends.
func (p *pacer) watch(ctx context.Context, touch func() error) {
	defer p.release()
	p.mu.Lock()
	p.pause = pauseMost
	p.mu.Unlock()
	for limit, last := time.Duration(0), (time.Time{}); ctx.Err() == nil; {
		if time.Since(last) > stillEvery {
			if usual := p.standStill(ctx, touch); len(usual) > 0 {
				limit, last = time.Duration(slowFrom*float64(usual[len(usual)*99/100])), time.Now()
			}
		}
		for _, took := range measure(ctx, touch, window) {
			p.adjust(took > limit)
		}
	}
}

// standStill measures while no object is copied.
func (p *pacer) standStill(ctx context.Context, touch func() error) []time.Duration {
	p.mu.Lock()
	p.still = make(chan struct{})
	p.mu.Unlock()
	defer p.release()
	if sleep(ctx, settle) != nil {
		return nil
	}
	return measure(ctx, touch, window)
}

// release lets the flattens go on.
func (p *pacer) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.still != nil {
		close(p.still)
		p.still = nil
	}
}

// measure returns the latencies of n reads, sorted; fewer when ctx ends or it takes too
// long. A read that fails took at least as long as it took to fail.
func measure(ctx context.Context, touch func() error, n int) []time.Duration {
	took := make([]time.Duration, 0, n)
	for start := time.Now(); len(took) < n && ctx.Err() == nil && time.Since(start) < measureMost; {
		begun := time.Now()
		_ = touch()
		took = append(took, time.Since(begun))
		if sleep(ctx, probeEvery) != nil {
			break
		}
	}
	slices.Sort(took)
	return took
}

// adjust makes the pause longer for a read that was slow, and shorter for another.
func (p *pacer) adjust(slow bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if slow {
		p.pause = min(max(time.Duration(longer*float64(p.pause)), pauseMin), pauseMost)
		return
	}
	if p.pause = time.Duration(shorter * float64(p.pause)); p.pause < pauseMin {
		p.pause = 0
	}
}

// wait returns when the next object may be copied, or ctx is over; soon, where somebody
// waits for that.
func (p *pacer) wait(ctx context.Context) {
	most := sleepMost
	if driver.IsAwaited(ctx) {
		most = awaitedMost
	}
	latest := time.Now().Add(most)
	p.mu.Lock()
	still := p.still
	p.mu.Unlock()
	if still != nil {
		enough := time.NewTimer(most)
		defer enough.Stop()
		select {
		case <-still:
		case <-enough.C:
		case <-ctx.Done():
			return
		}
	}
	if left := time.Until(p.turn(latest)); left > 0 {
		_ = sleep(ctx, left)
	}
}

// turn takes the next turn, at the latest then, and returns when it is.
func (p *pacer) turn(latest time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := time.Now()
	if p.next.After(at) {
		at = p.next
	}
	if at.After(latest) {
		at = latest
	}
	if next := at.Add(p.pause); next.After(p.next) {
		p.next = next
	}
	return at
}

// paced is the callback of a flatten that waits, after each object that it copies, until
// the next one may be. librbd calls it from threads of its own, in the order of the
// objects, those included that there is nothing to copy of.
func (d *Driver) paced(ctx context.Context, img *image, step rbd.FlattenCallback) rbd.FlattenCallback {
	copied := img.toCopy(ctx)
	return func(object, total uint64, data any) int {
		if code := step(object, total, data); code != 0 {
			return code
		}
		if copied(object) {
			d.pace.wait(ctx)
		}
		return 0
	}
}

// toCopy tells of which objects a flatten of the image copies something: those that its
// parent has and it has not. Where finding out would cost as much as the flatten, it is
// all of them.
func (i *image) toCopy(ctx context.Context) func(object uint64) bool {
	all := func(uint64) bool { return true }
	features, err := i.GetFeatures()
	if err != nil || features&rbd.FeatureFastDiff == 0 {
		return all
	}
	info, err := i.Stat()
	if err != nil || info.Obj_size == 0 || info.Num_objs > mapMost {
		return all
	}
	objects := make([]bool, info.Num_objs)
	mark := func(include rbd.DiffIncludeParent, copied bool) error {
		return i.DiffIterate(rbd.DiffIterateConfig{
			Length: info.Size, IncludeParent: include, WholeObject: rbd.EnableWholeObject,
			Callback: func(offset, length uint64, _ int, _ any) int {
				for n := offset / info.Obj_size; n*info.Obj_size < offset+length && n < uint64(len(objects)); n++ {
					objects[n] = copied
				}
				if ctx.Err() != nil {
					return -int(syscall.ECANCELED)
				}
				return 0
			},
		})
	}
	if mark(rbd.IncludeParent, true) != nil || mark(rbd.ExcludeParent, false) != nil {
		return all
	}
	return func(object uint64) bool { return object < uint64(len(objects)) && objects[object] }
}
