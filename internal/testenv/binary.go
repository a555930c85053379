package testenv

import (
	"bytes"
	"encoding/json"
	"errors"
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
	return build(t, variant{name: "volumed", cgo: true, race: raceDetector(), tags: tags})
}

// QuickBinary is Binary without the race detector in any case, for tests that start hundreds of processes.
func QuickBinary(t testing.TB, tags ...string) string {
	t.Helper()
	return build(t, variant{name: "volumed", cgo: true, tags: tags})
}

// NextBinary is Binary of a version that is to come: the tree as it is now, with the changes of the files that are
// given, by their paths in the tree. A change of a file that there is not gets nothing to change.
func NextBinary(t testing.TB, changes map[string]func(text string) string) string {
	t.Helper()
	root, err := repoRoot()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for name, change := range changes {
		path := filepath.Join(root, name)
		text, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		replaced := filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(replaced, []byte(change(string(text))), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[path] = replaced
	}
	data, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return build(t, variant{name: "volumed", cgo: true, race: raceDetector(), overlay: path})
}

// Volumectl returns the path of a volumectl built from the tree as it is now: without cgo, as it is shipped.
func Volumectl(t testing.TB) string {
	t.Helper()
	return build(t, variant{name: "volumectl"})
}

// variant is one way to build a command.
type variant struct {
	name      string
	cgo, race bool
	tags      []string
	overlay   string // path of a file for go build -overlay
}

// build leaves the binary in a place that is kept between runs: go build does nothing when it is up to date.
func build(t testing.TB, v variant) string {
	t.Helper()
	root, err := repoRoot()
	if err != nil {
		t.Fatal(err)
	}
	args, tags := []string{"build"}, v.tags
	if v.cgo {
		tags = append([]string{cephTag(t, root)}, tags...)
	}
	if v.race {
		args = append(args, "-race")
	}
	place := strings.Join(append(args, tags...), "-")
	if v.overlay != "" {
		args, place = append(args, "-overlay", v.overlay), place+"-next"
	}
	path := filepath.Join(root, ".dev", place, v.name)
	unlock := lockDir(t, filepath.Dir(path))
	defer unlock()
	args = append(args, "-tags", strings.Join(tags, ","), "-o", path, "./cmd/"+v.name)
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	if !v.cgo {
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
