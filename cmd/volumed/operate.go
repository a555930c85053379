package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/supervisor/lifeline"
)

func (o *operator) reloadCommand() *cobra.Command {
	return &cobra.Command{
		Use: "reload", Args: cobra.NoArgs,
		Short: "Bring the configuration into effect",
		Long: `reload has the running service read its configuration again. If anything is
wrong with it, nothing changes, and what is wrong is told with file and line. Else
new backends are started, those that were taken out drain and end, options that
can change in place do, and a backend whose own options changed is replaced by
another process without a gap. What concerns the whole service waits for its
restart; reload and status list it.

reload returns when all of this is done; to interrupt it stops only the waiting.
SIGHUP to the supervisor does the same and tells its log.

Exit code: 0 done, 1 the configuration is bad, or some backend could not be
brought to it, 3 no supervisor runs.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.reload(cmd.Context()) },
	}
}

func (o *operator) reload(ctx context.Context) error {
	var reply reloadReply
	err := o.follow(ctx, func(ctx context.Context) error {
		return o.ask(ctx, http.MethodPost, pathReload, struct{}{}, &reply)
	})
	if err != nil {
		return err
	}
	if o.format == "json" {
		err = o.printJSON(reply)
	} else {
		o.printReload(reply)
	}
	for _, b := range reply.Backends {
		if b.Error != "" {
			return &exitError{code: lifeline.ExitError}
		}
	}
	return err
}

func (o *operator) printReload(r reloadReply) {
	for _, b := range r.Backends {
		o.printOutcome(b)
	}
	if len(r.Pending) > 0 {
		fmt.Fprintf(o.out, "not in effect until a restart of the service: %s\n", strings.Join(r.Pending, ", "))
	}
}

func (o *operator) printOutcome(b outcome) {
	line := b.Backend + ": " + b.Outcome
	switch {
	case b.Error != "" && b.Before != 0 && b.PID == b.Before:
		line = b.Backend + ": failed, what was before goes on: " + b.Error
	case b.Error != "":
		line = b.Backend + ": failed: " + b.Error
	}
	if len(b.Options) > 0 {
		line += " (" + strings.Join(b.Options, ", ") + ")"
	}
	if b.PID != b.Before && b.PID != 0 {
		line += fmt.Sprintf(", pid %d", b.PID)
	}
	fmt.Fprintln(o.out, line)
}

func (o *operator) restartCommand() *cobra.Command {
	return &cobra.Command{
		Use: "restart BACKEND", Args: cobra.ExactArgs(1),
		Short: "Replace the process of a backend without a gap",
		Long: `restart starts another process for the backend, which takes over once it is set
up. One that does not run is started. If the new process does not come to be, the
one before goes on.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var done outcome
			err := o.follow(cmd.Context(), func(ctx context.Context) error {
				return o.ask(ctx, http.MethodPost, pathRestart, order{Backend: args[0]}, &done)
			})
			switch {
			case err != nil:
				return err
			case o.format == "json":
				return o.printJSON(done)
			}
			o.printOutcome(done)
			return nil
		},
	}
}

func (o *operator) startCommand() *cobra.Command {
	return &cobra.Command{
		Use: "start BACKEND", Args: cobra.ExactArgs(1),
		Short: "Start a backend that was stopped, has failed, or waits for its next start",
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.order(cmd.Context(), pathStart, order{Backend: args[0]})
		},
	}
}

func (o *operator) stopCommand() *cobra.Command {
	var fast bool
	cmd := &cobra.Command{
		Use: "stop [BACKEND]", Args: cobra.MaximumNArgs(1),
		Short: "Drain and stop a backend, or the whole service",
		Long: `stop has a backend end its work and keeps it from being started until "volumed
start". Without a backend it stops the service, as SIGTERM does; --fast as SIGINT.
It returns at once; status tells how far it is.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			what := order{Fast: fast}
			if len(args) > 0 {
				what.Backend = args[0]
				if fast {
					return fault.New(fault.Invalid, "--fast is for the whole service")
				}
			}
			return o.order(cmd.Context(), pathStop, what)
		},
	}
	cmd.Flags().BoolVar(&fast, "fast", false, "give the backends 5 s only")
	return cmd
}

// order sends a command that is answered at once.
func (o *operator) order(ctx context.Context, path string, what order) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	return o.ask(ctx, http.MethodPost, path, what, nil)
}
