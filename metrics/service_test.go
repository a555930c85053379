package metrics

import (
	"context"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/internal/local"
	"github.com/volumed/volumed/internal/testenv"
	"github.com/volumed/volumed/supervisor"
	"github.com/volumed/volumed/supervisor/lifeline"
	"github.com/volumed/volumed/volume"
	"github.com/volumed/volumed/worker"
)

// house is a supervisor that says what the test wants, with consoles of its workers.
type house struct {
	*testing.T
	dir      string
	children []supervisor.ChildStatus
	dead     error // what Alive returns
}

func (h *house) Status() []supervisor.ChildStatus { return h.children }
func (h *house) Alive(context.Context) error      { return h.dead }

// ask is what cmd/volumed does.
func (h *house) ask(ctx context.Context, c supervisor.ChildStatus) (io.ReadCloser, error) {
	return local.NewClient(h.console(c.PID)).Open(ctx, "GET", "/metrics", nil)
}

func (h *house) console(pid int) string { return filepath.Join(h.dir, strconv.Itoa(pid)) }

// add adds a child that is ready, with the pid of its place.
func (h *house) add(name string, role supervisor.Role) *supervisor.ChildStatus {
	h.children = append(h.children, supervisor.ChildStatus{
		Name: name, Role: role, State: lifeline.Ready, PID: len(h.children) + 1, Generation: 1,
	})
	return &h.children[len(h.children)-1]
}

// worker adds a worker whose console answers.
func (h *house) worker(name string, console http.Handler) *supervisor.ChildStatus {
	h.Helper()
	c := h.add(name, supervisor.Worker)
	ctx, cancel := context.WithCancel(context.Background())
	l, err := local.Listen(ctx, h.console(c.PID))
	if err != nil {
		h.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- local.Serve(ctx, l, console) }()
	h.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			h.Error(err)
		}
	})
	return c
}

func (h *house) service() *Service { return NewService(h, h.ask, "1.2.3", hclog.NewNullLogger()) }

func newHouse(t *testing.T) *house {
	t.Helper()
	return &house{T: t, dir: t.TempDir()}
}

// says answers everything with the text.
func says(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
}

// ready is a worker that is.
func ready(backend string) *Worker {
	return busyWorker(backend, func() worker.Vitals {
		v := busy(time.Now())
		v.Phase, v.Reason = volume.Ready, ""
		return v
	})
}

// One page shows all workers beside the supervisor; one that is dead, without a
// process, or unreadable is left out and said to be.
func TestServiceShowsAllWorkers(t *testing.T) {
	h := newHouse(t)
	h.add("bus", supervisor.Bus)
	h.worker("rbd0", ready("rbd0").Metrics())
	h.worker("rbd1", ready("rbd1").Metrics())
	h.add("dead", supervisor.Worker)
	h.worker("garbled", says("volumed_phase{ 1\n"))
	at := time.Now()
	h.children = append(h.children, supervisor.ChildStatus{
		Name: "looping", Role: supervisor.Worker, State: supervisor.Backoff, Restarts: 4, Generation: 5, CrashLoop: true,
		LastBeat: at, LastExit: &supervisor.Exit{Code: -1, Signal: syscall.SIGKILL, At: at},
	})
	s := h.service()
	page := gather(t, s)
	for backend, up := range map[string]float64{"rbd0": 1, "rbd1": 1, "dead": 0, "garbled": 0, "looping": 0} {
		wantValue(t, page, up, "scrape_up", "backend="+backend)
	}
	for _, backend := range []string{"rbd0", "rbd1"} {
		wantValue(t, page, 2, "operations_ended_total", "backend="+backend, "method=create_volume", "outcome=succeeded")
		wantValue(t, page, 1, "child_state", "backend="+backend, "role=worker", "state=ready")
	}
	if n := len(page["go_goroutines"].GetMetric()); n != 3 {
		t.Errorf("%d processes tell of their goroutines, want 3", n)
	}
	wantValue(t, page, 0, "ready")
	wantValue(t, page, 4, "child_restarts_total", "backend=looping")
	wantValue(t, page, 5, "child_generation", "backend=looping")
	wantValue(t, page, 1, "child_crash_loop", "backend=looping")
	wantValue(t, page, 137, "child_last_exit_code", "backend=looping")
	wantValue(t, page, float64(at.UnixMicro())/1e6, "child_last_exit_timestamp_seconds", "backend=looping")
	wantValue(t, page, float64(at.UnixMicro())/1e6, "child_last_beat_timestamp_seconds", "backend=looping")
	all := text(t, s)
	if said := testenv.Promtool(t, all, "check", "metrics"); said != "" {
		t.Error(said)
	}
	if n := strings.Count(all, "# HELP volumed_phase "); n != 1 {
		t.Errorf("volumed_phase is explained %d times", n)
	}
}

// A family that has another type elsewhere does not spoil the page.
func TestCollidingFamilies(t *testing.T) {
	h := newHouse(t)
	h.worker("rbd0", ready("rbd0").Metrics())
	h.worker("newer", says("# TYPE volumed_phase counter\nvolumed_phase{backend=\"newer\"} 1\n# HELP volumed_ready 1 when every backend is ready: what /readyz says.\n# TYPE volumed_ready gauge\nvolumed_ready{backend=\"newer\"} 1\n"))
	page := gather(t, h.service())
	wantValue(t, page, 1, "phase", "backend=rbd0", "phase=ready")
	if _, err := value(page, "phase", "backend=newer"); err == nil {
		t.Error("a counter is among gauges")
	}
	wantValue(t, page, 1, "ready", "backend=newer")
	wantValue(t, page, 1, "scrape_up", "backend=newer")
}

// Workers that do not answer cost the page a second, however many they are.
func TestHungWorkersDoNotHoldUpThePage(t *testing.T) {
	h := newHouse(t)
	hang := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	for _, name := range []string{"hung0", "hung1", "hung2"} {
		h.worker(name, hang)
	}
	h.worker("rbd0", ready("rbd0").Metrics())
	begun := time.Now()
	page := gather(t, h.service())
	if took := time.Since(begun); took > 2*scrapeTimeout {
		t.Errorf("the page took %s", took)
	}
	wantValue(t, page, 0, "scrape_up", "backend=hung2")
	wantValue(t, page, 1, "scrape_up", "backend=rbd0")
	wantValue(t, page, 1, "phase", "backend=rbd0", "phase=ready")
}

func TestProbes(t *testing.T) {
	h := newHouse(t)
	rbd0 := h.worker("rbd0", ready("rbd0").Metrics())
	page := Page(h.service())
	want := func(path string, status int, body string) {
		t.Helper()
		if gotStatus, got := get(t, page, path); gotStatus != status || got != body {
			t.Errorf("GET %s = %d %q, want %d %q", path, gotStatus, got, status, body)
		}
	}
	want("/livez", 200, "alive\n")
	want("/readyz", 200, "ready\n")
	rbd0.State, rbd0.Reason = lifeline.Degraded, "backend: no quorum"
	want("/readyz", 503, "rbd0 is degraded: backend: no quorum\n")
	want("/livez", 200, "alive\n")
	h.dead = errors.New("the loop does not answer")
	want("/livez", 503, "the loop does not answer\n")
	if status, body := get(t, page, "/metrics"); status != 200 || !strings.Contains(body, "\nvolumed_ready 0\n") {
		t.Errorf("GET /metrics = %d %.500s", status, body)
	}
}
