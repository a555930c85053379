package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/testenv"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// A cluster that hangs when the service starts: the process is up and says why
// it takes no work; when the cluster is back it serves without anybody's doing.
func TestClusterAwayAtStart(t *testing.T) {
	t.Parallel()
	ceph := testenv.OwnCeph(t)
	s := newService(t, options{pools: []string{"volumes"}, defaults: "report_interval = 1\nservice_down_time = 10\n"})
	s.useCluster(ceph)
	ceph.Signal(t, "mon", syscall.SIGSTOP)
	resumed := false
	defer func() {
		if !resumed {
			ceph.Signal(t, "mon", syscall.SIGCONT)
		}
	}()
	s.start()
	s.eventually("the log says what is away", func() error {
		if !strings.Contains(s.log.String(), "state=degraded") {
			return errors.New("no degraded state in the log")
		}
		return nil
	})
	s.connect()
	_, err := s.client.CreateVolume(t.Context(), s.backend(0), rpc.CreateVolumeRequest{Size: 1}, rpc.CallOptions{})
	if !errors.Is(err, fault.Unavailable) {
		t.Errorf("a request to a service that is not ready: %v, want unavailable", err)
	}
	ceph.Signal(t, "mon", syscall.SIGCONT)
	resumed = true
	s.answers(s.backend(0))
	s.createVolume(rpc.CreateVolumeRequest{Size: 1})
	s.eventually("its row says ready", func() error {
		page, err := s.client.ListServices(t.Context(), rpc.ListServicesRequest{})
		if err == nil && (len(page.Services) != 1 || page.Services[0].Phase != volume.Ready || page.Services[0].State != volume.Up) {
			err = fmt.Errorf("services: %+v", page.Services)
		}
		return err
	})
}

// useCluster points the configuration to another cluster.
func (s *service) useCluster(ceph *testenv.CephEnv) {
	s.t.Helper()
	text, err := os.ReadFile(s.conf)
	if err != nil {
		s.t.Fatal(err)
	}
	changed := strings.ReplaceAll(string(text), s.ceph.Conf, ceph.Conf)
	if err := os.WriteFile(s.conf, []byte(changed), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.ceph = ceph
}

// A backend whose section is wrong, and one whose pool is missing, do not keep a
// good one from serving.
func TestOneBadBackend(t *testing.T) {
	s := newService(t, options{})
	text, err := os.ReadFile(s.conf)
	if err != nil {
		t.Fatal(err)
	}
	config := strings.Replace(string(text), "enabled_backends = rbd0", "enabled_backends = rbd0, typo, nopool", 1) +
		"[typo]\nvolume_dirver = cinder.volume.drivers.rbd.RBDDriver\n" +
		fmt.Sprintf("[nopool]\nvolume_driver = rbd\nrbd_pool = absent\nrbd_user = %s\nrbd_ceph_conf = %s\n", s.ceph.User, s.ceph.Conf)
	if err := os.WriteFile(s.conf, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	line := 1 + strings.Count(config[:strings.Index(config, "volume_dirver")], "\n")

	out, err := exec.Command(testenv.Binary(t), "check-config", "--config-file", s.conf).CombinedOutput()
	var failed *exec.ExitError
	if !errors.As(err, &failed) || failed.ExitCode() != 78 {
		t.Errorf("check-config: %v, want exit code 78", err)
	}
	if where := fmt.Sprintf("%s:%d:", s.conf, line); !strings.Contains(string(out), where) || !strings.Contains(string(out), "volume_driver") {
		t.Errorf("check-config says %q, want %s and the nearest name", out, where)
	}

	s.start()
	s.ready()
	s.createVolume(rpc.CreateVolumeRequest{Size: 1})
	s.eventually("the log tells the pool that is missing", func() error {
		if log := s.log.String(); !strings.Contains(log, "absent") {
			return errors.New(log)
		}
		return nil
	})
}

// A second service on the same state path is refused, and names the first.
func TestSecondInstance(t *testing.T) {
	s := started(t, options{})
	out, err := exec.Command(testenv.Binary(t), "--config-file", s.conf).CombinedOutput()
	if err == nil {
		t.Fatal("a second instance ran")
	}
	if want := fmt.Sprint(s.cmd.Process.Pid); !strings.Contains(string(out), want) {
		t.Errorf("the refusal does not name pid %s: %s", want, out)
	}
	s.createVolume(rpc.CreateVolumeRequest{Size: 1})
}

// The death of the supervisor takes everything with it, and a new one carries on.
func TestSupervisorKilled(t *testing.T) {
	s := started(t, options{})
	v := s.createVolume(rpc.CreateVolumeRequest{Size: 1})
	children := s.children()
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.ended
	s.gone(patience, children)
	s.conn.Close()
	s.conn = nil
	s.start()
	s.ready()
	s.deleteVolume(v.ID)
}

// Everybody in the process group gets the signal, as from Ctrl-C: what runs is
// brought to its end all the same, and the bus stays until it is.
func TestInterruptFromTheTerminal(t *testing.T) {
	s := started(t, options{})
	op, err := s.client.CreateVolume(t.Context(), s.backend(0), rpc.CreateVolumeRequest{Size: 1}, rpc.CallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(-s.cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := s.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if log := s.log.String(); strings.Index(log, "bus stops") < strings.LastIndex(log, "state=draining") {
		t.Error("the bus stopped before the worker had drained")
	}
	s.conn.Close()
	s.conn = nil
	s.start()
	s.ready()
	s.quiet()
	reply, err := s.client.GetVolume(t.Context(), rpc.VolumeIDRequest{VolumeID: op.Volume.ID})
	if err != nil || reply.Volume.Status != volume.Available {
		t.Errorf("the accepted volume: %+v, %v", reply.Volume, err)
	}
}

// An external server, the oldest supported one, instead of the embedded bus.
func TestExternalBus(t *testing.T) {
	url := testenv.NATSDebian(t)
	s := newService(t, options{nats: url})
	if err := os.MkdirAll(s.state, 0o750); err != nil {
		t.Fatal(err)
	}
	// The tests look for the address where the embedded bus leaves it.
	if err := os.WriteFile(filepath.Join(s.state, "bus.url"), []byte(url), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.ready()
	v := s.createVolume(rpc.CreateVolumeRequest{Size: 1})
	s.deleteVolume(v.ID)
	s.quiet()
	s.audit()
}
