package testenv

import (
	"os/exec"
	"strings"
	"testing"
)

// Promtool runs Prometheus's promtool with the text as its input, and returns what it printed; its failure, which is
// how it complains, ends the test.
func Promtool(t testing.TB, input string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatal("promtool is not installed. Install by: scripts/install-deps, or apt-get install --no-install-recommends prometheus")
	}
	cmd := exec.Command(path, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}
