package e2e

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	_ "modernc.org/sqlite" // tests look into the tables

	"github.com/volumed/volumed/internal/logs/logtest"
	"github.com/volumed/volumed/internal/testenv"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

func TestMain(m *testing.M) {
	// Most tests wait most of the time: for processes, for commits, for outages to pass.
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	testenv.Main(m)
}

// patience bounds every wait for something that is about to happen.
const patience = time.Minute

// service is a volumed of the test's own, with its backends on pools of its own.
type service struct {
	t      *testing.T
	ceph   *testenv.CephEnv
	pools  []string // of rbd0, rbd1, …
	broker string   // URL of an external one; empty for the embedded bus
	conf   string
	state  string
	log    *logtest.Buffer

	binary string   // testenv.Binary unless given
	args   []string // a role; the supervisor unless given
	env    []string // more than this process has

	cmd    *exec.Cmd
	ended  chan struct{} // closed when cmd has ended
	conn   *rpc.Conn
	client *rpc.Client
}

// host is the node name in every test.
const host = "node1"

// options change the configuration of a service.
type options struct {
	defaults string // lines of [DEFAULT]
	sections string // whole sections
	backends int    // 1 unless given
	nats     string // URL of an external server; the embedded bus if empty
	database string // URL; SQLite in the state path if empty
	metrics  string // address of the page; none if empty
	pools    []string
}

// newService writes a configuration; start begins.
func newService(t *testing.T, o options) *service {
	t.Helper()
	s := &service{t: t, ceph: testenv.Ceph(t), log: &logtest.Buffer{}, pools: o.pools, broker: o.nats}
	for len(s.pools) < max(o.backends, 1) {
		s.pools = append(s.pools, s.ceph.NewPool(t))
	}
	// Unix sockets below the state path need it to be short.
	dir, err := os.MkdirTemp("", "e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s.state, s.conf = filepath.Join(dir, "state"), filepath.Join(dir, "volumed.conf")
	var text strings.Builder
	var names []string
	for i := range s.pools {
		names = append(names, "rbd"+strconv.Itoa(i))
	}
	fmt.Fprintf(&text, "[DEFAULT]\nenabled_backends = %s\nhost = %s\nstate_path = %s\nmetrics_listen = %s\n%s\n",
		strings.Join(names, ", "), host, s.state, o.metrics, o.defaults)
	if o.nats != "" {
		fmt.Fprintf(&text, "[nats]\nurl = %s\n", o.nats)
	} else {
		fmt.Fprintf(&text, "[nats]\nlisten = 127.0.0.1:%d\n", testenv.FreePort(t))
	}
	if o.database != "" {
		fmt.Fprintf(&text, "[database]\nconnection = %s\n", o.database)
	}
	for i, pool := range s.pools {
		// All tests share one OSD: they would be the clients that flattens wait for.
		fmt.Fprintf(&text, "[%s]\nvolume_driver = cinder.volume.drivers.rbd.RBDDriver\nrbd_pool = %s\nrbd_user = %s\nrbd_ceph_conf = %s\nrbd_flatten_min_rate = 40\n",
			names[i], pool, s.ceph.User, s.ceph.Conf)
	}
	text.WriteString(o.sections)
	if err := os.WriteFile(s.conf, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of the service:\n%s", s.log)
		}
	})
	return s
}

// started returns a service whose backends are all ready.
func started(t *testing.T, o options) *service {
	t.Helper()
	s := newService(t, o)
	s.start()
	s.ready()
	return s
}

// start starts the supervisor. It is stopped at the end of the test, if it
// still runs then.
func (s *service) start() {
	s.t.Helper()
	if s.binary == "" {
		s.binary = testenv.Binary(s.t)
	}
	s.cmd = exec.Command(s.binary, append(s.args, "--config-file", s.conf)...)
	s.cmd.Env = append(os.Environ(), s.env...)
	s.cmd.Stderr = s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) {
		_ = cmd.Wait()
		close(ended)
	}(s.cmd, s.ended)
	s.t.Cleanup(func() { s.stop() })
}

