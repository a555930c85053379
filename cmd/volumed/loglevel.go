package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/spf13/cobra"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/supervisor"
	"github.com/volumed/volumed/supervisor/lifeline"
)

// logLevel asks for a level of the log, with nothing for the configured one, and
// tells which is in effect.
type logLevel struct {
	Level string `json:"level"`
}

// setLevel changes the level of this process.
func (a *app) setLevel(_ context.Context, l logLevel) (logLevel, error) {
	level, err := a.logs.SetLevel(l.Level)
	return logLevel{level}, err
}

// levelOrder asks for a level of one backend's process, or of all processes.
type levelOrder struct {
	Level   string `json:"level"`
	Backend string `json:"backend,omitempty"`
}

// levels are those in effect, by backend; the supervisor's own under its name. A
// process that does not answer has its error instead.
type levels struct {
	Levels map[string]string `json:"levels"`
	Silent map[string]string `json:"silent,omitempty"`
}

// supervisorName is what the supervisor is called among its children.
const supervisorName = "supervisor"

// setLevels changes the levels of running processes. It is not remembered: a process
// that is started later has the configured level.
func (c control) setLevels(ctx context.Context, o levelOrder) (levels, error) {
	reply := levels{Levels: map[string]string{}, Silent: map[string]string{}}
	if o.Backend == "" {
		own, err := c.app.setLevel(ctx, logLevel{o.Level})
		if err != nil {
			return levels{}, err
		}
		reply.Levels[supervisorName] = own.Level
	}
	found := o.Backend == ""
	for _, child := range c.supervisor.Status() {
		if child.Role != supervisor.Worker || child.PID == 0 || o.Backend != "" && o.Backend != child.Name {
			continue
		}
		found = true
		var now logLevel
		within, cancel := context.WithTimeout(ctx, vitalsTimeout)
		err := lifeline.Console(c.cfg.Default.StatePath, child.PID).Ask(within, http.MethodPost, lifeline.ConsoleLogLevel, logLevel{o.Level}, &now)
		cancel()
		switch {
		case fault.KindOf(err) == fault.Invalid:
			return levels{}, err
		case err != nil:
			reply.Silent[child.Name] = err.Error()
		default:
			reply.Levels[child.Name] = now.Level
		}
	}
	if !found {
		return levels{}, fault.New(fault.NotFound, "no process of backend %q runs here", o.Backend).WithHint("volumed status lists them")
	}
	return reply, nil
}

func (o *operator) logLevelCommand() *cobra.Command {
	var backend string
	cmd := &cobra.Command{
		Use: "log-level [LEVEL]", Args: cobra.MaximumNArgs(1),
		Short: "Change what running processes log",
		Long: `log-level sets the level (trace, debug, info, warn, error or off) of the supervisor
and of all workers, or of one, without a restart. Without LEVEL they go back to what
is configured; so does every process that is started later.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			want := levelOrder{Backend: backend}
			if len(args) > 0 {
				want.Level = args[0]
			}
			return o.logLevel(cmd.Context(), want)
		},
	}
	cmd.Flags().StringVar(&backend, "backend", "", "only the worker of this backend")
	return cmd
}

func (o *operator) logLevel(ctx context.Context, want levelOrder) error {
	var reply levels
	err := o.follow(ctx, func(ctx context.Context) error { return o.ask(ctx, http.MethodPost, pathLevel, want, &reply) })
	if err != nil {
		return err
	}
	if o.format == "json" {
		err = o.printJSON(reply)
	} else {
		for _, name := range slices.Sorted(maps.Keys(reply.Levels)) {
			fmt.Fprintf(o.out, "%s: %s\n", name, reply.Levels[name])
		}
		for _, name := range slices.Sorted(maps.Keys(reply.Silent)) {
			fmt.Fprintf(o.out, "%s: does not answer: %s\n", name, reply.Silent[name])
		}
	}
	if len(reply.Silent) > 0 {
		return &exitError{code: lifeline.ExitError}
	}
	return err
}
