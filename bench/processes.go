package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/volumed/volumed/rpc"
)

// measureStart: from the start of the process to the first answer of both.
func measureStart(ctx context.Context, w *world) error {
	file, state, err := w.config(w.cluster, "")
	if err != nil {
		return err
	}
	var ours []time.Duration
	for range w.runs + 1 {
		s, took, err := w.start(ctx, file, state)
		if err != nil {
			return err
		}
		ours = append(ours, took)
		if err := s.stop(); err != nil {
			return err
		}
	}
	// The first start makes the database.
	w.table.add("first start to both backends answering", "", round(ours[0]), "", "≤ 0.2 s")
	w.table.add("start to both backends answering", "", round(median(ours[1:])), "", "≤ 0.2 s")
	return nil
}

// children returns the pids of the supervisor's children by their command lines.
func (s *service) children() (map[int]string, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	found := map[int]string{}
	for _, file := range files {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // ended meanwhile
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest)
		if len(fields) < 2 || fields[1] != strconv.Itoa(s.cmd.Process.Pid) || fields[0] == "Z" {
			continue
		}
		dir := filepath.Dir(file)
		line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(dir))
		found[pid] = strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))
	}
	return found, nil
}

func (s *service) worker(backend string) (int, error) {
	children, err := s.children()
	for pid, line := range children {
		if strings.HasSuffix(line, "worker --backend "+backend) {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("no worker of %s among %v: %w", backend, children, err)
}

// buried waits until the pid is gone, so that no answer can be its own.
func buried(ctx context.Context, pid int) error {
	return until(ctx, func() error {
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			return errors.Join(err, fmt.Errorf("pid %d is still there", pid))
		}
		return nil
	})
}

// pss returns the proportional size of a process in MB (10^6 bytes).
func pss(pid int) (float64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "Pss:"); ok {
			kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kib * 1024 / 1e6, err
		}
	}
	return 0, fmt.Errorf("no Pss of pid %d", pid)
}

// measureMemory: the sizes of an idle service, and of a worker after 1,000
// creates and deletes, 20 at a time.
func measureMemory(ctx context.Context, w *world) error {
	s, err := w.serve(ctx, w.cluster, "")
	if err != nil {
		return err
	}
	defer func() { _ = s.stop() }()
	pid, err := s.worker("rbd0")
	if err != nil {
		return err
	}
	parent, err := pss(s.cmd.Process.Pid)
	if err != nil {
		return err
	}
	idle, err := pss(pid)
	if err != nil {
		return err
	}
	if _, err := parallel(1000, rawJobs, func(int) error {
		id, err := s.create(ctx, rpc.CreateVolumeRequest{Size: 1})
		if err != nil {
			return err
		}
		_, err = s.deleteMany(ctx, []string{id})
		return err
	}); err != nil {
		return err
	}
	if err := s.purged(ctx); err != nil {
		return err
	}
	loaded, err := pss(pid)
	if err != nil {
		return err
	}
	mb := func(v float64) string { return fmt.Sprintf("%.1f MB", v) }
	w.table.add("PSS of the parent, two workers running", "", mb(parent), "", "≤ 20 MB")
	w.table.add("PSS of an idle worker", "", mb(idle), "", "≤ 40 MB")
	w.table.add("PSS of a worker after 1,000 creates and deletes", "", mb(loaded), "", "≤ 70 MB")
	return nil
}

const idleTime = time.Minute

// measureIdle: the CPU that all processes use in an idle minute.
func measureIdle(ctx context.Context, w *world) error {
	s, err := w.serve(ctx, w.cluster, "report_interval = 10\n")
	if err != nil {
		return err
	}
	defer func() { _ = s.stop() }()
	before, err := s.cpu()
	if err != nil {
		return err
	}
	select {
	case <-time.After(idleTime):
	case <-ctx.Done():
		return ctx.Err()
	}
	after, err := s.cpu()
	if err != nil {
		return err
	}
	w.table.add("CPU of all processes in 60 idle seconds, two backends", "", fmt.Sprintf("%.2f s", (after-before).Seconds()), "", "≤ 0.15 s")
	return nil
}

// cpu returns the CPU time of all processes of the service, by the scheduler's
// account in nanoseconds, which misses nothing between two clock ticks.
func (s *service) cpu() (total time.Duration, err error) {
	children, err := s.children()
	if err != nil {
		return 0, err
	}
	children[s.cmd.Process.Pid] = "supervisor"
	for pid := range children {
		used, err := cpuOf(pid)
		if err != nil {
			return 0, err
		}
		total += used
	}
	return total, nil
}

// cpuOf returns the CPU time of one process.
func cpuOf(pid int) (total time.Duration, err error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0, err
	}
	for _, thread := range threads {
		stat, err := os.ReadFile(thread)
		if err != nil {
			continue // the thread ended
		}
		var ns int64
		if _, err := fmt.Sscan(string(stat), &ns); err != nil {
			return 0, err
		}
		total += time.Duration(ns)
	}
	return total, nil
}
