package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/volumed/volumed/rpc"
)

// parallel runs f for 0..n-1 on so many goroutines, and returns the rate per second.
func parallel(n, goroutines int, f func(i int) error) (float64, error) {
	var wg sync.WaitGroup
	var failed sync.Once
	var first error
	next := make(chan int)
	begin := time.Now()
	for range goroutines {
		wg.Go(func() {
			for i := range next {
				if err := f(i); err != nil {
					failed.Do(func() { first = err })
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	return float64(n) / time.Since(begin).Seconds(), first
}

// Sizes of the measurements.
const (
	alone   = 100 // one after another
	atOnce  = 200 // all at once
	rawJobs = 20  // goroutines of the raw loop
)

// wait is how long an answer may wait for the end of its operation.
const wait = time.Minute

// measureCreate: a volume of 1 GiB, one at a time, answered as available.
func measureCreate(ctx context.Context, w *world) error {
	return w.beside(ctx, func(r *raw, s *service) error {
		var floor, ours []time.Duration
		for i := range alone * w.runs {
			begin := time.Now()
			if err := r.create(fmt.Sprintf("raw-create-%d", i)); err != nil {
				return err
			}
			floor = append(floor, time.Since(begin))
			begin = time.Now()
			if _, err := s.create(ctx, rpc.CreateVolumeRequest{Size: 1}); err != nil {
				return err
			}
			ours = append(ours, time.Since(begin))
		}
		w.table.times("create 1 GiB, one at a time, p50", floor, ours, "≤ 1.4 ×")
		return nil
	})
}

// create makes a volume and waits for it.
func (s *service) create(ctx context.Context, req rpc.CreateVolumeRequest) (string, error) {
	reply, err := s.client.CreateVolume(ctx, services[0], req, rpc.CallOptions{Wait: wait})
	if err == nil && reply.Volume.Status != "available" {
		err = fmt.Errorf("volume %s is %s", reply.Volume.ID, reply.Volume.Status)
	}
	return reply.Volume.ID, err
}

// beside runs a measurement with librbd and the service side by side.
func (w *world) beside(ctx context.Context, f func(*raw, *service) error) error {
	return w.besideOn(ctx, w.cluster, f)
}

func (w *world) besideOn(ctx context.Context, c *cluster, f func(*raw, *service) error) error {
	r, err := openRaw(c, "volumes")
	if err != nil {
		return err
	}
	defer r.close()
	s, err := w.serve(ctx, c, "")
	if err != nil {
		return err
	}
	defer func() { _ = s.stop() }()
	return f(r, s)
}

// createMany makes volumes all at once.
func (s *service) createMany(ctx context.Context, n int, req rpc.CreateVolumeRequest) (ids []string, rate float64, err error) {
	ids = make([]string, n)
	rate, err = parallel(n, n, func(i int) (err error) {
		ids[i], err = s.create(ctx, req)
		return err
	})
	return ids, rate, err
}

func (s *service) deleteMany(ctx context.Context, ids []string) (float64, error) {
	return parallel(len(ids), len(ids), func(i int) error {
		_, err := s.client.DeleteVolume(ctx, services[0], rpc.DeleteVolumeRequest{VolumeID: ids[i]}, rpc.CallOptions{Wait: wait})
		return err
	})
}

// purged waits until the space of everything deleted is back, so that one run
// does not work beside the next.
func (s *service) purged(ctx context.Context) error {
	return until(ctx, func() error {
		page, err := s.client.ListOperations(ctx, rpc.ListOperationsRequest{Unfinished: true, Page: rpc.Page{Limit: 1}})
		if err == nil && len(page.Operations) > 0 {
			err = fmt.Errorf("%s is unfinished", page.Operations[0].Method)
		}
		return err
	})
}

// measureCreates: 200 volumes at once.
func measureCreates(ctx context.Context, w *world) error {
	return w.beside(ctx, func(r *raw, s *service) error {
		var floor, ours []float64
		for run := range w.runs {
			rate, err := parallel(atOnce, rawJobs, func(i int) error { return r.create(fmt.Sprintf("raw-creates-%d-%d", run, i)) })
			if err != nil {
				return err
			}
			floor = append(floor, rate)
			_, rate, err = s.createMany(ctx, atOnce, rpc.CreateVolumeRequest{Size: 1})
			if err != nil {
				return err
			}
			ours = append(ours, rate)
		}
		w.table.rates(fmt.Sprintf("%d creates at once", atOnce), floor, ours, "≥ 75 %")
		return nil
	})
}

// measureDeletes: 200 volumes deleted at once. The space is given back later, by
// purges that begin meanwhile on our side and not on the other.
func measureDeletes(ctx context.Context, w *world) error {
	return w.beside(ctx, func(r *raw, s *service) error {
		var floor, ours []float64
		for run := range w.runs {
			name := func(i int) string { return fmt.Sprintf("raw-deletes-%d-%d", run, i) }
			if _, err := parallel(atOnce, rawJobs, func(i int) error { return r.create(name(i)) }); err != nil {
				return err
			}
			ids, _, err := s.createMany(ctx, atOnce, rpc.CreateVolumeRequest{Size: 1})
			if err != nil {
				return err
			}
			rate, err := parallel(atOnce, rawJobs, func(i int) error { return r.trash(name(i)) })
			if err != nil {
				return err
			}
			floor = append(floor, rate)
			if rate, err = s.deleteMany(ctx, ids); err != nil {
				return err
			}
			ours = append(ours, rate)
			if err := s.purged(ctx); err != nil {
				return err
			}
		}
		w.table.rates(fmt.Sprintf("%d deletes at once", atOnce), floor, ours, "≥ 80 %")
		return nil
	})
}

// measureClones: 200 clones of one volume at once.
func measureClones(ctx context.Context, w *world) error {
	return w.clones(ctx, w.cluster, "", "≥ 75 %")
}

// measureClonesSlowMonitor: the same where the monitor commits once a second,
// as on a usual cluster.
func measureClonesSlowMonitor(ctx context.Context, w *world) error {
	c, err := w.startCluster(ctx, "--paxos-interval", "1")
	if err != nil {
		return err
	}
	defer c.stop()
	return w.clones(ctx, c, ", monitor commits once a second", "≥ 55 %")
}

func (w *world) clones(ctx context.Context, c *cluster, note, bar string) error {
	return w.besideOn(ctx, c, func(r *raw, s *service) error {
		var floor, ours []float64
		source, err := s.create(ctx, rpc.CreateVolumeRequest{Size: 1})
		if err != nil {
			return err
		}
		parent := "raw-parent-" + uuid.NewString()
		if err := r.create(parent); err != nil {
			return err
		}
		for run := range w.runs {
			rate, err := r.cloneMany(parent, run)
			if err != nil {
				return err
			}
			floor = append(floor, rate)
			_, rate, err = s.createMany(ctx, atOnce, rpc.CreateVolumeRequest{SourceVolID: source})
			if err != nil {
				return err
			}
			ours = append(ours, rate)
		}
		w.table.rates(fmt.Sprintf("%d clones of one volume at once%s", atOnce, note), floor, ours, bar)
		return nil
	})
}
