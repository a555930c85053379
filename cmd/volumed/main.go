// Command volumed serves volumes on Ceph RBD: a supervisor that starts itself
// again once for every configured backend, and all the roles it starts.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/volumed/volumed/config"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/logs"
	"github.com/volumed/volumed/supervisor/lifeline"
	"github.com/volumed/volumed/worker"
)

// version is set by the build.
var version = "0.0.0-dev"

// app is what every role begins with.
type app struct {
	parent  *lifeline.Parent
	signals <-chan os.Signal // those for operators
	began   time.Time
	logs    *logs.Log                     // of the role, once it has one
	tuned   atomic.Pointer[config.Config] // the last that was taken over since the start
	files   []string
	dirs    []string
}

func main() { os.Exit(execute()) }

func execute() int {
	began, signals := time.Now(), catch()
	parent, err := lifeline.FromEnv()
	if err != nil {
		fmt.Fprintln(os.Stderr, "volumed: what the parent passed on cannot be used:", err)
		return lifeline.ExitError
	}
	defer parent.Close()
	a := &app{parent: parent, signals: signals, began: began}
	root := a.command()
	err = root.ExecuteContext(context.Background())
	var coded *exitError
	switch {
	case err == nil:
		return lifeline.ExitStopped
	case errors.As(err, &coded):
		if coded.err != nil {
			fmt.Fprintln(os.Stderr, "volumed:", coded.err)
		}
		return coded.code
	default: // cobra refused the command line
		fmt.Fprintf(os.Stderr, "volumed: %v\nRun '%s --help' for usage.\n", err, root.CommandPath())
		return lifeline.ExitUsage
	}
}

// exitError ends the process with a code. A nil err has been reported already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return fmt.Sprint(e.err) }
func (e *exitError) Unwrap() error { return e.err }

// exit returns err as the end of a role, its code by the kind of err.
func exit(err error) error {
	if errors.Is(err, worker.ErrReplace) {
		return &exitError{lifeline.ExitReplace, err}
	}
	switch fault.KindOf(err) {
	case "":
		return nil
	case fault.Invalid:
		return &exitError{lifeline.ExitConfig, err}
	case fault.Unavailable, fault.Conflict, fault.Busy:
		return &exitError{lifeline.ExitUnavailable, err}
	default:
		return &exitError{lifeline.ExitError, err}
	}
}

// command returns the tree of commands; without one volumed is the supervisor.
func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "volumed",
		Short: "Volumes on Ceph RBD, served over NATS",
		Long: `volumed runs the volume service of this host: one worker process for every
backend in enabled_backends, a message bus if none is configured, and the
supervisor that keeps them running. Without a command it is that supervisor.

Exit codes: 0 stopped as asked, 1 error, 64 wrong usage, 69 something is away or
taken, 78 configuration.`,
		Version: fmt.Sprintf("%s %s %s/%s", version, runtime.Version(), runtime.GOOS, runtime.GOARCH),
		Args:    cobra.NoArgs, SilenceErrors: true, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.supervise(cmd.Context()) },
	}
	root.PersistentFlags().StringArrayVar(&a.files, "config-file", nil, "configuration file; may be given more than once, later files win")
	root.PersistentFlags().StringArrayVar(&a.dirs, "config-dir", nil, "directory whose *.conf files are read in order; may be given more than once")
	root.AddCommand(a.operatorCommands()...)
	root.AddCommand(a.workerCommand(), a.busCommand(), a.dbSyncCommand(), a.checkConfigCommand(), crashPointsCommand())
	root.AddCommand(manualCommand())
	return root
}
