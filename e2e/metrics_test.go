package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/volumed/volumed/internal/testenv"
	"github.com/volumed/volumed/rpc"
)

// whole checks that both workers are on the page, and promtool finds nothing.
func (o *observed) whole() {
	o.t.Helper()
	page := o.scrape()
	for _, backend := range []string{"backend=rbd0", "backend=rbd1"} {
		for _, name := range []string{"volumed_scrape_up", "volumed_build_info", "volumed_bus_connected"} {
			if got, err := sample(page, name, backend); err != nil || got != 1 {
				o.t.Errorf("%s of %s is %v, %v", name, backend, got, err)
			}
		}
	}
	if said := testenv.Promtool(o.t, page, "check", "metrics"); said != "" {
		o.t.Error(said)
	}
}

// One page tells what was done on each backend, who has died, and who hangs.
func TestMetrics(t *testing.T) {
	o := newObserved(t, options{backends: 2})
	o.start()
	o.ready()
	first := o.createVolume(rpc.CreateVolumeRequest{Size: 1})
	o.createVolume(rpc.CreateVolumeRequest{Size: 1})
	o.deleteVolume(first.ID)
	if _, err := o.client.DeleteVolume(t.Context(), o.backend(0), rpc.DeleteVolumeRequest{VolumeID: first.ID}, wait); err == nil {
		t.Error("a volume was deleted twice")
	}
	o.quiet()
	o.shows(2, "volumed_operations_ended_total", "backend=rbd0", "method=create_volume", "outcome=succeeded")
	o.shows(2, "volumed_operation_duration_seconds", "backend=rbd0", "method=create_volume", "outcome=succeeded")
	o.shows(1, "volumed_operations_ended_total", "backend=rbd0", "method=delete_volume", "outcome=succeeded")
	o.shows(1, "volumed_operations_ended_total", "backend=rbd0", "method=purge_volume", "outcome=succeeded")
	o.shows(0, "volumed_operations_ended_total", "backend=rbd1", "method=create_volume", "outcome=succeeded")
	o.shows(0, "volumed_operations_ended_total", "backend=rbd0", "method=create_volume", "outcome=failed")
	o.shows(2, "volumed_driver_call_duration_seconds", "backend=rbd0", "method=CreateVolume", "kind=ok")
	o.shows(2, "volumed_rpc_requests_total", "backend=rbd0", "method=create_volume", "kind=ok")
	o.shows(1, "volumed_rpc_requests_total", "backend=rbd0", "method=delete_volume", "kind=not_found")
	o.shows(1<<30, "volumed_pool_allocated_bytes", "backend=rbd0") // the next report
	o.shows(1, "volumed_ready")
	o.whole()
	o.documented()
	for path, want := range map[string]string{"/livez": "alive\n", "/readyz": "ready\n"} {
		if status, body, err := o.get(path); err != nil || status != http.StatusOK || body != want {
			t.Errorf("GET %s: %d %q, %v", path, status, body, err)
		}
	}
	o.killed()
	o.hung()
}

