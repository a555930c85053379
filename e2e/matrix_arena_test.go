package e2e

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/volumed/volumed/internal/testenv"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// arena is a service that is killed at one point after the other, with a pool, a
// database and a bus of its own. The bus is not the embedded one, so that clients
// outlive the supervisor.
type arena struct {
	*service
	group  *testing.T // whom the processes belong to; t is the cell's
	format int        // of clones
	depth  string     // rbd_max_clone_depth, where it is another than usual
	keeps  bool       // deleted volumes are kept
	crash  string     // VOLUMED_CRASH_DIR
	record string     // VOLUMED_CRASH_RECORD
	pool   *pool      // that of the first backend
	pools  []*pool    // of all
	tables *sql.DB

	sourceID, snapshotID string   // what others are made of
	doomed               string   // the volume that is to be deleted
	silent               string   // an image that cinder-volume would have left for clones
	flattened            []string // volumes that may have no parent any more

	imageDir           string // where images may be read and written
	imagePool          string // where others keep images that may be cloned
	imageURL           string // of one of them
	reimagedID         string // the volume that is reimaged
	copies             int
	copyTo, copyFormat string // of the last one
	checked            map[string]int64
	kinds              map[string]string // ids of types
}

func matrixBinary(t *testing.T) string { return testenv.QuickBinary(t, "crashpoints") }

// keeping are the options by which deleted volumes are kept.
const keeping = "enable_deferred_deletion = true\ndeferred_deletion_delay = 3600\n"

func newArena(t *testing.T, binary string, w way) *arena {
	t.Helper()
	url := testenv.NATS(t)
	images := t.TempDir()
	o := options{
		nats: url, defaults: "report_interval = 1\nservice_down_time = 10\nimage_file_allow = " + images + "\n",
		sections: "[launcher]\nrestart_burst = 1000\nrestart_max = 1\n", backends: methods[w.target].backends,
	}
	s := newService(t, o)
	if w.format == 1 {
		s.configure("rbd_user = ", "rbd_clone_format = 1\nrbd_user = ")
	}
	if w.depth != "" {
		s.configure("rbd_user = ", "rbd_max_clone_depth = "+w.depth+"\nrbd_user = ")
	}
	s.configure("rbd_user = ", methods[w.target].options+"rbd_user = ")
	others := ""
	if w.target == "clone_image" {
		others = s.ceph.NewPool(t)
		s.configure("rbd_user = ", "image_rbd_allow = "+others+"\nrbd_user = ")
	}
	keeps := methods[w.target].keeps
	if keeps {
		s.configure("rbd_user = ", keeping+"rbd_user = ")
	}
	dir := filepath.Dir(s.conf)
	a := &arena{
		service: s, group: t, format: w.format, depth: w.depth, keeps: keeps, crash: filepath.Join(dir, "crash"), record: filepath.Join(dir, "recorded"),
		checked: map[string]int64{}, kinds: map[string]string{}, imageDir: images, imagePool: others,
	}
	for _, d := range []string{s.state, a.crash} {
		if err := os.MkdirAll(d, 0o750); err != nil {
			t.Fatal(err)
		}
	}
	// The tests look for the address where the embedded bus leaves it.
	if err := os.WriteFile(filepath.Join(s.state, "bus.url"), []byte(url), 0o600); err != nil {
		t.Fatal(err)
	}
	s.binary, s.env = binary, []string{"VOLUMED_CRASH_DIR=" + a.crash, "VOLUMED_CRASH_RECORD=" + a.record}
	for _, name := range s.pools {
		a.pools = append(a.pools, openPool(t, s.ceph, name))
	}
	a.pool = a.pools[0]
	s.start()
	s.connect()
	s.client = rpc.NewClient(s.conn, rpc.Options{Timeout: 200 * time.Millisecond})
	s.ready()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.state, "volumed.sqlite")+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	a.tables = db
	return a
}

// configure replaces a part of the configuration.
func (s *service) configure(old, now string) {
	s.t.Helper()
	s.rewrite(func(text string) string { return strings.ReplaceAll(text, old, now) })
}

// rewrite changes the configuration.
func (s *service) rewrite(change func(string) string) {
	s.t.Helper()
	text, err := os.ReadFile(s.conf)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(s.conf, []byte(change(string(text))), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// revive starts the supervisor again, as soon as it is dead.
func (a *arena) revive() {
	a.t.Helper()
	<-a.ended
	cell := a.t
	a.t = a.group // what is started now lives on after the cell
	a.start()
	a.t = cell
}

// abandon kills what is left, and returns what was recorded.
func (a *arena) abandon() []point {
	_ = syscall.Kill(-a.cmd.Process.Pid, syscall.SIGKILL)
	<-a.ended
	return a.recorded()
}

// recorded returns the points that the processes of the arena have passed.
func (a *arena) recorded() (points []point) {
	data, err := os.ReadFile(a.record)
	if err != nil {
		a.group.Error(err)
	}
	for name := range strings.FieldsSeq(string(data)) {
		points = append(points, point(name))
	}
	return points
}

// file is where a point is armed.
func (a *arena) file(point string) string {
	return filepath.Join(a.crash, strings.ReplaceAll(point, "/", "%"))
}

// arm has whoever comes to the point do what action says.
func (a *arena) arm(point, action string) {
	a.t.Helper()
	if err := os.WriteFile(a.file(point)+".new", []byte(action), 0o600); err != nil {
		a.t.Fatal(err)
	}
	if err := os.Rename(a.file(point)+".new", a.file(point)); err != nil {
		a.t.Fatal(err)
	}
}

func (a *arena) disarm(point string) {
	a.t.Helper()
	if err := os.Remove(a.file(point)); err != nil {
		a.t.Fatal(err)
	}
}

// reached waits until somebody has died at the point.
func (a *arena) reached(point string) {
	a.t.Helper()
	a.within(15*time.Second, "the point "+point+" is reached", func() error {
		if _, err := os.Stat(a.file(point)); err == nil {
			return errors.New("it is not")
		}
		return nil
	})
}

// within polls until f succeeds, for at most the time d.
func (a *arena) within(d time.Duration, what string, f func() error) {
	a.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	end := time.After(d)
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			a.t.Fatalf("%s: still not after %s: %v", what, d, err)
		}
	}
}

