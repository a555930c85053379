package rbd

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"
)

const (
	window = 60 // small writes that tell what is usual
	// touchEvery lies between two of them, or touchShare times what the last one took, up
	// to touchMost: they are no load of their own, however slow the cluster.
	touchEvery = 10 * time.Millisecond
	touchShare = 9
	touchMost  = time.Second
	// measureMost bounds a measurement in a pool that hardly answers.
	measureMost = 2 * time.Second
)

// touch is a small write to somewhere in the pool, that leaves nothing: it removes an
// object that does not exist, so that every OSD is asked in its turn. OSDs commit the
// error to the log of the placement group before they answer, as they do with a write
// (PrimaryLogPG::record_write_error). Reads would not tell: they wait for no disk, and
// hardly suffer where writes do.
func (l *link) touch() error {
	err := l.io.Delete(fmt.Sprintf("%s.%08x", nobody, rand.Uint32()))
	if errno(err) == syscall.ENOENT {
		return nil
	}
	return err
}

// measure returns the latencies of n small writes, sorted; fewer when ctx ends or it takes
// too long. One that fails took at least as long as it took to fail.
func measure(ctx context.Context, touch func() error, n int) []time.Duration {
	latencies := make([]time.Duration, 0, n)
	for start := time.Now(); len(latencies) < n && ctx.Err() == nil && time.Since(start) < measureMost; {
		begun := time.Now()
		_ = touch()
		took := time.Since(begun)
		latencies = append(latencies, took)
		if sleep(ctx, min(max(touchEvery, touchShare*took), touchMost)) != nil {
			break
		}
	}
	slices.Sort(latencies)
	return latencies
}
