package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/volumed/volumed/rpc"
)

// kills is how often a worker is killed.
const kills = 100

// measureKill: SIGKILL of an idle worker to its successor's process, and, in kills of
// their own since looking for processes takes CPU, to that one's first answer.
func measureKill(ctx context.Context, w *world) error {
	s, err := w.serve(ctx, w.cluster, "")
	if err != nil {
		return err
	}
	defer func() { _ = s.stop() }()
	// What is sent to a dead process's connection, in the moment until the bus has seen
	// that it is gone, is lost: it is sent again soon.
	s.client = rpc.NewClient(s.conn, rpc.Options{Timeout: 50 * time.Millisecond})
	var floor, next, answer []time.Duration
	for range kills {
		begin := time.Now()
		r, err := openRaw(w.cluster, "volumes")
		if err != nil {
			return err
		}
		floor = append(floor, time.Since(begin))
		r.close()

		took, err := s.killed(ctx, func(pid int) error {
			if err := buried(ctx, pid); err != nil {
				return err
			}
			return s.answered(ctx, services[0])
		})
		if err != nil {
			return err
		}
		answer = append(answer, took)
		took, err = s.killed(ctx, func(pid int) error {
			return until(ctx, func() error {
				if now, err := s.worker("rbd0"); err != nil || now == pid {
					return errors.Join(err, errors.New("no other worker yet"))
				}
				return nil
			})
		})
		if err != nil {
			return err
		}
		next = append(next, took)
		if err := s.answered(ctx, services[0]); err != nil {
			return err
		}
	}
	w.table.add("kill -9 of an idle worker to the next process, p50 / p99 of 100", "", round(median(next))+" / "+round(p99(next)), "", "≤ 50 ms")
	w.table.add("kill -9 of an idle worker to the first answer, p50 of 100", round(median(floor))+" connect", round(median(answer)), "", "≤ 80 ms")
	w.table.add("the same, p99", "", round(p99(answer)), "", "≤ 0.3 s")
	return nil
}

// killed kills the worker of the first backend, and returns how long it takes until
// what then has to happen has happened.
func (s *service) killed(ctx context.Context, then func(pid int) error) (time.Duration, error) {
	pid, err := s.worker("rbd0")
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return 0, err
	}
	err = then(pid)
	return time.Since(begin), errors.Join(err, ctx.Err())
}

const (
	reloads    = 20
	mixedRate  = 50 // requests a second
	mixedWhile = 500 * time.Millisecond
)

// measureReload: one section changes under fifty mixed requests a second, again and
// again.
func measureReload(ctx context.Context, w *world) error {
	s, err := w.serve(ctx, w.cluster, "")
	if err != nil {
		return err
	}
	defer func() { _ = s.stop() }()
	other, err := s.worker("rbd1")
	if err != nil {
		return err
	}
	load := s.mixed(ctx, mixedRate, once)
	var took []time.Duration
	for n := range reloads {
		time.Sleep(mixedWhile)
		if err := s.setChunkSize(n); err != nil {
			return err
		}
		begin := time.Now()
		if out, err := exec.CommandContext(ctx, w.bin, "reload", "--config-file", s.file).CombinedOutput(); err != nil {
			return fmt.Errorf("reload: %w: %s", err, out)
		}
		took = append(took, time.Since(begin))
	}
	sum := load.end()
	if now, err := s.worker("rbd1"); err != nil || now != other {
		return errors.Join(err, errors.New("the other backend was replaced, too"))
	}
	w.table.add(fmt.Sprintf("reload that replaces one backend under %d requests/s, p50 of %d", mixedRate, reloads), "", round(median(took)), "", "")
	w.table.add(fmt.Sprintf("requests failed in that, of %d", sum.sent), "", fmt.Sprint(sum.failed), "", "0")
	w.table.add("the longest request in that", "", round(sum.longest), "", "")
	return nil
}

