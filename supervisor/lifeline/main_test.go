package lifeline

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// TestMain plays a child when a test starts this binary again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], "child:") {
		os.Exit(playChild(strings.TrimPrefix(os.Args[1], "child:")))
	}
	// Without this every child built with -race takes a second to end.
	os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	goleak.VerifyTestMain(m)
}

func playChild(role string) int {
	p, err := FromEnv()
	if err != nil {
		fmt.Println(err)
		return ExitConfig
	}
	switch role {
	case "panic":
		panic("the child breaks on purpose")
	case "wait": // until asked for its stacks
		fmt.Println("up")
		select {}
	case "deaf": // ignores what it is told, spins, and never looks at its parent
		signal.Ignore(syscall.SIGTERM)
		p.Ready()
		for { //nolint:staticcheck // SA5002: to burn a core without looking at anything is its part
		}
	case "tell":
		data, ok, err := p.Snapshot()
		comm, _ := os.ReadFile("/proc/self/comm")
		leaked := len(os.Getenv(envSocket) + os.Getenv(envPipe))
		fmt.Printf("%s %v %v %d %s %v %v %d %s", data, ok, err, p.Generation(), p.Watchdog(), p.Supervised(), p.Locked(), leaked, comm)
	}
	p.State(Draining, "last words")
	p.Close()
	return ExitTempFail
}

// childCommand is the test binary in the role, with what it inherits.
func childCommand(role string, i Inheritance) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", "child:"+role)
	cmd.Env = i.Env(os.Environ())
	cmd.ExtraFiles = i.Files()
	return cmd
}
