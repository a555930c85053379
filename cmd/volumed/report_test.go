package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/volumed/volumed/config"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/supervisor"
	"github.com/volumed/volumed/supervisor/lifeline"
)

// newTestReporter returns a reporter of a parent that has the children, and where its
// reports are.
func newTestReporter(t *testing.T, children ...supervisor.ChildStatus) (p *parentReporter, files func() []string) {
	t.Helper()
	cfg := &config.Config{Reports: config.Reports{LogDir: t.TempDir()}}
	cfg.Default.LogFile = filepath.Join(t.TempDir(), "log")
	cfg.Default.StatePath = t.TempDir()
	a := &app{parent: &lifeline.Parent{}, began: time.Now()}
	log, err := a.newLogger(cfg, "volumed")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.logs.Close)
	p = a.newParentReporter(cfg, log)
	t.Cleanup(p.watch(func() []supervisor.ChildStatus { return children }))
	return p, func() (texts []string) {
		p.background.Wait()
		names, err := filepath.Glob(filepath.Join(cfg.Reports.LogDir, "volumed_parent_*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, string(text))
		}
		return texts
	}
}

// What happens to a child that only a report explains makes one, once in a while for
// each backend, however often it happens.
func TestAlarmsOfTheParent(t *testing.T) {
	at := time.Now()
	exit := func(e supervisor.Exit) *supervisor.Exit {
		at = at.Add(time.Second)
		e.At = at
		return &e
	}
	hung := supervisor.Exit{Hung: true, Reason: "hung: no beat for 30s", Crash: "SIGQUIT: quit\ngoroutine 1\n"}
	for name, tt := range map[string]struct {
		news []supervisor.ChildStatus
		want []string // triggers
	}{
		"usual": {[]supervisor.ChildStatus{
			{Name: "rbd0", State: lifeline.Ready},
			{Name: "rbd0", State: supervisor.Backoff, LastExit: exit(supervisor.Exit{Code: 1, Reason: "runtime error"})},
		}, nil},
		"hung":    {[]supervisor.ChildStatus{{Name: "rbd0", LastExit: exit(hung)}}, []string{"rbd0: hung: no beat for 30s"}},
		"cut off": {[]supervisor.ChildStatus{{Name: "rbd0", LastExit: exit(supervisor.Exit{CutOff: true, Reason: "killed at the deadline of the stop"})}}, []string{"rbd0: killed at the deadline of the stop"}},
		"loop": {[]supervisor.ChildStatus{
			{Name: "rbd0", CrashLoop: true}, {Name: "rbd0", CrashLoop: true}, {Name: "rbd0"}, {Name: "rbd0", CrashLoop: true},
		}, []string{"rbd0: crash loop"}},
		"many": {[]supervisor.ChildStatus{
			{Name: "rbd0", LastExit: exit(hung)}, {Name: "rbd0", LastExit: exit(hung)}, {Name: "rbd0", CrashLoop: true},
		}, []string{"rbd0: hung: no beat for 30s"}},
		"another": {[]supervisor.ChildStatus{{Name: "rbd0", CrashLoop: true}, {Name: "rbd1", CrashLoop: true}}, []string{"rbd0: crash loop", "rbd1: crash loop"}},
	} {
		t.Run(name, func(t *testing.T) {
			p, files := newTestReporter(t, tt.news...)
			for _, c := range tt.news {
				p.changed(c)
			}
			texts := files()
			if len(texts) != len(tt.want) {
				t.Fatalf("%d reports, want %d:\n%s", len(texts), len(tt.want), strings.Join(texts, "\n"))
			}
			all := strings.Join(texts, "")
			for _, trigger := range tt.want {
				if !strings.Contains(all, "trigger = "+trigger+"\n") {
					t.Errorf("trigger %q is missing in\n%s", trigger, all)
				}
			}
			if name == "hung" && !strings.Contains(all, "rbd0.last.txt:\nSIGQUIT: quit\ngoroutine 1\n") {
				t.Errorf("the stacks are missing in\n%s", all)
			}
		})
	}
}

// A backend without a console, such as this very process, is reported by the kernel;
// one without a process is not found.
func TestBackendReport(t *testing.T) {
	p, _ := newTestReporter(t,
		supervisor.ChildStatus{Name: "rbd0", Role: supervisor.Worker, PID: os.Getpid()}, supervisor.ChildStatus{Name: "rbd1", Role: supervisor.Worker})
	r, err := p.backendReport(t.Context(), "test", "rbd0")
	if text := r.String(); err != nil || !strings.Contains(text, "why = nobody listens on") || !strings.Contains(text, "State = ") {
		t.Errorf("%v:\n%s", err, text)
	}
	for _, backend := range []string{"rbd1", "rbd2"} {
		if _, err := p.backendReport(t.Context(), "test", backend); !errors.Is(err, fault.NotFound) {
			t.Errorf("report of %s: %v", backend, err)
		}
	}
}

// Only so much of a crash is shown, in whole lines.
func TestTail(t *testing.T) {
	long := strings.Repeat("0123456789\n", crashShown)
	if got := tail(long); len(got) > crashShown || len(got) < crashShown-11 || !strings.HasPrefix(got, "0123456789\n") {
		t.Errorf("%d bytes, from %.20q", len(got), got)
	}
	if got := tail("short"); got != "short" {
		t.Error(got)
	}
}
