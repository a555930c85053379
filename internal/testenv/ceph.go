package testenv

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
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
	conf := os.Getenv("VOLUMED_TEST_CEPH_CONF")
	if conf == "" {
		var err error
		if conf, err = startService("devcluster", "--ports", "auto"); err != nil {
			return nil, err
		}
	}
	return &CephEnv{Conf: conf, Keyring: filepath.Join(filepath.Dir(conf), "keyring"), User: "volumed"}, nil
})

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
