package e2e

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"testing"

	"github.com/volumed/volumed/internal/testenv"
)

// An ordinary build has no crash points: not even their names are in it.
func TestOrdinaryBuildHasNoCrashPoints(t *testing.T) {
	for binary, want := range map[string]bool{testenv.Binary(t): false, matrixBinary(t): true} {
		text, err := os.ReadFile(binary)
		if err != nil {
			t.Fatal(err)
		}
		if got := bytes.Contains(text, []byte("rbd.create_image")); got != want {
			t.Errorf("%s has names of crash points: %v, want %v", binary, got, want)
		}
	}
	err := exec.Command(testenv.Binary(t), "crash-points").Run()
	var failed *exec.ExitError
	if !errors.As(err, &failed) || failed.ExitCode() != 64 {
		t.Errorf("crash-points of an ordinary build: %v, want exit code 64", err)
	}
}
