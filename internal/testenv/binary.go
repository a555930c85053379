package testenv

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
)

// Binary returns the path of a volumed built from the tree as it is now, with the race detector when the tests have
// it, and with tags such as crashpoints beside those that go-ceph needs.
func Binary(t testing.TB, tags ...string) string {
	t.Helper()
	return build(t, "volumed", true, raceDetector(), tags)
}

// QuickBinary is Binary without the race detector in any case, for tests that start hundreds of processes.
func QuickBinary(t testing.TB, tags ...string) string {
	t.Helper()
	return build(t, "volumed", true, false, tags)
}

// Volumectl returns the path of a volumectl built from the tree as it is now: without cgo, as it is shipped.
func Volumectl(t testing.TB) string {
	t.Helper()
	return build(t, "volumectl", false, false, nil)
}

// build leaves the binary in a place that is kept between runs: go build does nothing when it is up to date.
func build(t testing.TB, name string, cgo, race bool, tags []string) string {
	t.Helper()
	root, err := repoRoot()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"build"}
	if cgo {
		tags = append([]string{cephTag(t, root)}, tags...)
	}
	if race {
		args = append(args, "-race")
	}
	variant := strings.Join(append(args, tags...), "-")
	path := filepath.Join(root, ".dev", variant, name)
	unlock := lockDir(t, filepath.Dir(path))
	defer unlock()
	args = append(args, "-tags", strings.Join(tags, ","), "-o", path, "./cmd/"+name)
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	if !cgo {
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return path
}

func cephTag(t testing.TB, root string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(root, "scripts", "ceph-tag"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("scripts/ceph-tag: %v\n%s", err, stderr.Bytes())
	}
	return strings.TrimSpace(string(out))
}

func raceDetector() bool {
	info, _ := debug.ReadBuildInfo()
	for _, s := range info.Settings {
		if s.Key == "-race" {
			return s.Value == "true"
		}
	}
	return false
}

// lockDir makes dir and keeps the other packages' test processes from building into it at the same time.
func lockDir(t testing.TB, dir string) (unlock func()) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, ".lock"))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatalf("lock %s: %v", dir, err)
	}
	return func() { f.Close() }
}
