package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/volumed/volumed/internal/local"
	"github.com/volumed/volumed/internal/testenv"
	"github.com/volumed/volumed/report"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/supervisor/lifeline"
	"github.com/volumed/volumed/worker"
)

// secretSeed is a secret that the configuration of these tests is full of.
const secretSeed = "geheim-6b1f"

// reporting returns a service that files its reports, and where.
func reporting(t *testing.T, o options) (s *service, dir string) {
	t.Helper()
	dir = t.TempDir()
	o.sections += fmt.Sprintf("replication_device = backend_id:b,secret_uuid:%s\n[oslo_reports]\nlog_dir = %s\nfile_event_handler = %s\n",
		secretSeed, dir, filepath.Join(dir, "now"))
	o.defaults += fmt.Sprintf("transport_url = rabbit://u:%s@h\nreport_interval = 1\nservice_down_time = 10\n", secretSeed)
	return newService(t, o), dir
}

// console returns a client of a process, for what it tells of itself.
func (s *service) console(pid int) *local.Client {
	return local.NewClient(lifeline.ConsolePath(s.state, pid))
}

// reportOf asks a process for its report.
func (s *service) reportOf(pid int) (text string, took time.Duration) {
	s.t.Helper()
	began := time.Now()
	body, err := s.console(pid).Open(s.t.Context(), http.MethodGet, "/report", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	defer body.Close()
	read, err := io.ReadAll(body)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(read), time.Since(began)
}

func (s *service) vitals(pid int) (v worker.Vitals) {
	s.t.Helper()
	if err := s.console(pid).Ask(s.t.Context(), http.MethodGet, "/vitals", nil, &v); err != nil {
		s.t.Fatal(err)
	}
	return v
}

// filed waits for a report about a subject that has the words, and returns it.
func (s *service) filed(dir, subject, words string) (text string) {
	s.t.Helper()
	s.eventually("a report about "+subject+" with "+words, func() error {
		files, err := filepath.Glob(filepath.Join(dir, "volumed_"+subject+"_gurumeditation_*"))
		if err != nil {
			return err
		}
		for _, file := range files {
			read, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			if text = string(read); strings.Contains(text, words) {
				return nil
			}
		}
		return fmt.Errorf("not among %d", len(files))
	})
	return text
}

func contains(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q is missing in the report:\n%.20000s", w, text)
			return
		}
	}
}

// A worker whose backend hangs in every call reports within two seconds, with the
// calls and what waits for them; so it does while it drains; and by itself when the
// time to drain is over.
func TestReportWhileTheBackendHangs(t *testing.T) {
	t.Parallel()
	own := testenv.OwnCeph(t)
	s, dir := reporting(t, options{pools: []string{"volumes"}, defaults: "graceful_shutdown_timeout = 5\n"})
	s.onCluster(0, own)
	s.start()
	s.ready()
	pid := s.worker(0)
	own.Signal(t, "osd", syscall.SIGSTOP)
	defer own.Signal(t, "osd", syscall.SIGCONT)
	accepted, err := s.client.CreateVolume(t.Context(), s.backend(0), rpc.CreateVolumeRequest{Size: 1}, rpc.CallOptions{RequestID: "hung-1"})
	if err != nil {
		t.Fatal(err)
	}
	s.eventually("the create hangs in the backend", func() error {
		for _, call := range s.vitals(pid).Calls {
			if call.Method == "CreateVolume" {
				return nil
			}
		}
		return errors.New("no such call")
	})
	text, took := s.reportOf(pid)
	if took > 2*time.Second {
		t.Errorf("the report took %s", took)
	}
	contains(t, text, accepted.Operation.ID, "hung-1", "CreateVolume", "IN C", "_Cfunc_rbd_", "librbd.so.1", "librados.so.2",
		"phase = ", "slots busy = ", "sqlite, schema ", "[rbd0]", "last lines, from debug:")

	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.eventually("the worker drains", func() error {
		if phase := s.vitals(pid).Phase; phase != "draining" {
			return fmt.Errorf("it is %s", phase)
		}
		return nil
	})
	text, took = s.reportOf(pid)
	if took > 2*time.Second {
		t.Errorf("the report of the drain took %s", took)
	}
	contains(t, text, "phase = draining", accepted.Operation.ID)
	contains(t, s.filed(dir, "rbd0", "drain deadline exceeded"), accepted.Operation.ID, "CreateVolume")
	s.exit()
}

