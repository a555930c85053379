package rbd

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/driver"
)

// Flattens share the cluster with its clients, who are to suffer as little as they can. So
// the latency of small writes to the pool is measured while there are any, and compared
// with what it is when they stand still; as long as it suffers, they pause between
// objects. The pause is one for all of them, and long at first: it grows with each write
// that is slow, and shrinks a little with each that is not. On a small cluster the
// copying alone makes writes slow; where nobody else is there to suffer there is no pause.

const (
	// stillEvery is how often all flattens stand still to measure what is usual; the
	// clients' own load changes.
	stillEvery = time.Minute
	settle     = 100 * time.Millisecond
	// A write is slow from slowFrom times the latency that only one in a hundred has when
	// flattens stand still. The pause stays as it is while one in slowShare is.
	slowFrom   = 1.3
	slowShare  = 100
	longer     = 2.0 // times the pause, for a slow write
	pauseMin   = 4 * time.Millisecond
	pauseFirst = 400 * time.Millisecond
	// sleepMost bounds what a flatten waits at a time, and queueMost what all do one after
	// another: their connection must not seem to have wedged.
	sleepMost = 3 * time.Second
	queueMost = 10 * time.Second
	// awaitedMost bounds it where somebody waits for the flatten, which keeps others of
	// the data connection waiting meanwhile.
	awaitedMost = 100 * time.Millisecond
	// aloneMost is for how long flattens do not pause before it is looked again, with
	// pauses, whether others are there: without, they hide those who do little.
	aloneMost = time.Minute
	// mapMost is the most objects of an image of which it is found out what to copy: more
	// take too much memory.
	mapMost = 1 << 26
)

// shorter is what makes up for one slow write in slowShare.
var shorter = math.Pow(longer, -1.0/(slowShare-1))

// pacer says when flattens may copy the next object.
type pacer struct {
	most   time.Duration // pause
	copied atomic.Int64  // objects, ever

	mu     sync.Mutex
	active int           // flattens
	still  chan struct{} // closed when they may go on; nil while they may
	alone  bool          // they need not pause
	pause  time.Duration // between two objects
	next   time.Time     // when the next one may be copied
	stop   context.CancelFunc
	ended  chan struct{} // closed when nothing is measured any more; nil before the first
}

// begin counts a flatten in, which calls end in the end. The first one has the
// measurements begin.
func (p *pacer) begin(d *Driver) (end func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.active++; p.active == 1 && d.calls.enter() {
		before, ended := p.ended, make(chan struct{})
		ctx, stop := context.WithCancel(context.Background())
		p.stop, p.ended = stop, ended
		p.set(false)
		go func() {
			defer d.calls.leave()
			defer close(ended)
			if before != nil {
				<-before // one that hangs would take what it sets for its own
			}
			p.watch(ctx, d.control.touch, d.traffic)
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

// watch sets the pause until ctx ends.
func (p *pacer) watch(ctx context.Context, touch func() error, count func() (traffic, error)) {
	for {
		if p.share(ctx, touch, count); ctx.Err() != nil {
			return
		}
		p.hurry(ctx, count)
	}
}

// share has the flattens pause for others until nobody else is there.
func (p *pacer) share(ctx context.Context, touch func() error, count func() (traffic, error)) {
	p.reset(false)
	var others company
	for limit, last := time.Duration(0), (time.Time{}); ctx.Err() == nil && others.look(count) != absent; {
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

// hurry has the flattens not pause for a while, or until others are there.
func (p *pacer) hurry(ctx context.Context, count func() (traffic, error)) {
	p.reset(true)
	var others company
	for begun := time.Now(); time.Since(begun) < aloneMost && others.look(count) != present; {
		if sleep(ctx, lookEvery) != nil {
			return
		}
	}
}

// reset begins anew, with pauses or without.
func (p *pacer) reset(alone bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set(alone)
}

// set is reset for a caller that has the lock.
func (p *pacer) set(alone bool) {
	p.alone, p.pause, p.next = alone, min(pauseFirst, p.most), time.Time{}
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

// adjust makes the pause longer for a write that was slow, and shorter for another.
func (p *pacer) adjust(slow bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if slow {
		p.pause = min(max(time.Duration(longer*float64(p.pause)), pauseMin), p.most)
		return
	}
	if p.pause = time.Duration(shorter * float64(p.pause)); p.pause < pauseMin {
		p.pause = 0
	}
}

// wait returns when the next object may be copied, or ctx is over; soon, where somebody
// waits for that. Meanwhile it calls sign every second.
func (p *pacer) wait(ctx context.Context, sign func()) {
	p.mu.Lock()
	still, alone := p.still, p.alone
	most := min(sleepMost, queueMost/time.Duration(max(p.active, 1)))
	p.mu.Unlock()
	if alone {
		return
	}
	if driver.IsAwaited(ctx) {
		most = min(most, awaitedMost)
	}
	latest := time.Now().Add(most)
	if still != nil && doze(ctx, latest, still, sign) != nil {
		return
	}
	_ = doze(ctx, p.turn(latest), nil, sign)
}

// doze sleeps until then, or wake is closed, or ctx ends.
func doze(ctx context.Context, until time.Time, wake <-chan struct{}, sign func()) error {
	for left := time.Until(until); left > 0; left = time.Until(until) {
		timer := time.NewTimer(min(left, time.Second))
		select {
		case <-timer.C:
			sign()
		case <-wake:
			timer.Stop()
			return nil
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
	return nil
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
	copied, known := img.toCopy(ctx)
	return func(object, total uint64, data any) int {
		if code := step(object, total, data); code != 0 {
			return code
		}
		switch {
		case !known: // nor counted: most may be empty, and would hide others who do a lot
		case object < uint64(len(copied)) && copied[object]:
			d.pace.copied.Add(1)
		default:
			return 0
		}
		d.pace.wait(ctx, func() { step(object, total, data) })
		return 0
	}
}

// toCopy tells of which objects a flatten of the image copies something: those that its
// parent has and it has not. It is not known where finding out would cost as much as the
// flatten.
func (i *image) toCopy(ctx context.Context) (objects []bool, known bool) {
	features, err := i.GetFeatures()
	if err != nil || features&rbd.FeatureFastDiff == 0 {
		return nil, false
	}
	info, err := i.Stat()
	if err != nil || info.Obj_size == 0 || info.Num_objs > mapMost {
		return nil, false
	}
	objects = make([]bool, info.Num_objs)
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
	known = mark(rbd.IncludeParent, true) == nil && mark(rbd.ExcludeParent, false) == nil
	return objects, known
}
