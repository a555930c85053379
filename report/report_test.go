package report

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func source(title string, f func(ctx context.Context, s *Section) error) Source {
	return Source{title, func(ctx context.Context) (s Section, err error) { return s, f(ctx, &s) }}
}

// A section that fails, panics or hangs says so in its place; the others are there,
// and the report does not wait for longer than a section may take.
func TestOneBadSectionSparesTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		began := time.Now()
		r := Build(t.Context(), "rbd0", "test",
			source("Good", func(_ context.Context, s *Section) error { s.Add("a", 1); return nil }),
			source("Bad", func(_ context.Context, s *Section) error { s.Add("b", 2); return errors.New("no answer") }),
			source("Broken", func(context.Context, *Section) error { panic("ouch") }),
			source("Deaf", func(context.Context, *Section) error { <-release; return nil }),
			source("Late", func(ctx context.Context, s *Section) error { <-ctx.Done(); s.Add("c", 3); return ctx.Err() }),
		)
		if took := time.Since(began); took != Limit+graceToHear {
			t.Errorf("took %s", took)
		}
		close(release)
		text := r.String()
		for _, want := range []string{
			"a = 1\n", "error = no answer\nb = 2\n", "error = panic: ouch\n",
			"error = not done after 4.1s: what it asks hangs\n", "error = context deadline exceeded\nc = 3\n",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is missing in\n%s", want, text)
			}
		}
	})
}

// The frame is the one that programs know.
func TestFrame(t *testing.T) {
	r := Report{Subject: "rbd0", Trigger: "test", At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Sections: []Section{{
		Title: "Package", Fields: []Field{{"version", "1"}, {"two", "lines\nof text"}},
		Tables: []Table{{Title: "children", Columns: []string{"NAME", "STATE"}, Rows: [][]string{{"rbd0", "ready"}}}, {Title: "none", Columns: []string{"A"}}},
		Text:   "as it is",
	}}}
	line := strings.Repeat("=", 72)
	want := line + "\n" +
		"====" + strings.Repeat(" ", 24) + "Guru Meditation" + strings.Repeat(" ", 25) + "====\n" + line + "\n" +
		strings.Repeat("|", 72) + "\nsubject = rbd0\ntrigger = test\nat = 2026-01-02T03:04:05Z\n\n\n" +
		line + "\n====" + strings.Repeat(" ", 28) + "Package" + strings.Repeat(" ", 29) + "====\n" + line + "\n" +
		"version = 1\ntwo = lines\\nof text\nchildren:\n  NAME  STATE\n  rbd0  ready\nnone:\n  none\nas it is\n\n\n"
	if got := r.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	data, err := json.Marshal(r)
	var back Report
	if err != nil || json.Unmarshal(data, &back) != nil || back.String() != want {
		t.Errorf("JSON does not hold all of it: %v\n%s", err, data)
	}
}

func TestMaskReachesEverything(t *testing.T) {
	const secret = "geheim"
	inner := Section{
		Title: "S", Error: secret, Fields: []Field{{"a", secret}},
		Tables: []Table{{Columns: []string{"A"}, Rows: [][]string{{secret}}}}, Text: "x\n" + secret + "\ny",
	}
	r := Report{Trigger: secret, Sections: []Section{inner}, Processes: []Report{{Sections: []Section{inner}}}}
	r.Mask(func(s string) string { return strings.ReplaceAll(s, secret, "***") })
	if text := r.String(); strings.Contains(text, secret) || strings.Count(text, "***") != 9 {
		t.Errorf("%d masked:\n%s", strings.Count(text, "***"), text)
	}
}

