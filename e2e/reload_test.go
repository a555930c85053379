package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/volumed/volumed/rpc"
)

// operator runs a command of volumed and returns its output, its messages and
// its exit code.
func (s *service) operator(args ...string) (out, messages string, code int) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), s.binary, append(args, "--config-file", s.conf)...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run() // its exit code tells
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

// must runs a command that has to succeed.
func (s *service) must(args ...string) string {
	s.t.Helper()
	out, messages, code := s.operator(args...)
	if code != 0 {
		s.t.Fatalf("volumed %v: exit code %d, %s%s", args, code, out, messages)
	}
	return out
}

// pids are those of the workers.
func (s *service) pids() []int {
	s.t.Helper()
	var all []int
	for i := range s.pools {
		all = append(all, s.worker(i))
	}
	return all
}

// childStatus is what volumed status tells of one backend.
type childStatus struct {
	Name, State, Reason string
	PID                 int
	Started             time.Time
	InFlight            int                    `json:"in_flight"`
	PendingRestart      []string               `json:"pending_restart"`
	LastExit            struct{ At time.Time } `json:"last_exit"`
}

// status is what volumed status tells, by name.
func (s *service) status() map[string]childStatus {
	s.t.Helper()
	var doc struct{ Children []childStatus }
	out, messages, _ := s.operator("status", "-o", "json")
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		s.t.Fatalf("status: %v in %q, %s", err, out, messages)
	}
	all := map[string]childStatus{}
	for _, c := range doc.Children {
		all[c.Name] = c
	}
	return all
}

// hasState is an error while the backend is in another state.
func (s *service) hasState(backend, state string) error {
	if got := s.status()[backend]; got.State != state {
		return fmt.Errorf("%s is %s (%s)", backend, got.State, got.Reason)
	}
	return nil
}

// VOLUMED_TEST_RELOADS is how often the configuration changes under load.
//
// Fifty mixed requests a second, from callers that do not repeat them, while one
// backend's section changes again and again: none fails, none is lost, and the other
// backend keeps its process.
func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	s := started(t, options{backends: 2})
	reloads := extent(t, "VOLUMED_TEST_RELOADS", 5)
	before := s.pids()
	l := s.load(50, once)
	old := "rbd_user = "
	for n := range reloads {
		size := []string{"8", "2"}[n%2]
		now := "rbd_store_chunk_size = " + size + "\nrbd_user = "
		s.configureSection("rbd0", old, now)
		old = now
		was := s.worker(0)
		if out := s.must("reload"); !strings.Contains(out, "rbd0: replaced") || !strings.Contains(out, "rbd1: unchanged") {
			t.Fatalf("reload said %q", out)
		}
		if s.worker(0) == was {
			t.Error("rbd0 has the process it had")
		}
		l.proceed(25)
	}
	l.end()
	if s.worker(1) != before[1] {
		t.Error("rbd1 was replaced, too")
	}
	s.quiet()
	s.audit()
	t.Logf("%d reloads under %s", reloads, l)
}

// configureSection replaces text in one section.
func (s *service) configureSection(section, old, now string) {
	s.t.Helper()
	s.rewrite(func(text string) string {
		head, rest, found := strings.Cut(text, "["+section+"]\n")
		if !found || !strings.Contains(rest, old) {
			s.t.Fatalf("no %q in section %s of\n%s", old, section, text)
		}
		return head + "[" + section + "]\n" + strings.Replace(rest, old, now, 1)
	})
}

// A file with a mistake changes nothing, however often it is reloaded, by either
// way, and the mistake is told with its place.
func TestReloadOfABrokenFile(t *testing.T) {
	t.Parallel()
	s := started(t, options{backends: 2})
	before := s.pids()
	for name, broken := range map[string]string{
		"an option of a backend": "[rbd1]\nrbd_store_chunk_size = 5\n",
		"an option of all":       "[rbd1]\n[DEFAULT]\nreport_interval = soon\n",
		"the grammar":            "[rbd1\n",
		"no section":             "[rbd7]\n",
	} {
		s.rewrite(func(text string) string { return strings.Replace(text, "[rbd1]\n", broken, 1) })
		for range 25 {
			if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
		}
		_, messages, code := s.operator("reload")
		if code != 1 || !strings.Contains(messages, s.conf+":") {
			t.Errorf("%s: exit code %d, %q", name, code, messages)
		}
		s.rewrite(func(text string) string { return strings.Replace(text, broken, "[rbd1]\n", 1) })
	}
	if after := s.pids(); !slices.Equal(after, before) {
		t.Errorf("pids %v, before %v", after, before)
	}
	s.must("status")
	s.must("reload")
	s.createVolume(rpc.CreateVolumeRequest{Size: 1})
}

