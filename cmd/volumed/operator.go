package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/volumed/volumed/config"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/local"
	"github.com/volumed/volumed/supervisor"
	"github.com/volumed/volumed/supervisor/lifeline"
)

// exitNotRunning ends a command to a supervisor that is not there.
const exitNotRunning = 3

// operator is what the commands to a running supervisor share.
type operator struct {
	app    *app
	socket string
	format string
	out    io.Writer
	errs   io.Writer
}

// operatorCommands returns the commands to a running supervisor.
func (a *app) operatorCommands() []*cobra.Command {
	o := &operator{app: a, out: os.Stdout, errs: os.Stderr}
	all := []*cobra.Command{o.statusCommand(), o.reloadCommand(), o.restartCommand(), o.startCommand(), o.stopCommand(), o.logLevelCommand(), o.reportCommand()}
	for _, cmd := range all {
		cmd.Flags().StringVar(&o.socket, "socket", "", "control socket of the supervisor (default: that of the configuration)")
		cmd.Flags().StringVarP(&o.format, "output", "o", "table", "table or json")
		run := cmd.RunE
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if o.format != "table" && o.format != "json" {
				return fmt.Errorf("-o must be table or json")
			}
			return o.failed(run(cmd, args))
		}
	}
	return all
}

// failed gives an error of a command its exit code.
func (o *operator) failed(err error) error {
	var coded *exitError
	if err == nil || errors.As(err, &coded) {
		return err
	}
	code := lifeline.ExitError
	if errors.Is(err, local.ErrNobody) {
		code = exitNotRunning
	}
	if f := fault.Of(err); f.Hint != "" {
		err = fmt.Errorf("%w; %s", err, f.Hint)
	}
	return &exitError{code, err}
}

// ask sends a command to the supervisor.
func (o *operator) ask(ctx context.Context, method, path string, req, resp any) error {
	return o.with(func(c *local.Client) error { return c.Ask(ctx, method, path, req, resp) })
}

// open is ask for an answer that is passed on as it is.
func (o *operator) open(ctx context.Context, method, path string) (answer io.ReadCloser, err error) {
	err = o.with(func(c *local.Client) error {
		answer, err = c.Open(ctx, method, path, nil)
		return err
	})
	return answer, err
}

// with asks the supervisor of the configuration, or of --socket.
func (o *operator) with(ask func(*local.Client) error) error {
	socket := o.socket
	if socket == "" {
		var err error
		if socket, err = o.app.controlSocket(); err != nil {
			return fault.New(fault.Invalid, "%w", err).WithHint("correct it, or name the supervisor's --socket")
		}
	}
	err := ask(local.NewClient(socket))
	if errors.Is(err, local.ErrNobody) {
		return fault.New(fault.NotFound, "no supervisor runs here: %w", err).WithHint("start volumed, or name another --config-file or --socket")
	}
	return err
}

// controlSocket is the one of the configuration. It is asked also with a file that
// has mistakes, as long as it tells where that is: to reload such a file is how an
// operator learns of them.
func (a *app) controlSocket() (string, error) {
	src, err := a.sources()
	if err != nil {
		return "", err
	}
	cfg, err := config.Parse(src)
	if cfg.Launcher.ControlSocket != "" {
		return cfg.Launcher.ControlSocket, nil
	}
	return "", err
}

// follow waits for a command that can take long, and tells meanwhile what goes on.
func (o *operator) follow(ctx context.Context, command func(context.Context) error) error {
	done := make(chan error, 1)
	go func() { done <- command(ctx) }()
	const patience = 2 * time.Second
	tick := time.NewTicker(patience)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-tick.C:
			o.tellProgress(ctx)
		}
	}
}

// tellProgress says what has not come to rest.
func (o *operator) tellProgress(ctx context.Context) {
	var s serviceStatus
	if err := o.ask(ctx, http.MethodGet, pathStatus, nil, &s); err != nil {
		return // the command itself will tell
	}
	for _, c := range s.Children {
		switch {
		case c.Replacement != nil:
			fmt.Fprintf(o.errs, "%s: pid %d is %s for %s %s\n", c.Name, c.Replacement.PID, c.Replacement.State, age(c.Replacement.Since), c.Replacement.Reason)
		case c.Role == supervisor.Worker && c.State != lifeline.Ready:
			fmt.Fprintf(o.errs, "%s: %s for %s, %d operations in flight %s\n", c.Name, c.State, age(c.Since), c.InFlight, c.Reason)
		}
	}
}

func age(since time.Time) time.Duration { return time.Since(since).Round(time.Second) }

// printJSON prints a document.
func (o *operator) printJSON(doc any) error {
	enc := json.NewEncoder(o.out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(doc)
}
