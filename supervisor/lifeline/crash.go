package lifeline

import (
	"fmt"
	"os"
	"runtime/debug"
)

// CrashOutput makes the Go runtime append the text of a crash, and the stacks
// that SIGQUIT asks for, to the file at path as well as to stderr. A child whose
// parent names a file has this done by [FromEnv].
func CrashOutput(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open crash output: %w", err)
	}
	defer f.Close() // the runtime keeps a duplicate
	if err := debug.SetCrashOutput(f, debug.CrashOptions{}); err != nil {
		return fmt.Errorf("set crash output %s: %w", path, err)
	}
	return nil
}