// Operators get reports and log levels as they ask, of what answers and of what does
// not, and no secret with them.
func TestReportsOnRequest(t *testing.T) {
	t.Parallel()
	logDir := t.TempDir()
	logFile := filepath.Join(logDir, "volumed.log")
	s, dir := reporting(t, options{backends: 2, defaults: "debug = true\nlog_file = " + logFile + "\n"})
	s.start()
	s.ready()
	s.createVolume(rpc.CreateVolumeRequest{Size: 1})
	parent, first, second := s.cmd.Process.Pid, s.worker(0), s.worker(1)
	everybody := []int{parent, first, second, s.child("bus")}

	t.Run("level of the log", func(t *testing.T) {
		type level struct {
			Level string `json:"level"`
		}
		for _, tt := range []struct{ set, want string }{{"warn", "warn"}, {"", "debug"}} {
			var now level
			if err := s.console(first).Ask(t.Context(), http.MethodPost, "/log-level", level{tt.set}, &now); err != nil || now.Level != tt.want {
				t.Errorf("%q gave %q, %v", tt.set, now.Level, err)
			}
		}
		if err := s.console(first).Ask(t.Context(), http.MethodPost, "/log-level", level{"loud"}, nil); err == nil {
			t.Error("level loud was taken")
		}
	})
	t.Run("log is moved away", func(t *testing.T) {
		if err := os.Rename(logFile, logFile+".1"); err != nil {
			t.Fatal(err)
		}
		for _, pid := range everybody {
			signal(t, pid, syscall.SIGUSR1)
		}
		s.eventually("all have the new file open", func() error {
			for _, pid := range everybody {
				if !hasOpen(pid, logFile) {
					return fmt.Errorf("process %d has not", pid)
				}
			}
			return nil
		})
	})
	t.Run("nothing is left behind", func(t *testing.T) {
		s.reportOf(first)
		goroutines, files := s.goroutines(first), openFiles(t, first)
		for range 100 {
			s.reportOf(first)
		}
		s.eventually("all that the reports needed is gone", func() error {
			if g, f := s.goroutines(first), openFiles(t, first); g > goroutines+5 || f > files+5 {
				return fmt.Errorf("%d goroutines and %d files, before %d and %d", g, f, goroutines, files)
			}
			return nil
		})
	})
	t.Run("signal to a worker", func(t *testing.T) {
		signal(t, first, syscall.SIGUSR2)
		contains(t, s.filed(dir, "rbd0", "trigger = SIGUSR2"), "service = node1@rbd0", "phase = ready", "create_volume", "succeeded")
	})
	t.Run("signal to the bus", func(t *testing.T) {
		signal(t, s.child("bus"), syscall.SIGUSR2)
		contains(t, s.filed(dir, "bus", "trigger = SIGUSR2"), "role = bus")
	})
	t.Run("file event", func(t *testing.T) {
		if err := os.WriteFile(filepath.Join(dir, "now"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		contains(t, s.filed(dir, "parent", "trigger = file event"), "role = parent", "service = node1@rbd0", "service = node1@rbd1", "subject = bus")
	})
	t.Run("a worker is stopped", func(t *testing.T) {
		signal(t, first, syscall.SIGSTOP)
		signal(t, parent, syscall.SIGUSR2)
		text := s.filed(dir, "parent", "trigger = SIGUSR2")
		signal(t, first, syscall.SIGCONT)
		contains(t, text, "what follows = what the kernel tells of the process", "State = T (stopped)", "do_signal_stop", "service = node1@rbd1")
	})
	for _, pid := range everybody {
		if err := syscall.Kill(pid, 0); err != nil {
			t.Errorf("process %d: %v", pid, err)
		}
	}
	s.noSecrets(dir, logDir)
}

// noSecrets looks for every secret of the service in its reports and logs.
func (s *service) noSecrets(dirs ...string) {
	s.t.Helper()
	_, after, _ := strings.Cut(s.url(), "volumed:")
	password, _, _ := strings.Cut(after, "@")
	secrets := []string{secretSeed, password, strings.TrimSpace(s.ceph.Ceph(s.t, "auth", "get-key", "client."+s.ceph.User))}
	texts := map[string]string{"stderr": s.log.String()}
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "v*"))
		if err != nil || len(files) == 0 {
			s.t.Fatalf("no files in %s: %v", dir, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				s.t.Fatal(err)
			}
			texts[file] = string(text)
		}
	}
	for name, text := range texts {
		for _, secret := range secrets {
			if i := strings.Index(text, secret); i >= 0 {
				s.t.Errorf("%s holds a secret: …%s", name, text[max(0, i-200):i])
			}
		}
	}
}

// goroutines is how many a worker says it has.
func (s *service) goroutines(pid int) int {
	s.t.Helper()
	var r report.Report
	if err := s.console(pid).Ask(context.Background(), http.MethodGet, "/report?format=json", nil, &r); err != nil {
		s.t.Fatal(err)
	}
	for _, section := range r.Sections {
		for _, f := range section.Fields {
			if section.Title == "Goroutines" && f.Name == "goroutines" {
				n, err := strconv.Atoi(f.Value)
				if err != nil {
					s.t.Fatal(err)
				}
				return n
			}
		}
	}
	s.t.Fatal("the report does not tell")
	return 0
}

func openFiles(t *testing.T, pid int) int {
	t.Helper()
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

// hasOpen reports whether a process has the file of that name open.
func hasOpen(pid int, path string) bool {
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		return false
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && target == path {
			return true
		}
	}
	return false
}