// documented checks that docs/metrics.md has every metric of the page.
func (o *observed) documented() {
	o.t.Helper()
	docs, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		o.t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (volumed_\S+) (\S+)$`).FindAllStringSubmatch(o.scrape(), -1) {
		if !strings.Contains(string(docs), fmt.Sprintf("| `%s` | %s |", m[1], m[2])) {
			o.t.Errorf("%s, a %s, is not in docs/metrics.md", m[1], m[2])
		}
	}
}

// killed kills a worker: the supervisor tells it, and the new one is on the page.
func (o *observed) killed() {
	o.t.Helper()
	if err := syscall.Kill(o.worker(0), syscall.SIGKILL); err != nil {
		o.t.Fatal(err)
	}
	o.shows(1, "volumed_child_restarts_total", "backend=rbd0")
	o.shows(137, "volumed_child_last_exit_code", "backend=rbd0")
	o.answers(o.backend(0))
	o.shows(1, "volumed_phase", "backend=rbd0", "phase=ready")
	o.whole()
	o.shows(0, "volumed_child_restarts_total", "backend=rbd1")
}

// hung stops a worker: the page is a second late, and lacks only that worker.
func (o *observed) hung() {
	o.t.Helper()
	pid := o.worker(1)
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		o.t.Fatal(err)
	}
	begun := time.Now()
	page := o.scrape()
	took := time.Since(begun)
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		o.t.Fatal(err)
	}
	o.t.Logf("the scrape beside a stopped worker took %s", took)
	if took > 2*time.Second { // a second for the worker, and one for a busy machine
		o.t.Errorf("the scrape took %s", took)
	}
	for backend, want := range map[string]float64{"rbd0": 1, "rbd1": 0} {
		if got, err := sample(page, "volumed_scrape_up", "backend="+backend); err != nil || got != want {
			o.t.Errorf("volumed_scrape_up of %s is %v, %v", backend, got, err)
		}
	}
	if _, err := sample(page, "volumed_phase", "backend=rbd1"); err == nil {
		o.t.Error("a stopped worker has told its phase")
	}
	o.shows(1, "volumed_scrape_up", "backend=rbd1")
}

// A backend that cannot be served makes the service unready, with its reason, and
// keeps neither the other one nor the supervisor from answering.
func TestReadyzNamesWhatIsNot(t *testing.T) {
	o := newObserved(t, options{pools: []string{testenv.Ceph(t).NewPool(t), "there-is-no-such-pool"}})
	o.start()
	o.connect()
	o.answers(o.backend(0))
	o.eventually("/readyz names rbd1", func() error {
		status, body, err := o.get("/readyz")
		if err == nil && (status != http.StatusServiceUnavailable || !strings.HasPrefix(body, "rbd1 is degraded: ") ||
			!strings.Contains(body, o.pools[1]) || strings.Contains(body, "rbd0")) {
			err = fmt.Errorf("%d %q", status, body)
		}
		return err
	})
	if status, body, err := o.get("/livez"); err != nil || status != http.StatusOK {
		t.Errorf("/livez: %d %q, %v", status, body, err)
	}
	o.shows(0, "volumed_ready")
	o.shows(1, "volumed_child_state", "backend=rbd1", "state=degraded")
	o.shows(1, "volumed_phase", "backend=rbd1", "phase=degraded")
}

// A worker without a supervisor has the page itself.
func TestMetricsOfAWorkerAlone(t *testing.T) {
	o := newObserved(t, options{nats: testenv.NATSDebian(t)})
	if out, err := exec.Command(testenv.Binary(t), "db-sync", "--config-file", o.conf).CombinedOutput(); err != nil {
		t.Fatalf("db-sync: %v\n%s", err, out)
	}
	o.args = []string{"worker", "--backend", "rbd0"}
	o.start()
	o.shows(1, "volumed_phase", "backend=rbd0", "phase=ready")
	if said := testenv.Promtool(t, o.scrape(), "check", "metrics"); said != "" {
		t.Error(said)
	}
	for path, want := range map[string]string{"/livez": "alive\n", "/readyz": "ready\n"} {
		if status, body, err := o.get(path); err != nil || status != http.StatusOK || body != want {
			t.Errorf("GET %s: %d %q, %v", path, status, body, err)
		}
	}
}

// A port that another process has keeps no backend down, and is served once it is free.
func TestTakenPortOfMetrics(t *testing.T) {
	o := newObserved(t, options{})
	other, err := net.Listen("tcp", strings.TrimPrefix(o.page, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	o.start()
	o.ready()
	if log := o.log.String(); !strings.Contains(log, "metrics are not served") {
		t.Error("the log does not say that the port is taken")
	}
	other.Close()
	o.shows(1, "volumed_ready")
}

// mostMemory is what the supervisor may take, scrapes or not.
const mostMemory = 20 << 20

// The page costs the supervisor little.
func TestMemoryOfTheSupervisor(t *testing.T) {
	o := newObserved(t, options{backends: 2})
	o.binary = testenv.QuickBinary(t) // the race detector takes memory of its own
	o.start()
	o.ready()
	o.createVolume(rpc.CreateVolumeRequest{Size: 1})
	o.quiet()
	before := o.pss()
	for range 10 {
		o.scrape()
	}
	after := o.pss()
	t.Logf("PSS of the supervisor: %.1f MiB, after ten scrapes of %d KiB %.1f MiB",
		float64(before)/(1<<20), len(o.scrape())>>10, float64(after)/(1<<20))
	if after > mostMemory {
		t.Errorf("the supervisor takes %d bytes", after)
	}
}
