package main

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/config"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/local"
	"github.com/volumed/volumed/supervisor"
)

// supervise is the role without a command: it starts all others.
func (a *app) supervise(ctx context.Context) error {
	src, cfg, err := a.load()
	if err != nil {
		return exit(err)
	}
	log, err := a.newLogger(cfg, "volumed")
	if err != nil {
		return exit(err)
	}
	warn(log, cfg.Warnings)
	plan, rep := a.plan(src, cfg), a.newParentReporter(cfg, log)
	plan.Parent, plan.OnChange = a.parent, rep.changed
	plan.Reread = func() (supervisor.Config, error) { return a.reread(log) }
	s, err := supervisor.New(plan, log)
	if err != nil {
		return exit(err)
	}
	defer rep.watch(s.Status)()
	if err := runSupervisor(ctx, control{supervisor: s, app: a, cfg: cfg, rep: rep, log: log}); err != nil {
		return &exitError{supervisor.ExitCode(err), err}
	}
	return nil
}

// runSupervisor runs the supervisor, and beside it what answers its operators.
func runSupervisor(ctx context.Context, c control) error {
	return beside(ctx, func(ctx context.Context) { serveControl(ctx, c) }, func(ctx context.Context) error {
		return withMetrics(ctx, c.cfg, c.supervisor, c.log)
	})
}

// serveControl answers commands on the control socket. A service that cannot be
// asked still serves. It waits for the state path to be this supervisor's.
func serveControl(ctx context.Context, c control) {
	if err := c.supervisor.Alive(ctx); err != nil {
		return // another supervisor has the state path, or the end came first
	}
	socket := c.cfg.Launcher.ControlSocket
	l, err := local.Listen(ctx, socket)
	if err == nil {
		err = local.Serve(ctx, l, c.handler())
	}
	if err != nil {
		c.log.Error("commands are not answered", "socket", socket, "error", err)
	}
}

// reread is the plan by the configuration as it is now. Anything wrong in it is an
// error, also in the section of a single backend: nothing is half reloaded.
func (a *app) reread(log hclog.Logger) (supervisor.Config, error) {
	src, cfg, err := a.load()
	if err != nil {
		return supervisor.Config{}, err
	}
	for i := range cfg.Backends {
		if err := cfg.Backends[i].Err; err != nil {
			return supervisor.Config{}, fault.New(fault.Invalid, "%w", err)
		}
	}
	warn(log, cfg.Warnings)
	plan := a.plan(src, cfg)
	plan.Applied = func() {
		_ = a.logs.Configure(level(cfg), cfg.Default.DefaultLogLevels) // they are good, or there would be no cfg
		a.tuned.Store(cfg)
	}
	return plan, nil
}

// plan says what the supervisor runs: db-sync, the bus if none is configured,
// and a worker for every backend.
func (a *app) plan(src config.Sources, cfg *config.Config) supervisor.Config {
	snapshot := src.Encode()
	plan := supervisor.Config{
		StatePath:       cfg.Default.StatePath,
		GracefulTimeout: cfg.Default.GracefulShutdownTimeout,
		Policy:          policy(cfg.Launcher),
		Settings:        settings(cfg, ""),
		Once:            []supervisor.Spec{{Name: "db-sync", Args: []string{"db-sync"}, Snapshot: snapshot}},
	}
	if cfg.NATS.URL == "" {
		plan.Bus = &supervisor.Spec{Name: "bus", Args: []string{"bus"}, Snapshot: snapshot}
	}
	for i := range cfg.Backends {
		b := &cfg.Backends[i]
		spec := supervisor.Spec{
			Name: b.Name, Args: []string{"worker", "--backend", b.Name}, Snapshot: snapshot,
			LockPath: lockPath(cfg, b), Settings: settings(cfg, b.Name),
		}
		if b.Err != nil {
			spec.Err = fault.New(fault.Invalid, "%w", b.Err)
		}
		plan.Workers = append(plan.Workers, spec)
	}
	return plan
}

// lockPath is the file whose lock keeps a service from running twice on a host.
func lockPath(cfg *config.Config, b *config.Backend) string {
	name := strings.ReplaceAll(b.ServiceHost(cfg), "/", "%2F")
	return filepath.Join(cfg.Default.StatePath, name+".lock")
}

func policy(l config.Launcher) supervisor.Policy {
	return supervisor.Policy{
		RestartBurst: l.RestartBurst, RestartMin: l.RestartMin, RestartMax: l.RestartMax,
		LoyalAfter: l.LoyalAfter, CrashLoopDeaths: l.CrashLoopDeaths, ReadyTimeout: l.ReadyTimeout,
		MaxParallelInit: l.MaxParallelInit, OrphanGrace: l.OrphanGrace, KillAfter: l.KillAfter,
		WatchdogTimeout: l.WatchdogTimeout, WarmTimeout: l.WarmTimeout, RenewChanged: l.ReloadRestart == "changed",
	}
}