// Two reports in the same second do not overwrite each other; nobody else may read
// them; only so many are kept of one subject.
func TestSave(t *testing.T) {
	p := Place{Dir: t.TempDir(), Program: "volumed", Keep: 3, Else: &bytes.Buffer{}}
	other := Report{Subject: "rbd1", At: time.Now().UTC()}
	if _, err := p.Save(other); err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(fmt.Sprintf(`^volumed_rbd%%2F0_gurumeditation_\d{14}_%d_\d+$`, os.Getpid()))
	at := time.Now().UTC()
	var paths []string
	for i := range 5 {
		path, err := p.Save(Report{Subject: "rbd/0", Trigger: fmt.Sprint(i), At: at})
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode() != 0o600 || !name.MatchString(filepath.Base(path)) {
			t.Errorf("%s: %v, %v", path, info, err)
		}
		when := at.Add(-time.Hour + time.Duration(i)*time.Second) // files of one moment have no order
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	left, err := filepath.Glob(filepath.Join(p.Dir, "*"))
	if err != nil || len(left) != 4 {
		t.Errorf("%d files are left: %v", len(left), left)
	}
	for i, path := range paths[2:] {
		text, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(text), fmt.Sprintf("trigger = %d\n", i+2)) {
			t.Errorf("report %d: %v\n%s", i+2, err, text)
		}
	}
}

// A report that cannot be filed is not lost.
func TestSaveElsewhere(t *testing.T) {
	for _, dir := range []string{"", filepath.Join(t.TempDir(), "absent")} {
		var out bytes.Buffer
		path, err := Place{Dir: dir, Keep: 1, Else: &out}.Save(Report{Subject: "rbd0"})
		if path != "" || (err != nil) != (dir != "") || !strings.Contains(out.String(), "subject = rbd0") {
			t.Errorf("in %q: %q, %v\n%s", dir, path, err, &out)
		}
	}
}

// Equal stacks are one group, whatever their arguments; the one that has waited
// longest comes first.
func TestGoroutines(t *testing.T) {
	const dump = `goroutine 1 [running]:
main.main()
	/src/main.go:10 +0x1d

goroutine 7 [chan receive, 2 minutes]:
main.wait(0xc000012345, {0x1, 0x2?}, ...)
	/src/main.go:20 +0x2a
created by main.main in goroutine 1
	/src/main.go:9 +0x3b

goroutine 9 [chan receive, 35 minutes]:
main.wait(0xc000099999, {0x3, 0x4?}, ...)
	/src/main.go:20 +0x2a
created by main.main in goroutine 1
	/src/main.go:9 +0x3b

goroutine 11 [syscall, 1 minutes, locked to thread]:
rbd._Cfunc_rbd_create(0x7f)
	_cgo_gotypes.go:99 +0x4d
`
	s := goroutines(dump, true)
	want := "2 goroutines [chan receive], waiting for 35 minutes: 7 9\nmain.wait()\n\t/src/main.go:20\ncreated by main.main\n\t/src/main.go:9\n\n" +
		"1 goroutine [syscall, locked to thread] IN C, waiting for 1 minutes: 11\nrbd._Cfunc_rbd_create()\n"
	if !strings.HasPrefix(s.Text, want) {
		t.Errorf("got\n%s", s.Text)
	}
	if got := fmt.Sprint(s.Fields); got != "[{goroutines 4} {in C 1} {different stacks 3} {note cut off after 64 MiB of stacks}]" {
		t.Error(got)
	}
	if text, cut := stacks(1000); !cut || len(text) != 1000 {
		t.Errorf("%d bytes, cut %v", len(text), cut)
	}
}

// This process tells of itself what is true.
func TestOwnProcess(t *testing.T) {
	r := Build(t.Context(), "test", "test", Package("volumed", "1.2.3", Field{"rpc", "1.0"}), Goroutines(), Runtime(), Threads(os.Getpid()), Files(os.Getpid()))
	text := r.String()
	for _, want := range []string{"version = 1.2.3\nrpc = 1.0\ngo = go1", "libc.so", "report.TestOwnProcess", "GOMAXPROCS = ", "COUNT  NAME", "anon_inode"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	for _, s := range r.Sections {
		if s.Error != "" {
			t.Errorf("%s: %s", s.Title, s.Error)
		}
	}
}

// A process that is stopped answers nothing; the kernel tells that it is.
func TestSilentProcess(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		text := Build(t.Context(), "rbd0", "test", Process(cmd.Process.Pid)...).String()
		if strings.Contains(text, "State = T (stopped)") && strings.Contains(text, "T (stopped)  do_signal_stop") || time.Now().After(deadline) {
			if !strings.Contains(text, "sleep  T (stopped)") || !strings.Contains(text, "open = ") {
				t.Errorf("got\n%s", text)
			}
			return
		}
	}
}