// stop ends the service as an operator does, and returns its exit code.
func (s *service) stop() int {
	s.t.Helper()
	if s.conn != nil {
		s.conn.Close()
		s.conn, s.client = nil, nil
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	return s.exit()
}

// exit waits for the end of the supervisor and returns its code.
func (s *service) exit() int {
	s.t.Helper()
	select {
	case <-s.ended:
	case <-time.After(patience):
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
		s.t.Fatal("the service did not end")
	}
	return s.cmd.ProcessState.ExitCode()
}

// ready waits until every backend answers, and connects the client.
func (s *service) ready() {
	s.t.Helper()
	s.connect()
	for i := range s.pools {
		s.answers(s.backend(i))
	}
}

// backend is the service host of the i-th backend.
func (s *service) backend(i int) string { return fmt.Sprintf("%s@rbd%d", host, i) }

func (s *service) url() string {
	s.t.Helper()
	if s.broker != "" {
		return s.broker
	}
	var url []byte
	s.eventually("the bus tells its address", func() (err error) {
		url, err = os.ReadFile(filepath.Join(s.state, "bus.url"))
		return err
	})
	return strings.TrimSpace(string(url))
}

func (s *service) connect() {
	s.t.Helper()
	if s.conn != nil {
		return
	}
	url := s.url()
	s.eventually("the bus is up", func() (err error) {
		s.conn, err = rpc.Connect(s.t.Context(), rpc.ConnConfig{URL: url, FailFast: true}, hclog.NewNullLogger())
		return err
	})
	s.client = rpc.NewClient(s.conn, rpc.Options{Timeout: time.Second})
}

func (s *service) answers(backend string) {
	s.t.Helper()
	s.eventually(backend+" answers", func() error {
		ctx, cancel := context.WithTimeout(s.t.Context(), time.Second)
		defer cancel()
		_, err := s.client.GetCapabilities(ctx, backend, rpc.CapabilitiesRequest{})
		return err
	})
}

// eventually polls until f succeeds, for facts that nobody announces.
func (s *service) eventually(what string, f func() error) {
	s.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("%s: still not after %s: %v", what, patience, err)
		}
	}
}

// wait is what a call waits for the end of its operation.
var wait = rpc.CallOptions{Wait: patience}

func (s *service) createVolume(req rpc.CreateVolumeRequest) volume.Volume {
	s.t.Helper()
	reply, err := s.client.CreateVolume(s.t.Context(), s.backend(0), req, wait)
	s.succeeded("create_volume", reply.Operation, err)
	return reply.Volume
}

func (s *service) deleteVolume(id string) {
	s.t.Helper()
	reply, err := s.client.DeleteVolume(s.t.Context(), s.backend(0), rpc.DeleteVolumeRequest{VolumeID: id}, wait)
	s.succeeded("delete_volume", reply.Operation, err)
}

func (s *service) createSnapshot(volumeID string) volume.Snapshot {
	s.t.Helper()
	reply, err := s.client.CreateSnapshot(s.t.Context(), s.backend(0), rpc.CreateSnapshotRequest{VolumeID: volumeID}, wait)
	s.succeeded("create_snapshot", reply.Operation, err)
	return reply.Snapshot
}

func (s *service) succeeded(what string, op *volume.Operation, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
	if op == nil || op.Status != volume.Succeeded {
		s.t.Fatalf("%s: operation %+v", what, op)
	}
}

// quiet waits until no operation is unfinished, but for those that keep what was
// deleted.
func (s *service) quiet() {
	s.t.Helper()
	s.eventually("every operation has ended", func() error {
		page, err := s.client.ListOperations(s.t.Context(), rpc.ListOperationsRequest{Unfinished: true})
		if err != nil {
			return err
		}
		left := slices.DeleteFunc(page.Operations, func(op volume.Operation) bool {
			return op.Method == "purge_volume" && op.Step == "keep" && op.Status == volume.Waiting
		})
		if len(left) > 0 {
			op := left[0]
			return fmt.Errorf("%d unfinished, such as %s: %s, %s", len(left), op.Method, op.Status, op.Reason)
		}
		return nil
	})
}

// images returns the names of the images of a backend's pool.
func (s *service) images(i int) []string { return s.rbdList("ls", s.pools[i]) }

// trash returns the ids of the entries in the trash of a backend's pool.
func (s *service) trash(i int) []string {
	s.t.Helper()
	var entries []struct{ ID string }
	s.rbdJSON(&entries, "trash", "ls", "--all", s.pools[i])
	ids := make([]string, len(entries))
	for i, e := range entries {
		ids[i] = e.ID
	}
	return ids
}

func (s *service) rbdList(args ...string) []string {
	s.t.Helper()
	var names []string
	s.rbdJSON(&names, args...)
	return names
}

func (s *service) rbdJSON(into any, args ...string) {
	s.t.Helper()
	out := s.ceph.RBD(s.t, append(args, "--format", "json")...)
	if err := json.Unmarshal([]byte(out), into); err != nil {
		s.t.Fatalf("rbd %v: %v in %q", args, err, out)
	}
}