// Options that can change in place do; what concerns the whole service waits, and
// status says so.
func TestReloadInPlaceAndPending(t *testing.T) {
	t.Parallel()
	s := started(t, options{defaults: "report_interval = 60\nservice_down_time = 300\n"})
	before := s.worker(0)
	s.configure("report_interval = 60", "report_interval = 1\nstorage_availability_zone = elsewhere")
	if out := s.must("reload"); !strings.Contains(out, "rbd0: pending") || !strings.Contains(out, "storage_availability_zone") {
		t.Errorf("reload said %q", out)
	}
	if got := s.status()["rbd0"]; !slices.Contains(got.PendingRestart, "[DEFAULT] storage_availability_zone") || len(got.PendingRestart) != 1 {
		t.Errorf("pending: %v", got.PendingRestart)
	}
	longest, from := s.heartbeats(), s.row(0).ReportCount
	s.eventually("three intervals", func() error {
		if n := s.row(0).ReportCount - from; n < 3 {
			return fmt.Errorf("%d heartbeats", n)
		}
		return nil
	})
	if gap := longest(); gap > 2*time.Second {
		t.Errorf("longest gap %s: the new interval is not in effect", gap)
	}
	if s.worker(0) != before {
		t.Error("the process was replaced")
	}
	for subject, args := range map[string][]string{"parent": {"report"}, "rbd0": {"report", "rbd0"}} {
		text := s.must(args...)
		if !regexp.MustCompile(`report_interval +1 +\S+\n`).MatchString(text) || regexp.MustCompile(`storage_availability_zone +elsewhere`).MatchString(text) {
			t.Errorf("the report of %s does not tell what is in effect:\n%s", subject, text)
		}
	}
}

// Backends come and go with a reload, and stop and start by command; the exit code
// of status tells whether all is well.
func TestBackendsComeAndGo(t *testing.T) {
	t.Parallel()
	s := started(t, options{backends: 2})
	kept := s.worker(1)
	s.configure("enabled_backends = rbd0, rbd1", "enabled_backends = rbd1")
	if out := s.must("reload"); !strings.Contains(out, "rbd0: removed") {
		t.Errorf("reload said %q", out)
	}
	if all := s.status(); len(all) != 3 || all["rbd0"].State != "" {
		t.Errorf("status %+v", all)
	}
	s.configure("enabled_backends = rbd1", "enabled_backends = rbd0, rbd1")
	if out := s.must("reload"); !strings.Contains(out, "rbd0: added") {
		t.Errorf("reload said %q", out)
	}
	s.answers(s.backend(0))

	s.must("stop", "rbd0")
	s.eventually("it has stopped", func() error { return s.hasState("rbd0", "stopped") })
	if _, _, code := s.operator("status"); code != 1 {
		t.Errorf("status of a service with a stopped backend: %d", code)
	}
	s.must("start", "rbd0")
	s.eventually("it has started", func() error { return s.hasState("rbd0", "ready") })
	s.must("status")
	was := s.worker(0)
	s.must("restart", "rbd0")
	if s.worker(0) == was || s.worker(1) != kept {
		t.Errorf("pids %v after the restart of rbd0, before %d and %d", s.pids(), was, kept)
	}
	if _, messages, code := s.operator("restart", "rbd9"); code != 1 || !strings.Contains(messages, "rbd9") {
		t.Errorf("restart of a stranger: %d, %s", code, messages)
	}
	s.must("stop")
	if code := s.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if _, messages, code := s.operator("status"); code != 3 || !strings.Contains(messages, "no supervisor") {
		t.Errorf("status of nothing: %d, %s", code, messages)
	}
}

// A section that cannot work leaves the old process at work, and says why.
func TestReplacementThatCannotWork(t *testing.T) {
	t.Parallel()
	s := started(t, options{sections: "[launcher]\nwarm_timeout = 1\n"})
	before := s.worker(0)
	s.configure("rbd_pool = "+s.pools[0], "rbd_pool = nowhere")
	out, messages, code := s.operator("reload")
	if code != 1 || !strings.Contains(out, "nowhere") {
		t.Errorf("exit code %d: %s%s", code, out, messages)
	}
	if s.worker(0) != before {
		t.Error("the process was replaced")
	}
	s.createVolume(rpc.CreateVolumeRequest{Size: 1})
	if got := s.status()["rbd0"]; got.State != "ready" || !slices.Contains(got.PendingRestart, "[rbd0] rbd_pool") {
		t.Errorf("status %+v", got)
	}
}
