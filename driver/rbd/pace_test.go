package rbd

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/internal/virtual"
)

const pauseMost = time.Second

func unsigned() {}

// played is a pool whose writes take as long as its load makes them.
func played(busy func() bool) func() error {
	noise := rand.New(rand.NewPCG(1, 2))
	return func() error {
		took := 500*time.Microsecond + time.Duration(noise.IntN(100))*time.Microsecond
		if busy() {
			took *= 4
		}
		virtual.Pass(took)
		return nil
	}
}

// copying plays flattens that copy as fast as they may, each object for a time in which
// others suffer. It returns what tells whether they do.
func copying(ctx context.Context, p *pacer, flattens int, each time.Duration) (busy func() bool) {
	var until atomic.Int64
	for range flattens {
		go func() {
			for ctx.Err() == nil {
				p.wait(ctx, unsigned)
				p.copied.Add(1)
				until.Store(time.Now().Add(each).UnixNano())
				_ = sleep(ctx, each)
			}
		}()
	}
	return func() bool { return time.Now().UnixNano() < until.Load() }
}

// counted plays a cluster that tells every few seconds what it has done: twelve operations
// for each object that is copied, and those of others.
func counted(p *pacer, others func(now time.Time) float64) func() (traffic, error) {
	var told traffic
	var at time.Time
	return func() (traffic, error) {
		if now := time.Now(); now.Sub(at) >= 5*time.Second {
			told.operations, at = 12*float64(p.copied.Load())+others(now), now
		}
		return traffic{operations: told.operations, objects: p.copied.Load()}, nil
	}
}

// Where the clients of the pool suffer the flattens slow down until they hardly do; where
// they do not, or nobody is there, the flattens do not wait.
func TestPaceFollowsTheClients(t *testing.T) {
	const (
		flattens = 3
		lasts    = 2 * time.Minute
		each     = 10 * time.Millisecond
		slowest  = int64(lasts / pauseMost) // objects when the pause is as long as it may be
		fastest  = flattens * int64(lasts/each)
	)
	for name, c := range map[string]struct {
		suffers     bool
		others      float64 // operations a second
		least, most int64   // objects
	}{
		"they suffer":                {true, 300, slowest / 2, slowest * 3 / 2},
		"they do not":                {false, 300, fastest / 2, fastest},
		"there are none":             {true, 0, fastest / 2, fastest},
		"they do next to nothing":    {true, hardly / 2, fastest / 2, fastest},
		"they do little beside ours": {true, hardly * 4, slowest / 2, slowest * 3 / 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), lasts)
				defer cancel()
				p := &pacer{active: flattens, most: pauseMost}
				busy := copying(ctx, p, flattens, each)
				begun := time.Now()
				others := func(now time.Time) float64 { return c.others * now.Sub(begun).Seconds() }
				p.watch(ctx, played(func() bool { return c.suffers && busy() }), counted(p, others))
				if n := p.copied.Load(); n < c.least || n > c.most {
					t.Errorf("%d objects, want %d to %d", n, c.least, c.most)
				}
				synctest.Wait()
			})
		})
	}
}

// Who comes while the flattens are alone is noticed: at once if he does much, when it is
// looked again if what he does is hidden by theirs.
func TestPaceNoticesNewcomers(t *testing.T) {
	for name, c := range map[string]struct {
		operations float64 // a second
		within     time.Duration
	}{
		"much":   {4000, 15 * time.Second},
		"little": {hardly * 4, aloneMost + 15*time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				p := &pacer{active: 1, most: pauseMost}
				busy := copying(ctx, p, 1, 10*time.Millisecond)
				var came time.Time
				go p.watch(ctx, played(busy), counted(p, func(now time.Time) float64 {
					if came.IsZero() {
						return 0
					}
					return c.operations * now.Sub(came).Seconds()
				}))
				for !p.hurried() {
					virtual.Pass(time.Second)
				}
				came = time.Now()
				for p.hurried() {
					virtual.Pass(time.Second)
				}
				if took := time.Since(came); took > c.within {
					t.Errorf("that took %s", took)
				}
				virtual.Pass(aloneMost)
				if p.hurried() {
					t.Error("a minute later nobody is seen any more")
				}
				cancel()
				synctest.Wait()
			})
		})
	}
}

// What ends with the last flatten does not let the next one hurry.
func TestPaceEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := &pacer{most: pauseMost}
	p.watch(ctx, func() error { cancel(); return nil }, counted(p, func(time.Time) float64 { return 0 }))
	if p.hurried() {
		t.Error("nobody has looked whether others are there")
	}
}

func (p *pacer) hurried() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.alone
}

// Who waits is let go at once when he is cancelled, and soon when somebody waits for him,
// also while all stand still.
func TestPaceHearsACancel(t *testing.T) {
	for name, c := range map[string]struct {
		ctx  func(context.Context) context.Context
		most time.Duration
	}{
		"nobody waits for it": {func(ctx context.Context) context.Context { return ctx }, awaitedMost * 2},
		"somebody does":       {driver.Awaited, awaitedMost},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &pacer{still: make(chan struct{}), pause: time.Hour}
				for range 2 {
					ctx, cancel := context.WithTimeout(c.ctx(t.Context()), awaitedMost*2)
					begun := time.Now()
					p.wait(ctx, unsigned)
					if took := time.Since(begun); took != c.most {
						t.Errorf("it waited for %s", took)
					}
					cancel()
					p.release()
					p.next = time.Now().Add(time.Hour)
				}
			})
		})
	}
}

// Who waits for his turn tells every second that he lives, also while all stand still.
func TestPaceSigns(t *testing.T) {
	for name, waiting := range map[string]func() *pacer{
		"for his turn":    func() *pacer { return &pacer{next: time.Now().Add(time.Hour)} },
		"while all stand": func() *pacer { return &pacer{still: make(chan struct{})} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				last, signs := time.Now(), 0
				waiting().wait(t.Context(), func() {
					if since := time.Since(last); since > time.Second {
						t.Errorf("nothing was told for %s", since)
					}
					last, signs = time.Now(), signs+1
				})
				if want := int(sleepMost / time.Second); signs != want {
					t.Errorf("%d signs of life, want %d", signs, want)
				}
			})
		})
	}
}

// Those whom somebody waits for do not push the turns of the others away.
func TestPaceTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pacer{pause: pauseMost}
		for range 100 {
			p.wait(driver.Awaited(t.Context()), unsigned)
		}
		begun := time.Now()
		p.wait(t.Context(), unsigned)
		if took := time.Since(begun); took > pauseMost {
			t.Errorf("it waited for %s", took)
		}
	})
}
