package rbd

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ceph/go-ceph/rbd"
	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/driver/limit"
	"github.com/volumed/volumed/internal/testenv"
	"github.com/volumed/volumed/volume"
)

// Every benchmark runs what the driver does and the bare loop on one open
// connection in turns, so that both see the same cluster, and reports the median
// time per volume of each, and the median of their ratio: the driver over the
// floor.

// crowd is how many volumes the benchmarks at once make; workers how many
// goroutines share them.
const (
	crowd   = 200
	workers = 20
)

// side is one of the two that are compared.
type side struct {
	prepare func(name string) // not timed; may be nil
	run     func(name string)
}

// compare measures both sides in b.N rounds of count names each.
func compare(b *testing.B, count int, floor, ours side) {
	var took [2][]float64
	var ratios []float64
	for round := 0; b.Loop(); round++ {
		for turn := range 2 {
			which := (round + turn) % 2
			s := [2]side{floor, ours}[which]
			name := func(i int) string { return fmt.Sprintf("volume-%d-%d-%d", which, round, i) }
			if s.prepare != nil {
				spread(count, func(i int) { s.prepare(name(i)) })
			}
			start := time.Now()
			spread(count, func(i int) { s.run(name(i)) })
			took[which] = append(took[which], float64(time.Since(start).Microseconds())/float64(count))
		}
		ratios = append(ratios, took[1][round]/took[0][round])
	}
	b.ReportMetric(median(took[0]), "floor-µs/each")
	b.ReportMetric(median(took[1]), "ours-µs/each")
	b.ReportMetric(median(ratios), "ratio")
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// spread calls do for each number below count; one at a time for one.
func spread(count int, do func(i int)) {
	numbers := make(chan int, count)
	for i := range count {
		numbers <- i
	}
	close(numbers)
	var wg sync.WaitGroup
	for range min(workers, count) {
		wg.Go(func() {
			for i := range numbers {
				do(i)
			}
		})
	}
	wg.Wait()
}

// bench returns a driver as the service uses it, bounded, and the one below.
func bench(b *testing.B) (*limit.Driver, *Driver) {
	env := testenv.Ceph(b)
	d := openDriver(b, config(env, env.NewPool(b)))
	return limit.New(d, limit.Config{Slots: workers + 3}, hclog.NewNullLogger()), d
}

func check(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Error(err)
	}
}

func spec(name string) volume.Spec {
	return volume.Spec{Ref: volume.Ref{Name: name}, Size: 1}
}

// rawOptions are the options of the driver's images, made once as a bare loop
// would.
func rawOptions(b *testing.B, d *Driver, format uint64) *rbd.ImageOptions {
	opts, err := d.options(d.cfg.order())
	check(b, err)
	if format != 0 {
		check(b, opts.SetUint64(rbd.ImageOptionCloneFormat, format))
	}
	b.Cleanup(opts.Destroy)
	return opts
}

func benchmarkCreate(b *testing.B, count int) {
	bounded, d := bench(b)
	opts := rawOptions(b, d, 0)
	compare(b, count,
		side{run: func(name string) { check(b, rbd.CreateImage(d.control.io, name, volume.GiB, opts)) }},
		side{run: func(name string) {
			_, err := bounded.CreateVolume(b.Context(), spec(name))
			check(b, err)
		}})
}

func BenchmarkCreateAlone(b *testing.B)  { benchmarkCreate(b, 1) }
func BenchmarkCreateAtOnce(b *testing.B) { benchmarkCreate(b, crowd) }

func BenchmarkDeleteAtOnce(b *testing.B) {
	bounded, d := bench(b)
	opts := rawOptions(b, d, 0)
	one := func(name string) { check(b, rbd.CreateImage(d.control.io, name, volume.GiB, opts)) }
	compare(b, crowd,
		side{one, func(name string) {
			img, err := rbd.OpenImageReadOnly(d.control.io, name, rbd.NoSnapshot)
			check(b, err)
			_, err = img.ListWatchers()
			check(b, err)
			check(b, img.Close())
			check(b, rbd.GetImage(d.control.io, name).Trash(0))
		}},
		side{one, func(name string) {
			_, err := bounded.DeleteVolume(b.Context(), volume.Ref{Name: name}, 0)
			check(b, err)
		}})
}

func BenchmarkCloneAtOnce(b *testing.B) {
	bounded, d := bench(b)
	source := create(b, d, "volume-source")
	snap := snapshot(b, d, source, "snapshot-source")
	opts := rawOptions(b, d, 2)
	compare(b, crowd,
		side{run: func(name string) {
			check(b, rbd.CloneImage(d.control.io, source.Name, snap.Name, d.control.io, name, opts))
		}},
		side{run: func(name string) {
			_, err := bounded.CreateVolumeFromSnapshot(b.Context(), spec(name), snap)
			check(b, err)
		}})
}