// ints runs a query for one row of numbers.
func (a *arena) ints(query string, args ...any) []int64 {
	a.t.Helper()
	rows, err := a.tables.Query(query, args...)
	if err != nil {
		a.t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil || !rows.Next() {
		a.t.Fatalf("%s: no row, %v", query, err)
	}
	values, dest := make([]int64, len(columns)), make([]any, len(columns))
	for i := range values {
		dest[i] = &values[i]
	}
	if err := errors.Join(rows.Scan(dest...), rows.Err()); err != nil {
		a.t.Fatalf("%s: %v", query, err)
	}
	return values
}

// counts returns how many volumes and snapshots the tables have.
func (a *arena) counts() (volumes, snapshots int) {
	a.t.Helper()
	n := a.ints(`SELECT (SELECT count(*) FROM volumes WHERE deleted_at IS NULL), (SELECT count(*) FROM snapshots WHERE deleted_at IS NULL)`)
	return int(n[0]), int(n[1])
}

// empty deletes everything, and sees that nothing is left.
func (a *arena) empty() {
	a.t = a.group
	a.t.Helper()
	if a.keeps { // from now on not any more
		_ = syscall.Kill(-a.cmd.Process.Pid, syscall.SIGKILL)
		a.configure(keeping, "")
		a.revive()
		a.answers(a.backend(0))
	}
	remove := func(id string) error {
		_, err := a.client.DeleteVolume(a.t.Context(), a.serviceOf(id), rpc.DeleteVolumeRequest{VolumeID: id, Cascade: true}, wait)
		return err
	}
	// Clones go first: where they are of format 1, their snapshots cannot go before.
	a.each("SELECT id FROM volumes WHERE deleted_at IS NULL AND id <> $1", remove, a.sourceID)
	a.quiet()
	a.deleteSnapshots()
	a.each("SELECT id FROM volumes WHERE deleted_at IS NULL", remove)
	a.quiet()
	for _, pool := range a.pools {
		if left := pool.existing(a.t, pool.objects(a.t, "rbd_id.", "rbd_header.", "rbd_data.")); len(left) > 0 {
			a.t.Errorf("left in the pool when everything is deleted: %v", left)
		}
	}
}

// deleteSnapshots deletes all snapshots.
func (a *arena) deleteSnapshots() {
	a.t.Helper()
	a.each("SELECT id FROM snapshots WHERE deleted_at IS NULL", func(id string) error {
		at := a.serviceOf(a.strings("SELECT volume_id FROM snapshots WHERE id = $1", id)[0])
		_, err := a.client.DeleteSnapshot(a.t.Context(), at, rpc.DeleteSnapshotRequest{SnapshotID: id}, wait)
		return err
	})
}

// serviceOf returns the service that a volume belongs to, poolOf its pool.
func (a *arena) serviceOf(id string) string {
	a.t.Helper()
	return volume.ParseHost(a.strings("SELECT host FROM volumes WHERE id = $1", id)[0]).Service()
}

func (a *arena) poolOf(id string) *pool {
	a.t.Helper()
	return a.pools[slices.Index(a.service.pools, volume.ParseHost(a.strings("SELECT host FROM volumes WHERE id = $1", id)[0]).Pool)]
}

// each runs f for each id of a query, all at once.
func (a *arena) each(query string, f func(id string) error, args ...any) {
	a.t.Helper()
	ids := a.strings(query, args...)
	errs := make(chan error)
	for _, id := range ids {
		go func() { errs <- f(id) }()
	}
	for range ids {
		if err := <-errs; err != nil {
			a.t.Error(err)
		}
	}
}

// strings returns a column of strings.
func (a *arena) strings(query string, args ...any) (values []string) {
	a.t.Helper()
	rows, err := a.tables.Query(query, args...)
	if err != nil {
		a.t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			a.t.Fatalf("%s: %v", query, err)
		}
		values = append(values, v)
	}
	if err := rows.Err(); err != nil {
		a.t.Fatalf("%s: %v", query, err)
	}
	return values
}

// unfinished returns an error that tells the first operation that has not ended, and
// does not just keep something.
func (a *arena) unfinished() error {
	ops := a.strings(`SELECT method || ': ' || status || ', step ' || step || ', attempt ' || attempt || ', ' || reason
		FROM operations WHERE finished_at IS NULL AND NOT (method = 'purge_volume' AND step = 'keep' AND status = 'waiting') ORDER BY created_at`)
	if len(ops) > 0 {
		return fmt.Errorf("%d operations, such as %s", len(ops), ops[0])
	}
	return nil
}
