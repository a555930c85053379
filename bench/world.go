package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/rpc"
)

// world is what is measured: a cluster, and the service on it.
type world struct {
	dir     string
	bin     string
	runs    int
	cluster *cluster
	table   table
	closers []func()
}

// host is the node of both backends: bench@rbd0 on pool volumes, bench@rbd1 on volumes2.
const host = "bench"

var services = []string{host + "@rbd0", host + "@rbd1"}

func newWorld(ctx context.Context, bin string, runs int) (*world, error) {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(bin); err != nil {
		return nil, fmt.Errorf("%w; run make build", err)
	}
	dir, err := os.MkdirTemp("", "volumed-bench-")
	if err != nil {
		return nil, err
	}
	w := &world{dir: dir, bin: bin, runs: runs}
	w.closers = append(w.closers, func() { _ = os.RemoveAll(dir) })
	if w.cluster, err = w.startCluster(ctx); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *world) close() {
	for i := len(w.closers) - 1; i >= 0; i-- {
		w.closers[i]()
	}
}

// cluster is a one-node Ceph that lives as long as its holder's standard input. One
// that a single measurement needs ends with it: what is stored there is in memory.
type cluster struct {
	conf string
	stop func() // may be repeated
}

func (w *world) startCluster(ctx context.Context, args ...string) (*cluster, error) {
	dir, err := os.MkdirTemp(w.dir, "ceph-")
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "scripts/devcluster", append([]string{"hold", dir, "--ports", "auto"}, args...)...)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	hold, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &cluster{stop: sync.OnceFunc(func() { _ = hold.Close(); _ = cmd.Wait() })}
	w.closers = append(w.closers, c.stop)
	conf, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("scripts/devcluster did not come up: %w", err)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	c.conf = strings.TrimSpace(conf)
	return c, nil
}

// service is a running volumed with two backends.
type service struct {
	cmd    *exec.Cmd
	file   string // its configuration
	state  string
	conn   *rpc.Conn
	client *rpc.Client
}

// database is the path of the service's SQLite database.
func (s *service) database() string { return filepath.Join(s.state, "volumed.sqlite") }

// config writes a configuration on a state of its own, and returns its file.
func (w *world) config(c *cluster, extra string) (file, state string, err error) {
	dir, err := os.MkdirTemp(w.dir, "service-")
	if err != nil {
		return "", "", err
	}
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	address := listen.Addr().String()
	_ = listen.Close()
	state, file = filepath.Join(dir, "state"), filepath.Join(dir, "volumed.conf")
	backend := func(name, pool string) string {
		return fmt.Sprintf("[%s]\nvolume_driver = cinder.volume.drivers.rbd.RBDDriver\nrbd_pool = %s\nrbd_user = volumed\nrbd_ceph_conf = %s\n", name, pool, c.conf)
	}
	text := fmt.Sprintf("[DEFAULT]\nenabled_backends = rbd0, rbd1\nhost = %s\nstate_path = %s\nlog_file = %s\n%s[nats]\nlisten = %s\n[launcher]\nrestart_burst = 1000\n%s%s",
		host, state, filepath.Join(dir, "log"), extra, address, backend("rbd0", "volumes"), backend("rbd1", "volumes2"))
	return file, state, os.WriteFile(file, []byte(text), 0o600)
}

// start starts volumed on the configuration and returns it once both backends
// answer, with the time that took.
func (w *world) start(ctx context.Context, file, state string) (*service, time.Duration, error) {
	begin := time.Now()
	cmd := exec.Command(w.bin, "--config-file", file)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} // however this process ends
	if err := cmd.Start(); err != nil {
		return nil, 0, err
	}
	s := &service{cmd: cmd, file: file, state: state}
	err := s.connect(ctx)
	for i := 0; err == nil && i < len(services); i++ {
		err = s.answered(ctx, services[i])
	}
	took := time.Since(begin)
	if err != nil {
		_ = s.stop()
		return nil, 0, err
	}
	return s, took, nil
}

// poll is how often something is tried that is about to be there.
const poll = time.Millisecond

// until repeats f until it succeeds.
func until(ctx context.Context, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(poll):
		}
	}
}

func (s *service) connect(ctx context.Context) error {
	return until(ctx, func() error {
		url, err := os.ReadFile(filepath.Join(s.state, "bus.url"))
		if err != nil {
			return err
		}
		s.conn, err = rpc.Connect(ctx, rpc.ConnConfig{URL: string(url), Name: "bench", FailFast: true}, hclog.NewNullLogger())
		if err == nil {
			s.client = rpc.NewClient(s.conn, rpc.Options{})
		}
		return err
	})
}

// answered waits for the first answer of a backend.
func (s *service) answered(ctx context.Context, service string) error {
	return until(ctx, func() error {
		_, err := s.client.GetCapabilities(ctx, service, rpc.CapabilitiesRequest{})
		return err
	})
}

func (s *service) stop() error {
	if s.conn != nil {
		s.conn.Close()
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	return s.cmd.Wait()
}

// serve starts a service for one measurement.
func (w *world) serve(ctx context.Context, c *cluster, extra string) (*service, error) {
	file, state, err := w.config(c, extra)
	if err != nil {
		return nil, err
	}
	s, _, err := w.start(ctx, file, state)
	return s, err
}
