package testenv_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"golang.org/x/sys/unix"

	"github.com/volumed/volumed/internal/testenv"
)

// playVictim makes the test binary play a process that takes a cluster and is then killed.
const playVictim = "TESTENV_PLAY_VICTIM"

func TestMain(m *testing.M) { testenv.Main(m) }

func TestNewPool(t *testing.T) {
	ceph := testenv.Ceph(t)
	var pool string
	t.Run("user_works_in_it", func(t *testing.T) {
		pool = ceph.NewPool(t)
		ceph.RBD(t, "--name", "client."+ceph.User, "--keyring", ceph.Keyring, "create", "--size", "1G", pool+"/image")
		if got := strings.TrimSpace(ceph.RBD(t, "ls", pool)); got != "image" {
			t.Errorf("rbd ls = %q, want image", got)
		}
	})
	if pools := ceph.Ceph(t, "osd", "pool", "ls"); strings.Contains(pools, pool) {
		t.Errorf("pool %s is still there after its test", pool)
	}
}

func TestPostgres(t *testing.T) {
	ctx := context.Background()
	var url string
	t.Run("user_works_in_it", func(t *testing.T) {
		url = testenv.Postgres(t)
		if other := testenv.Postgres(t); other == url {
			t.Errorf("two calls returned the same database %s", url)
		}
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(ctx, "CREATE TABLE t (id BIGINT)"); err != nil {
			t.Error(err)
		}
		// left open: the database must go nevertheless
	})
	if conn, err := pgx.Connect(ctx, url); err == nil {
		conn.Close(ctx)
		t.Errorf("database %s is still there after its test", url)
	}
}

func TestNATS(t *testing.T) {
	for name, start := range map[string]func(testing.TB) string{"newest": testenv.NATS, "debian": testenv.NATSDebian} {
		t.Run(name, func(t *testing.T) {
			var url string
			t.Run("answers", func(t *testing.T) {
				url = start(t)
				conn, err := nats.Connect(url)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if err := conn.Flush(); err != nil {
					t.Error(err)
				}
				if debian := strings.HasPrefix(conn.ConnectedServerVersion(), "2.9."); debian != (name == "debian") {
					t.Errorf("version of the server: %s", conn.ConnectedServerVersion())
				}
			})
			if conn, err := nats.Connect(url); err == nil {
				conn.Close()
				t.Error("the server still answers after its test")
			}
		})
	}
}

// TestVictim is no test by itself: it is the process that TestKilledProcessLeavesNothing kills.
func TestVictim(t *testing.T) {
	if os.Getenv(playVictim) == "" {
		return
	}
	os.Stdout.WriteString(testenv.Ceph(t).Conf + "\n")
	<-t.Context().Done()
}

func TestKilledProcessLeavesNothing(t *testing.T) {
	victim := exec.Command(os.Args[0], "-test.run", "^TestVictim$")
	victim.Env = append(os.Environ(), playVictim+"=1", "VOLUMED_TEST_CEPH_CONF=")
	stdout, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	conf, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("the victim got no cluster: %v", err)
	}
	daemons := watchDaemons(t, filepath.Dir(conf))
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = victim.Wait() // killed
	for _, d := range daemons {
		// readable once the process has ended
		if n, err := unix.Poll([]unix.PollFd{{Fd: int32(d), Events: unix.POLLIN}}, 30_000); n != 1 {
			t.Errorf("a daemon still runs 30 s after its owner was killed (%v)", err)
		}
	}
}

// watchDaemons returns a pidfd for each daemon of the cluster in dir.
func watchDaemons(t *testing.T, dir string) (pidfds []int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "run", "*.pid"))
	if err != nil || len(files) != 3 {
		t.Fatalf("pid files in %s: %v, %v; want those of mon, mgr and osd", dir, files, err)
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
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			t.Fatalf("watch daemon %d: %v", pid, err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		pidfds = append(pidfds, fd)
	}
	return pidfds
}

func TestBinary(t *testing.T) {
	out, err := exec.Command(testenv.Binary(t), "--version").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "volumed") {
		t.Errorf("volumed --version: %v\n%s", err, out)
	}
}
