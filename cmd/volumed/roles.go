package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/oklog/run"
	"github.com/spf13/cobra"

	"github.com/volumed/volumed/internal/bus"
	"github.com/volumed/volumed/store"
)

// untilStopped runs a role until the process is asked to stop, or its parent has
// died; the role's context ends then. Further signals change nothing: how long the
// work may take to end is decided by the drain timeout and by the parent.
func (a *app) untilStopped(ctx context.Context, rep *reporter, role func(context.Context) error) error {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM, syscall.SIGINT)
	return a.until(ctx, asked, rep, role)
}

// untilReleased is untilStopped for the bus. Under a supervisor it does not hear
// signals, which Ctrl-C and init systems send to everybody at once: workers need
// the bus until they have answered, and the supervisor knows when that is.
func (a *app) untilReleased(ctx context.Context, rep *reporter, role func(context.Context) error) error {
	if !a.parent.Supervised() {
		return a.untilStopped(ctx, rep, role)
	}
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT)
	return a.until(ctx, nil, rep, role)
}

func (a *app) until(ctx context.Context, asked <-chan os.Signal, rep *reporter, role func(context.Context) error) (err error) {
	defer a.hear(rep.make)()
	signal.Ignore(syscall.SIGHUP)
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	var g run.Group
	g.Add(func() error {
		err = role(ctx)
		return err
	}, func(error) { cancel() })
	g.Add(func() error {
		select {
		case <-asked:
		case <-a.parent.Died():
		case <-ended:
		}
		return nil
	}, func(error) { close(ended) })
	_ = g.Run() // whoever ends first, what counts is how the role ended
	return err
}

func (a *app) busCommand() *cobra.Command {
	return &cobra.Command{
		Use: "bus", Args: cobra.NoArgs,
		Short: "Run the message bus of this host, for use without an external NATS server",
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, cfg, err := a.load()
			if err != nil {
				return exit(err)
			}
			log, err := a.newLogger(cfg, "bus")
			if err != nil {
				return exit(err)
			}
			return exit(a.untilReleased(cmd.Context(), a.plainReporter(cfg, log, "bus"), func(ctx context.Context) error {
				return bus.Run(ctx, bus.Config{StatePath: cfg.Default.StatePath, Listen: cfg.NATS.Listen}, a.parent.Ready, log)
			}))
		},
	}
}

func (a *app) dbSyncCommand() *cobra.Command {
	return &cobra.Command{
		Use: "db-sync", Args: cobra.NoArgs,
		Short: "Bring the database to the schema of this version",
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, cfg, err := a.load()
			if err != nil {
				return exit(err)
			}
			log, err := a.newLogger(cfg, "db-sync")
			if err != nil {
				return exit(err)
			}
			if err := os.MkdirAll(cfg.Default.StatePath, 0o750); err != nil {
				return exit(err)
			}
			return exit(a.untilStopped(cmd.Context(), a.plainReporter(cfg, log, "db-sync"), func(ctx context.Context) error {
				ctx, cancel := context.WithTimeout(ctx, cfg.Launcher.DBSyncTimeout)
				defer cancel()
				return store.Migrate(ctx, cfg.Database.Connection.Reveal(), log)
			}))
		},
	}
}
