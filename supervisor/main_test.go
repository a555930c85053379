package supervisor

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/volumed/volumed/supervisor/lifeline"
)

// TestMain plays a child, or a whole supervisor, when this binary is started
// again with the name of a role.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		os.Exit(play(os.Args[1], os.Args[2:]))
	}
	// Without this every child built with -race takes a second to end.
	os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	goleak.VerifyTestMain(m)
}

func play(role string, args []string) int {
	parent, err := lifeline.FromEnv()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return lifeline.ExitUsage
	}
	defer parent.Close()
	if role == "supervise" {
		return playSupervisor(parent, args)
	}
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, syscall.SIGTERM, syscall.SIGINT)
	switch role {
	case "serve": // a good worker
		parent.Ready()
		select {
		case <-terminate:
		case <-parent.Died():
		}
		return lifeline.ExitStopped
	case "configured": // says what it was given
		data, _, err := parent.Snapshot()
		parent.State(lifeline.Degraded, fmt.Sprintf("%s %v %s %v", data, err, os.Getenv("EXTRA"), parent.Go(context.Background())))
		<-terminate
		return lifeline.ExitStopped
	case "term": // does not look at its lifeline
		parent.Ready()
		<-terminate
		return lifeline.ExitStopped
	case "succeed":
		return lifeline.ExitStopped
	case "refuse":
		parent.State(lifeline.Init, "rbd_pool is not set")
		return lifeline.ExitConfig
	case "panic":
		panic("broken at start")
	case "die": // as soon as it has served
		parent.Ready()
		return lifeline.ExitError
	case "job": // drains until the named pipe says that the job is done
		parent.Ready()
		<-terminate
		parent.Stopping()
		job, err := os.Open(args[0])
		if err != nil {
			return lifeline.ExitError
		}
		if _, err := io.ReadAll(job); err != nil {
			return lifeline.ExitError
		}
		return lifeline.ExitStopped
	case "ignore": // does not end on TERM
		parent.Status("flatten of vol-1")
		parent.Ready()
		select {}
	case "busy": // does not look at anything
		parent.Ready()
		for { //nolint:staticcheck // SA5002: to burn a core without looking at anything is its part
		}
	case "deadlock": // beats once
		parent.Beat()
		parent.Ready()
		select {}
	}
	fmt.Fprintln(os.Stderr, "no such role:", role)
	return lifeline.ExitUsage
}

// playSupervisor runs a supervisor over children of the given roles, under
// args[0], and prints every change.
func playSupervisor(parent *lifeline.Parent, args []string) int {
	grace, err := time.ParseDuration(os.Getenv("ORPHAN_GRACE"))
	if err != nil {
		grace = 200 * time.Millisecond
	}
	cfg := Config{
		StatePath:       args[0],
		GracefulTimeout: time.Minute,
		Policy:          Policy{OrphanGrace: grace},
		Parent:          parent,
		OnChange: func(c ChildStatus) {
			fmt.Printf("%s %s %d\n", c.Name, c.State, c.PID)
		},
	}
	for i, role := range args[1:] {
		cfg.Workers = append(cfg.Workers, Spec{
			Name:     fmt.Sprint("rbd", i),
			Args:     strings.Fields(role),
			LockPath: fmt.Sprintf("%s/rbd%d.lock", args[0], i),
		})
	}
	s, err := New(cfg, hclog.New(&hclog.LoggerOptions{Output: os.Stderr, Level: hclog.Debug}))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-parent.Died()
		cancel()
	}()
	if err == nil {
		err = s.Run(ctx)
	}
	if err != nil {
		fmt.Println("error:", err)
	}
	return ExitCode(err)
}
