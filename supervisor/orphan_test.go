package supervisor

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/supervisor/lifeline"
)

// An orphan that cannot be ended is tried every second, and told of once.
func TestOrphanThatStaysIsToldOnce(t *testing.T) {
	var out bytes.Buffer
	s, err := New(Config{StatePath: "/state", Workers: backends("rbd0")}, hclog.New(&hclog.LoggerOptions{Output: &out}))
	if err != nil {
		t.Fatal(err)
	}
	held := &lifeline.HeldError{
		Path:   filepath.Join(t.TempDir(), "gone.lock"), // so nobody can be found to hold it
		Holder: lifeline.Holder{PID: 1 << 30, Supervisor: 1},
	}
	for range 100 {
		s.endOrphan(s.children[0], held)
	}
	if n := strings.Count(out.String(), "cannot be killed"); n != 1 {
		t.Errorf("told %d times:\n%s", n, &out)
	}
}

// Only who has inherited the lock from an earlier supervisor is killed for it, not who
// looks at the file, nor who has taken the lock and not noted it yet.
func TestOnlyAnHeirOfTheLockIsAnOrphan(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rbd0.lock")
	lock, err := lifeline.TakeLock(path)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	pager := sleeps(t, exec.Command("cat"), reader)
	heir := sleeps(t, exec.Command("cat"), lock.File())
	lock.Close()
	held := &lifeline.HeldError{Path: path, Holder: lifeline.Holder{PID: 1 << 30, Supervisor: os.Getpid()}}
	s, err := New(Config{StatePath: "/state", Workers: backends("rbd0")}, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	s.endOrphan(s.children[0], held)
	if err := heir(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the heir ended with %v", err)
	}

	taken := exec.Command("flock", path, "sh", "-c", "echo locked && exec cat")
	said, err := taken.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	foreground := sleeps(t, taken)
	if _, err := io.ReadFull(said, make([]byte, len("locked"))); err != nil {
		t.Fatal(err)
	}
	s.endOrphan(s.children[0], held)
	for name, end := range map[string]func() error{"the pager": pager, "a process in the foreground": foreground} {
		if err := end(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// sleeps starts a command that reads its input to the end; end closes that and returns
// how the command ended.
func sleeps(t *testing.T, cmd *exec.Cmd, files ...*os.File) (end func() error) {
	t.Helper()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.ExtraFiles = files
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end = sync.OnceValue(func() error {
		stdin.Close()
		return cmd.Wait()
	})
	t.Cleanup(func() { _ = end() }) // the test has looked at it, or has failed
	return end
}
