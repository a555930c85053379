package lifeline

import (
	"fmt"
	"path/filepath"
)

// RunDir is where the sockets of a supervisor and its children are, below the
// state path. Only their user may enter it.
func RunDir(statePath string) string { return filepath.Join(statePath, "run") }

// Tuning asks a child to take over the live options of a configuration.
type Tuning struct {
	Snapshot []byte `json:"snapshot"`
}

// ConsolePath is the socket on which the child with that pid answers questions
// about itself.
func ConsolePath(statePath string, pid int) string {
	return filepath.Join(RunDir(statePath), fmt.Sprintf("child-%d.sock", pid))
}
