package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/volumed/volumed/rpc"
)

// hangTime is how long a fault lasts in a run, and how long its absence is
// measured before and after it.
const hangTime = 10 * time.Second

// hangLoad is how many requests the stuck backend has to suffer.
const hangLoad = 100

// measureHang: what a healthy backend feels of another one on the same host whose
// cluster has stopped to answer under a hundred requests. The floor is the same
// backend without that; both alternate, so that the machine is the same for both.
func measureHang(ctx context.Context, w *world) error {
	second, err := w.startCluster(ctx)
	if err != nil {
		return err
	}
	defer second.stop()
	file, state, err := w.twoClusters(second)
	if err != nil {
		return err
	}
	s, _, err := w.start(ctx, file, state)
	if err != nil {
		return err
	}
	defer func() { _ = s.stop() }()
	var calm, beside neighbour
	for range w.runs {
		if err := calm.observe(ctx, s); err != nil {
			return err
		}
		end, err := s.hang(ctx, second)
		if err != nil {
			return err
		}
		err = beside.observe(ctx, s)
		if e := end(); err == nil {
			err = e
		}
		if err != nil {
			return err
		}
	}
	what := "of a backend beside one whose OSD hangs under 100 requests, p99"
	w.table.tail("create "+what, calm.creates, beside.creates, "≤ 1.2 ×")
	w.table.tail("get_capabilities "+what, calm.calls, beside.calls, "≤ 1.2 ×")
	return nil
}

// tail adds a row of the 99th percentiles of two sets of durations.
func (t *table) tail(what string, floor, ours []time.Duration, bar string) {
	f, o := p99(floor), p99(ours)
	t.add(what, round(f), round(o), fmt.Sprintf("%.2f ×", float64(o)/float64(f)), bar)
}

func p99(values []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[(len(sorted)*99+99)/100-1]
}

// twoClusters is a configuration whose second backend is on another cluster.
func (w *world) twoClusters(second *cluster) (file, state string, err error) {
	if file, state, err = w.config(w.cluster, ""); err != nil {
		return "", "", err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", "", err
	}
	before, section, _ := strings.Cut(string(text), "[rbd1]\n")
	section = strings.Replace(section, w.cluster.conf, second.conf, 1)
	return file, state, os.WriteFile(file, []byte(before+"[rbd1]\n"+section), 0o600)
}

// hang stops the OSD of the second backend's cluster under requests. What it
// returns lets all go on, and waits for their end.
func (s *service) hang(ctx context.Context, c *cluster) (end func() error, err error) {
	osd, err := c.osd()
	if err != nil {
		return nil, err
	}
	if err := syscall.Kill(osd, syscall.SIGSTOP); err != nil {
		return nil, err
	}
	done := make(chan error, 1)
	go func() {
		_, err := parallel(hangLoad, hangLoad, func(int) error {
			_, err := s.client.CreateVolume(ctx, services[1], rpc.CreateVolumeRequest{Size: 1}, rpc.CallOptions{Wait: wait})
			return err
		})
		done <- err
	}()
	return func() error {
		if err := syscall.Kill(osd, syscall.SIGCONT); err != nil {
			return err
		}
		return <-done
	}, nil
}

// neighbour is what the healthy backend took for its calls.
type neighbour struct{ creates, calls []time.Duration }

// observe measures both kinds of calls, side by side, for a while.
func (n *neighbour) observe(ctx context.Context, s *service) error {
	end := time.Now().Add(hangTime)
	var creating sync.WaitGroup
	var failed error
	creating.Go(func() {
		n.creates, failed = repeat(n.creates, end, func() error {
			_, err := s.create(ctx, rpc.CreateVolumeRequest{Size: 1})
			return err
		})
	})
	var err error
	n.calls, err = repeat(n.calls, end, func() error {
		_, err := s.client.GetCapabilities(ctx, services[0], rpc.CapabilitiesRequest{})
		return err
	})
	creating.Wait()
	if err == nil {
		err = failed
	}
	return err
}

// repeat calls f until end, with a short pause between calls, and appends what
// each took.
func repeat(took []time.Duration, end time.Time, f func() error) ([]time.Duration, error) {
	for time.Now().Before(end) {
		begin := time.Now()
		if err := f(); err != nil {
			return took, err
		}
		took = append(took, time.Since(begin))
		time.Sleep(poll)
	}
	return took, nil
}
