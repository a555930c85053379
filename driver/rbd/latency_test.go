package rbd

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/volumed/volumed/internal/testenv"
	"github.com/volumed/volumed/internal/virtual"
)

// A touch is written to the log of a placement group, which a read is not, and leaves no
// object.
func TestTouchIsAWrite(t *testing.T) {
	env, d := fresh(t)
	const touches = 20
	before := logged(t, env, d.cfg.Pool)
	for range touches {
		if _, err := d.control.io.Stat(nobody); err == nil {
			t.Error("nobody is there")
		}
	}
	if n := logged(t, env, d.cfg.Pool) - before; n != 0 {
		t.Errorf("%d reads are in the log", n)
	}
	for range touches {
		wantKind(t, "", d.control.touch())
	}
	if n := logged(t, env, d.cfg.Pool) - before; n != touches {
		t.Errorf("%d of %d touches are in the log", n, touches)
	}
	wantKind(t, "", d.control.io.ListObjects(func(object string) {
		if strings.HasPrefix(object, nobody) {
			t.Errorf("there is an object %s", object)
		}
	}))
}

// logged returns how many entries the logs of the pool's placement groups ever had.
func logged(t testing.TB, env *testenv.CephEnv, pool string) (n int) {
	t.Helper()
	var groups struct {
		Stats []struct{ PGID string } `json:"pg_stats"`
	}
	if err := json.Unmarshal([]byte(env.Ceph(t, "pg", "ls-by-pool", pool, "-f", "json")), &groups); err != nil {
		t.Fatal(err)
	}
	for _, group := range groups.Stats {
		var pg struct {
			Info struct {
				LastUpdate string `json:"last_update"` // epoch'version
			}
		}
		if err := json.Unmarshal([]byte(env.Ceph(t, "pg", group.PGID, "query", "-f", "json")), &pg); err != nil {
			t.Fatal(err)
		}
		_, version, _ := strings.Cut(pg.Info.LastUpdate, "'")
		entries, err := strconv.Atoi(version)
		if err != nil {
			t.Fatal(err)
		}
		n += entries
	}
	return n
}

// Measuring is no load of its own where each write takes long, and ends in any case.
func TestMeasureTakesNoLonger(t *testing.T) {
	for name, c := range map[string]struct {
		took       time.Duration
		want, most int
	}{
		"fast": {time.Millisecond, window, window},
		"slow": {20 * time.Millisecond, 5, 11},
		"hung": {10 * time.Second, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				latencies := measure(t.Context(), func() error { virtual.Pass(c.took); return nil }, window)
				if n := len(latencies); n < c.want || n > c.most {
					t.Errorf("%d writes, want %d to %d", n, c.want, c.most)
				}
				if took := time.Since(begun); took > measureMost+c.took+touchMost {
					t.Errorf("it took %s", took)
				}
			})
		})
	}
}