// setChunkSize changes an option of rbd0 alone.
func (s *service) setChunkSize(n int) error {
	text, err := os.ReadFile(s.file)
	if err != nil {
		return err
	}
	head, section, _ := strings.Cut(string(text), "[rbd0]\n")
	if first, rest, _ := strings.Cut(section, "\n"); strings.HasPrefix(first, "rbd_store_chunk_size") {
		section = rest
	}
	option := fmt.Sprintf("rbd_store_chunk_size = %d\n", []int{8, 4}[n%2])
	return os.WriteFile(s.file, []byte(head+"[rbd0]\n"+option+section), 0o600)
}

// betweenRestarts is longer than a client waits before it connects again, so that none
// meets two restarts.
const betweenRestarts = 4 * time.Second

// measureRestart: the service is restarted under load, as an upgrade does.
func measureRestart(ctx context.Context, w *world) error {
	file, state, err := w.config(w.cluster, "")
	if err != nil {
		return err
	}
	s, _, err := w.start(ctx, file, state)
	if err != nil {
		return err
	}
	load := s.mixed(ctx, mixedRate, repeated)
	var drains, pauses []time.Duration
	for range w.runs {
		time.Sleep(betweenRestarts)
		begin := time.Now()
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		if err := s.cmd.Wait(); err != nil {
			return fmt.Errorf("the end of the service: %w", err)
		}
		drains = append(drains, time.Since(begin))
		next, _, err := w.start(ctx, file, state)
		if err != nil {
			return err
		}
		pauses = append(pauses, time.Since(begin)-drains[len(drains)-1])
		next.conn.Close()
		s.cmd = next.cmd
	}
	sum := load.end()
	w.table.add(fmt.Sprintf("restart under %d requests/s: the drain, slowest of %d", mixedRate, w.runs), "", round(slices.Max(drains)), "", "")
	w.table.add("then to both backends answering, slowest", "", round(slices.Max(pauses)), "", "≤ 2 s")
	w.table.add(fmt.Sprintf("requests failed in that, of %d", sum.sent), "", fmt.Sprint(sum.failed), "", "0")
	w.table.add("the longest request in that, with its repeats", "", round(sum.longest), "", "≤ 2 s")
	return s.stop()
}

// crowd is how many backends one host has at most here.
const crowd = 64

// crowdIdle is how long they are left alone.
const crowdIdle = 20 * time.Second

// measureCrowd: many backends on one host.
func measureCrowd(ctx context.Context, w *world) error {
	dir, err := os.MkdirTemp(w.dir, "crowd-")
	if err != nil {
		return err
	}
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := listen.Addr().String()
	_ = listen.Close()
	var names []string
	sections := ""
	for i := range crowd {
		names = append(names, fmt.Sprint("rbd", i))
		sections += fmt.Sprintf("[rbd%d]\nrbd_pool = volumes\n", i)
	}
	state, file := filepath.Join(dir, "state"), filepath.Join(dir, "volumed.conf")
	text := fmt.Sprintf("[DEFAULT]\nenabled_backends = %s\nhost = %s\nstate_path = %s\nlog_file = %s\n[nats]\nlisten = %s\n"+
		"[backend_defaults]\nvolume_driver = rbd\nrbd_user = volumed\nrbd_ceph_conf = %s\nrbd_exclusive_cinder_pool = false\n%s",
		strings.Join(names, ", "), host, state, filepath.Join(dir, "log"), address, w.cluster.conf, sections)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	begin := time.Now()
	s, _, err := w.start(ctx, file, state) // the first two answer
	if err != nil {
		return err
	}
	defer func() { _ = s.stop() }()
	for _, name := range names {
		if err := s.answered(ctx, host+"@"+name); err != nil {
			return err
		}
	}
	ready := time.Since(begin)
	before, err := cpuOf(s.cmd.Process.Pid)
	if err != nil {
		return err
	}
	time.Sleep(crowdIdle)
	after, err := cpuOf(s.cmd.Process.Pid)
	if err != nil {
		return err
	}
	parent, err := pss(s.cmd.Process.Pid)
	if err != nil {
		return err
	}
	w.table.add("64 backends: start to all answering", "", round(ready), "", "≤ 10 s")
	w.table.add("64 backends: PSS of the parent", "", fmt.Sprintf("%.1f MB", parent), "", "≤ 20 MB")
	w.table.add("64 backends: CPU of the parent in 20 idle seconds", "", round(after-before), "", "")
	return nil
}
