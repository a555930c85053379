//go:build crashpoints

package crashpoint_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/volumed/volumed/internal/crashpoint"
)

// TestMain makes the test binary play a process that passes points.
func TestMain(m *testing.M) {
	if os.Getenv("CRASHPOINT_PLAY") == "" {
		os.Exit(m.Run())
	}
	ctx := crashpoint.With(context.Background(), "m", "step")
	crashpoint.Hit(context.Background(), "before") // outside of a step
	crashpoint.At("m", "accept", "before")
	for range 2 {
		crashpoint.Hit(ctx, "before")
		err := crashpoint.Around(ctx, "rbd.call", func() error { os.Stdout.WriteString("called\n"); return errors.ErrUnsupported })
		if !errors.Is(err, errors.ErrUnsupported) {
			os.Exit(1)
		}
	}
	os.Stdout.WriteString("through\n")
}

// play runs such a process, and returns what it wrote and whether it was killed.
func play(t *testing.T, env ...string) (out string, killed bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), "CRASHPOINT_PLAY=1"), env...)
	data, err := cmd.Output()
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	killed = status.Signaled() && status.Signal() == syscall.SIGKILL
	if err != nil && !killed {
		t.Fatal(err)
	}
	return string(data), killed
}

func TestDiesAt(t *testing.T) {
	for _, tt := range []struct {
		env  []string
		want string
	}{
		{nil, "called\ncalled\nthrough\n"},
		{[]string{"VOLUMED_CRASH_AT=m/accept/before"}, ""},
		{[]string{"VOLUMED_CRASH_AT=m/step/before/rbd.call"}, ""},
		{[]string{"VOLUMED_CRASH_AT=m/step/after/rbd.call"}, "called\n"},
		{[]string{"VOLUMED_CRASH_AT=m/step/before:2"}, "called\n"},
		{[]string{"VOLUMED_CRASH_AT=m/step/before:3"}, "called\ncalled\nthrough\n"},
		{[]string{"VOLUMED_CRASH_AT=m/step/before", "VOLUMED_GENERATION=1"}, ""},
		{[]string{"VOLUMED_CRASH_AT=m/step/before", "VOLUMED_GENERATION=2"}, "called\ncalled\nthrough\n"},
		{[]string{"VOLUMED_CRASH_AT=m/step"}, "called\ncalled\nthrough\n"},
	} {
		out, killed := play(t, tt.env...)
		if out != tt.want || killed == strings.Contains(out, "through") {
			t.Errorf("%q: wrote %q, killed %v; want %q", tt.env, out, killed, tt.want)
		}
	}
}

// arm writes the file of a point as its users do: whole or not at all.
func arm(t *testing.T, dir, point, action string) (file string) {
	t.Helper()
	file = filepath.Join(dir, strings.ReplaceAll(point, "/", "%"))
	if err := os.WriteFile(file+".new", []byte(action), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestArmedByAFileDiesOnce(t *testing.T) {
	dir := t.TempDir()
	arm(t, dir, "m/step/after/rbd.call", "")
	if out, killed := play(t, "VOLUMED_CRASH_DIR="+dir); out != "called\n" || !killed {
		t.Errorf("wrote %q, killed %v", out, killed)
	}
	if out, killed := play(t, "VOLUMED_CRASH_DIR="+dir); out != "called\ncalled\nthrough\n" || killed {
		t.Errorf("the next one wrote %q, killed %v", out, killed)
	}
}

func TestParentGoesFirst(t *testing.T) {
	dir := t.TempDir()
	arm(t, dir, "m/accept/before", "parent")
	cmd := exec.Command("sh", "-c", `"$0"; echo survived`, os.Args[0])
	cmd.Env = append(os.Environ(), "CRASHPOINT_PLAY=1", "VOLUMED_CRASH_DIR="+dir)
	out, err := cmd.Output()
	if err == nil || len(out) > 0 {
		t.Errorf("the parent ended by %v and wrote %q", err, out)
	}
}

func TestHold(t *testing.T) {
	dir := t.TempDir()
	file := arm(t, dir, "m/step/before", "hold")
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "CRASHPOINT_PLAY=1", "VOLUMED_CRASH_DIR="+dir)
	ended := make(chan string)
	go func() {
		out, err := cmd.Output()
		if err != nil {
			out = append(out, err.Error()...)
		}
		ended <- string(out)
	}()
	select {
	case out := <-ended:
		t.Fatalf("it did not wait; it wrote %q", out)
	case <-time.After(100 * time.Millisecond):
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if out := <-ended; out != "called\ncalled\nthrough\n" {
		t.Errorf("it wrote %q", out)
	}
}

func TestRecord(t *testing.T) {
	file := filepath.Join(t.TempDir(), "points")
	play(t, "VOLUMED_CRASH_RECORD="+file)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"m/accept/before", "m/step/before", "m/step/before/rbd.call", "m/step/after/rbd.call"}
	if got := strings.Fields(string(data)); !slices.Equal(got, want) {
		t.Errorf("recorded %q, want %q", got, want)
	}
}
