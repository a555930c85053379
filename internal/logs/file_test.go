package logs

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/internal/virtual"
)

// later passes the time after which a write looks for its file again.
func later() { virtual.Pass(lookEvery) }

func lines(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for line := range strings.Lines(string(text)) {
		words = append(words, line[strings.LastIndexByte(line, ' ')+1:len(line)-1])
	}
	return strings.Join(words, " ")
}

// A log that is moved away or removed goes on in a new file of its name, by itself
// or at once when asked.
func TestFileFollowsItsName(t *testing.T) {
	dir := t.TempDir()
	path, old := filepath.Join(dir, "a.log"), filepath.Join(dir, "a.log.1")
	synctest.Test(t, func(t *testing.T) {
		l, stderr := open(t, Config{Path: path, Level: hclog.Info})
		defer l.Close()
		log := l.Logger("worker")
		log.Info("one")
		if err := os.Rename(path, old); err != nil {
			t.Fatal(err)
		}
		log.Info("two") // within the second
		later()
		log.Info("three")
		if got, moved := lines(t, path), lines(t, old); got != "three" || moved != "one two" {
			t.Errorf("%q and in the old file %q", got, moved)
		}
		if err := os.Rename(path, old); err != nil {
			t.Fatal(err)
		}
		l.Reopen()
		log.Info("four")
		if got, moved := lines(t, path), lines(t, old); got != "four" || moved != "three" {
			t.Errorf("%q and in the old file %q", got, moved)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		later()
		log.Info("five")
		if got := lines(t, path); got != "five" {
			t.Error(got)
		}
		if stderr.Len() > 0 {
			t.Errorf("on stderr: %s", stderr)
		}
	})
}

// Lines that the file does not take go to stderr, which says so once.
func TestFileCannotBeWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		l, stderr := open(t, Config{Path: filepath.Join(dir, "a.log"), Level: hclog.Info})
		defer l.Close()
		log := l.Logger("worker")
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			later()
			log.Info("one")
			log.Info("two")
		}
		if text := stderr.String(); strings.Count(text, "cannot be written") != 1 || strings.Count(text, "[INFO]") != 6 {
			t.Error(text)
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		later()
		log.Info("three")
		if got := lines(t, filepath.Join(dir, "a.log")); got != "three" {
			t.Error(got)
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	for _, cfg := range []Config{{Path: t.TempDir()}, {Levels: []string{"rpc=LOUD"}}} {
		if _, err := Open(cfg, &bytes.Buffer{}); err == nil {
			t.Errorf("%+v was opened", cfg)
		}
	}
}
