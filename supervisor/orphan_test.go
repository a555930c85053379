package supervisor

import (
	"bytes"
	"path/filepath"
	"strings"
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
