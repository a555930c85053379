package e2e

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/rpc"
)

// newHardArena starts a service with the embedded bus that starts again at once
// whatever is killed, and whose pools and tables the test looks into.
func newHardArena(t *testing.T, format int, o options) *arena {
	t.Helper()
	o.defaults += "report_interval = 1\nservice_down_time = 10\n"
	o.sections = "[launcher]\nrestart_burst = 100000\nrestart_max = 1\n"
	s := newService(t, o)
	s.configure("rbd_user = ", fmt.Sprintf("rbd_clone_format = %d\nrbd_user = ", format))
	a := &arena{service: s, group: t, format: format, checked: map[string]int64{}}
	for _, name := range s.pools {
		a.pools = append(a.pools, openPool(t, s.ceph, name))
	}
	a.pool = a.pools[0]
	s.start()
	s.conn = a.dial("")
	s.client = rpc.NewClient(s.conn, rpc.Options{Timeout: 500 * time.Millisecond})
	s.ready()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.state, "volumed.sqlite")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	a.tables = db
	return a
}

// dial connects to the bus, or to the address that stands in for it, and finds it
// again soon when it was away.
func (a *arena) dial(address string) (conn *rpc.Conn) {
	a.t.Helper()
	url := a.url()
	if address != "" {
		url = busURL(a.t, url, address)
	}
	a.eventually("the bus is up", func() (err error) {
		conn, err = rpc.Connect(a.group.Context(), rpc.ConnConfig{
			URL: url, FailFast: true, ReconnectWait: 20 * time.Millisecond, ReconnectJitter: 10 * time.Millisecond,
		}, hclog.NewNullLogger())
		return err
	})
	return conn
}

// seed returns what a test draws from: a new number, or that of VOLUMED_TEST_SEED, to
// have a run again.
func seed(t *testing.T) uint64 {
	t.Helper()
	n := rand.Uint64()
	if text := os.Getenv("VOLUMED_TEST_SEED"); text != "" {
		var err error
		if n, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("VOLUMED_TEST_SEED: %v", err)
		}
	}
	t.Logf("this run again: VOLUMED_TEST_SEED=%d", n)
	return n
}

// extent returns how much of something a test does: n, or what the variable says.
func extent(t *testing.T, variable string, n int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return n
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s = %q: give a number of at least 1", variable, text)
	}
	return n
}
