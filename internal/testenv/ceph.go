package testenv

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/uuid"
)

// CephEnv is a running one-node Ceph cluster, version 16 or newer, with snapshots that commit within 20 ms.
type CephEnv struct {
	Conf    string // path of ceph.conf
	Keyring string // path of the keyring of all users
	User    string // a user without "client." that may use RBD in every pool
}

// Ceph returns the cluster that all tests of this process share.
func Ceph(t testing.TB) *CephEnv {
	t.Helper()
	env, err := sharedCeph()
	if err != nil {
		t.Fatalf("no Ceph to test on: %v", err)
	}
	return env
}

var sharedCeph = sync.OnceValues(func() (*CephEnv, error) {
	if conf := os.Getenv("VOLUMED_TEST_CEPH_CONF"); conf != "" {
		return newCephEnv(conf), nil
	}
	return startCeph()
})

// OwnCeph returns a cluster that no other test uses, for those that stop its daemons. It runs until the process ends.
func OwnCeph(t testing.TB) *CephEnv {
	t.Helper()
	env, err := startCeph()
	if err != nil {
		t.Fatalf("no Ceph to test on: %v", err)
	}
	return env
}

func startCeph() (*CephEnv, error) {
	conf, err := startService("devcluster", "--ports", "auto")
	if err != nil {
		return nil, err
	}
	return newCephEnv(conf), nil
}

func newCephEnv(conf string) *CephEnv {
	return &CephEnv{Conf: conf, Keyring: filepath.Join(filepath.Dir(conf), "keyring"), User: "volumed"}
}

// Signal sends a signal to the daemons of a kind: mon, mgr or osd. It is for clusters of OwnCeph. SIGSTOP makes a daemon
// hang; the test that sends it continues the daemon before it ends.
func (e *CephEnv) Signal(t testing.TB, kind string, sig syscall.Signal) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(filepath.Dir(e.Conf), "run", kind+"*.pid"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no pid file of %s beside %s: %v", kind, e.Conf, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, sig); err != nil {
			t.Fatal(err)
		}
	}
}

// NewPool creates an empty pool for RBD that takes data at once, and removes it with all it holds when the test ends.
func (e *CephEnv) NewPool(t testing.TB) string {
	t.Helper()
	pool := "test-" + uuid.NewString()
	e.Ceph(t, "osd", "pool", "create", pool, "8", "8")
	t.Cleanup(func() {
		e.Ceph(t, "osd", "pool", "rm", pool, pool, "--yes-i-really-really-mean-it")
	})
	e.RBD(t, "pool", "init", pool)
	return pool
}

// RBD runs the rbd command as administrator and returns what it printed on stdout; its failure ends the test.
func (e *CephEnv) RBD(t testing.TB, args ...string) string {
	t.Helper()
	return e.run(t, "rbd", args)
}

// Ceph runs the ceph command as administrator and returns what it printed on stdout; its failure ends the test.
func (e *CephEnv) Ceph(t testing.TB, args ...string) string {
	t.Helper()
	return e.run(t, "ceph", args)
}

func (e *CephEnv) run(t testing.TB, tool string, args []string) string {
	t.Helper()
	cmd := exec.Command(tool, append([]string{"--conf", e.Conf}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s", tool, strings.Join(args, " "), err, stderr.Bytes())
	}
	return stdout.String()
}