// audit compares the pool of the first backend with the tables, both ways.
func (s *service) audit() {
	s.t.Helper()
	images := map[string]int64{} // size in bytes by name
	var entries []struct {
		Image, Snapshot string
		Size            int64
	}
	s.rbdJSON(&entries, "ls", "--long", s.pools[0])
	for _, e := range entries {
		if e.Snapshot != "" {
			s.t.Errorf("stray snapshot %s@%s", e.Image, e.Snapshot)
		}
		images[e.Image] = e.Size
	}
	for v, err := range s.client.Volumes(s.t.Context(), rpc.ListVolumesRequest{Host: s.backend(0)}) {
		if err != nil {
			s.t.Fatal(err)
		}
		name := "volume-" + v.ID
		size, there := images[name]
		delete(images, name)
		switch {
		case v.Status == volume.Error && !there: // nothing was made
		case v.Status != volume.Available:
			s.t.Errorf("volume %s rests in status %s", v.ID, v.Status)
		case !there || v.ImageID == "":
			s.t.Errorf("volume %s has no image; its row says image id %q", v.ID, v.ImageID)
		case size != v.Size*volume.GiB:
			s.t.Errorf("volume %s: image has %d bytes, row says %d GiB", v.ID, size, v.Size)
		}
	}
	if len(images) > 0 {
		s.t.Errorf("images without a row: %v", slices.Sorted(maps.Keys(images)))
	}
	if trash := s.trash(0); len(trash) > 0 {
		s.t.Errorf("left in the trash: %v", trash)
	}
}

// snapshots returns the names of an image's snapshots.
func (s *service) snapshots(volumeID string) []string {
	s.t.Helper()
	var entries []struct{ Name string }
	s.rbdJSON(&entries, "snap", "ls", s.pools[0]+"/volume-"+volumeID)
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name
	}
	return names
}

// row returns what the services table says of the i-th backend.
func (s *service) row(i int) rpc.ServiceInfo {
	s.t.Helper()
	page, err := s.client.ListServices(s.t.Context(), rpc.ListServicesRequest{Host: s.backend(i)})
	if err != nil || len(page.Services) != 1 {
		s.t.Fatalf("services: %+v, %v", page.Services, err)
	}
	return page.Services[0]
}

// worker returns the pid of the worker of the i-th backend.
func (s *service) worker(i int) int {
	s.t.Helper()
	var pid int
	s.eventually("a worker of "+s.backend(i)+" runs", func() error {
		for _, p := range s.children() {
			if strings.HasSuffix(p.line, fmt.Sprintf("worker --backend rbd%d", i)) {
				pid = p.pid
				return nil
			}
		}
		return errors.New("none")
	})
	return pid
}

type process struct {
	pid    int
	line   string
	zombie bool // it has ended, and nobody has waited for it
}

// children returns the processes that the supervisor has started.
func (s *service) children() []process {
	s.t.Helper()
	return slices.DeleteFunc(s.processes(), func(p process) bool { return p.zombie })
}

// zombies returns those that it has not waited for.
func (s *service) zombies() []process {
	s.t.Helper()
	return slices.DeleteFunc(s.processes(), func(p process) bool { return !p.zombie })
}

// processes returns what the supervisor has started, zombies included.
func (s *service) processes() (found []process) {
	s.t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, file := range files {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // ended meanwhile
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest)
		if len(fields) < 2 || fields[1] != strconv.Itoa(s.cmd.Process.Pid) {
			continue
		}
		line, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		found = append(found, process{pid, string(bytes.TrimSpace(bytes.ReplaceAll(line, []byte{0}, []byte{' '}))), fields[0] == "Z"})
	}
	return found
}

// heartbeats watches the heartbeat of the first backend in its table until the
// returned function is called, which returns the longest gap.
func (s *service) heartbeats() (longest func() time.Duration) {
	s.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.state, "volumed.sqlite")+"?mode=ro&_pragma=busy_timeout(5000)")
	if err != nil {
		s.t.Fatal(err)
	}
	quit, done := make(chan struct{}), make(chan int64)
	go func() {
		defer db.Close()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		var last, most int64
		for {
			var beat int64
			if err := db.QueryRow("SELECT updated_at FROM services WHERE host = $1", s.backend(0)).Scan(&beat); err == nil {
				if last > 0 {
					most = max(most, beat-last)
				}
				last = beat
			}
			select {
			case <-tick.C:
			case <-quit:
				done <- most
				return
			}
		}
	}()
	return func() time.Duration {
		close(quit)
		return time.Duration(<-done) * time.Microsecond
	}
}
