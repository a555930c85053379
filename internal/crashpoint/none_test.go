//go:build !crashpoints

package crashpoint_test

import (
	"os/exec"
	"strings"
	"testing"
)

// In an ordinary build every function disappears into its caller, and with it the
// names of the points: that nothing of them is in the binary is tested there
// (e2e). Here is why: the compiler says that it can.
func TestOrdinaryBuildsHaveNoPoints(t *testing.T) {
	out, err := exec.Command("go", "build", "-gcflags=-m", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for _, function := range []string{"With", "At", "Hit", "Around", "List"} {
		if !strings.Contains(string(out), "can inline "+function+"\n") {
			t.Errorf("%s cannot be inlined:\n%s", function, out)
		}
	}
}

// The tests of the other build, so that an ordinary run of the tests has them too.
func TestBuildWithPoints(t *testing.T) {
	if out, err := exec.Command("go", "test", "-count=1", "-tags", "crashpoints", ".").CombinedOutput(); err != nil {
		t.Errorf("go test -tags crashpoints: %v\n%s", err, out)
	}
}
