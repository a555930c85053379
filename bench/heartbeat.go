package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	_ "modernc.org/sqlite" // the heartbeat is read where others read it: in the table

	"github.com/volumed/volumed/rpc"
)

// measureHeartbeat: the longest gap between two heartbeats of a service that
// reports every second, while it does what stalls others.
func measureHeartbeat(ctx context.Context, w *world) error {
	// The data of a volume and its copy have to fit.
	if err := os.Setenv("MEMSTORE_BYTES", strconv.Itoa(14*gib)); err != nil {
		return err
	}
	defer os.Unsetenv("MEMSTORE_BYTES")
	c, err := w.startCluster(ctx)
	if err != nil {
		return err
	}
	defer c.stop()
	s, err := w.serve(ctx, c, "report_interval = 1\nservice_down_time = 10\n")
	if err != nil {
		return err
	}
	defer func() { _ = s.stop() }()
	clone, err := s.writtenClone(ctx, c)
	if err != nil {
		return err
	}
	for _, load := range []struct {
		name string
		run  func() error
	}{
		{"nothing to do, 10 s", func() error { return sleep(ctx, 10*time.Second) }},
		{"flatten of 4 GiB", func() error {
			_, err := s.client.FlattenVolume(ctx, services[0], rpc.FlattenVolumeRequest{VolumeID: clone}, rpc.CallOptions{Wait: 10 * time.Minute})
			return err
		}},
		{"200 creates at once", func() error {
			_, _, err := s.createMany(ctx, atOnce, rpc.CreateVolumeRequest{Size: 1})
			return err
		}},
		{"20 blocked calls, 10 s", func() error { return s.blocked(ctx, c) }},
	} {
		gap, err := s.longestGap(ctx, load.run)
		if err != nil {
			return fmt.Errorf("%s: %w", load.name, err)
		}
		w.table.add("longest heartbeat gap, interval 1 s: "+load.name, "", gap.Round(time.Millisecond).String(), "", "≤ 1.1 s")
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// writtenClone returns a clone of a volume with 4 GiB of data.
func (s *service) writtenClone(ctx context.Context, c *cluster) (string, error) {
	parent, err := s.create(ctx, rpc.CreateVolumeRequest{Size: 4})
	if err != nil {
		return "", err
	}
	bench := exec.CommandContext(ctx, "rbd", "-c", c.conf, "bench", "--io-type", "write", "--io-pattern", "seq",
		"--io-size", "4M", "--io-threads", "4", "--io-total", "4G", "volumes/volume-"+parent)
	if out, err := bench.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return s.create(ctx, rpc.CreateVolumeRequest{SourceVolID: parent})
}

// blocked stops the OSD for ten seconds under 20 requests.
func (s *service) blocked(ctx context.Context, c *cluster) error {
	osd, err := c.osd()
	if err != nil {
		return err
	}
	if err := syscall.Kill(osd, syscall.SIGSTOP); err != nil {
		return err
	}
	created := make(chan error, 1)
	go func() {
		_, _, err := s.createMany(ctx, 20, rpc.CreateVolumeRequest{Size: 1})
		created <- err
	}()
	err = sleep(ctx, 10*time.Second)
	if e := syscall.Kill(osd, syscall.SIGCONT); err == nil {
		err = e
	}
	if e := <-created; err == nil {
		err = e
	}
	return err
}

// osd returns the pid of the cluster's OSD.
func (c *cluster) osd() (int, error) {
	files, err := filepath.Glob(filepath.Join(filepath.Dir(c.conf), "run", "osd*.pid"))
	if err != nil || len(files) != 1 {
		return 0, fmt.Errorf("pid files of the OSD: %v, %w", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// longestGap returns the longest time between two heartbeats while load runs.
func (s *service) longestGap(ctx context.Context, load func() error) (time.Duration, error) {
	db, err := sql.Open("sqlite", "file:"+s.database()+"?mode=ro&_pragma=busy_timeout(5000)")
	if err != nil {
		return 0, err
	}
	defer db.Close()
	done := make(chan error, 1)
	go func() { done <- load() }()
	var last, longest int64
	for {
		var beat int64
		if err := db.QueryRowContext(ctx, "SELECT updated_at FROM services WHERE host = $1", services[0]).Scan(&beat); err != nil {
			return 0, err
		}
		if last > 0 {
			// A beat that is overdue at the end counts as well.
			longest = max(longest, beat-last, time.Now().UnixMicro()-beat)
		}
		last = beat
		select {
		case err := <-done:
			return time.Duration(longest) * time.Microsecond, err
		case <-time.After(5 * time.Millisecond):
		}
	}
}
