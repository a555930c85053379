package rbd

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/internal/virtual"
)

// pool plays one whose reads take as long as its load makes them.
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
// others suffer. It returns what tells how many were copied.
func copying(ctx context.Context, p *pacer, flattens int, each time.Duration) (busy func() bool, copied func() int) {
	var until time.Time
	n := 0
	token := make(chan struct{}, 1)
	token <- struct{}{}
	for range flattens {
		go func() {
			for ctx.Err() == nil {
				p.wait(ctx)
				<-token
				n, until = n+1, time.Now().Add(each)
				token <- struct{}{}
				_ = sleep(ctx, each)
			}
		}()
	}
	return func() bool { <-token; defer func() { token <- struct{}{} }(); return time.Now().Before(until) },
		func() int { <-token; defer func() { token <- struct{}{} }(); return n }
}

// Where the clients of the pool suffer the flattens slow down until they hardly do; where
// they do not, the flattens do not wait.
func TestPaceFollowsTheClients(t *testing.T) {
	const flattens = 3
	slowest := int(time.Minute / pauseMost) // objects in a minute when the pause is as long as it may be
	for name, c := range map[string]struct {
		suffers bool
		least   int
		most    int
	}{
		"they suffer": {true, slowest / 2, slowest * 5 / 4},
		"they do not": {false, 60 * 150, 60 * 1000},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				p := &pacer{}
				busy, copied := copying(ctx, p, flattens, 10*time.Millisecond)
				watched := make(chan struct{})
				go func() {
					defer close(watched)
					p.watch(ctx, played(func() bool { return c.suffers && busy() }))
				}()
				<-watched
				if n := copied(); n < c.least || n > c.most {
					t.Errorf("%d objects in a minute, want %d to %d", n, c.least, c.most)
				}
				cancel()
				synctest.Wait()
			})
		})
	}
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
					p.wait(ctx)
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

// Those whom somebody waits for do not push the turns of the others away.
func TestPaceTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pacer{pause: pauseMost}
		for range 100 {
			p.wait(driver.Awaited(t.Context()))
		}
		begun := time.Now()
		p.wait(t.Context())
		if took := time.Since(begun); took > pauseMost {
			t.Errorf("it waited for %s", took)
		}
	})
}
