package lifeline

import (
	"fmt"
	"path/filepath"

	"github.com/volumed/volumed/internal/local"
)

// RunDir is where the sockets of a supervisor and its children are, below the
// state path. Only their user may enter it.
func RunDir(statePath string) string { return filepath.Join(statePath, "run") }

// Tuning asks a child to take over the live options of a configuration.
type Tuning struct {
	Snapshot []byte `json:"snapshot"`
}

// What a worker's console answers.
const (
	ConsoleVitals   = "/vitals"    // GET
	ConsoleMetrics  = "/metrics"   // GET
	ConsoleConfig   = "/config"    // POST a Tuning
	ConsoleLogLevel = "/log-level" // POST
	ConsoleReport   = "/report"    // GET, with format=text or json
)

// Console asks the child with that pid about itself.
func Console(statePath string, pid int) *local.Client {
	return local.NewClient(ConsolePath(statePath, pid))
}

// ConsolePath is the socket on which the child with that pid answers questions
// about itself.
func ConsolePath(statePath string, pid int) string {
	return filepath.Join(RunDir(statePath), fmt.Sprintf("child-%d.sock", pid))
}
