package main

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/volumed/volumed/config"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/supervisor"
)

// supervise is the role without a command: it starts all others.
func (a *app) supervise(ctx context.Context) error {
	src, cfg, err := a.load()
	if err != nil {
		return exit(err)
	}
	log, err := newLogger(cfg, "volumed")
	if err != nil {
		return exit(err)
	}
	warn(log, cfg.Warnings)
	s, err := supervisor.New(a.plan(src, cfg), log)
	if err != nil {
		return exit(err)
	}
	if err := s.Run(ctx); err != nil {
		return &exitError{supervisor.ExitCode(err), err}
	}
	return nil
}

// plan says what the supervisor runs: db-sync, the bus if none is configured,
// and a worker for every backend.
func (a *app) plan(src config.Sources, cfg *config.Config) supervisor.Config {
	snapshot := src.Encode()
	plan := supervisor.Config{
		StatePath:       cfg.Default.StatePath,
		GracefulTimeout: cfg.Default.GracefulShutdownTimeout,
		Parent:          a.parent,
		Policy:          policy(cfg.Launcher),
		Once:            []supervisor.Spec{{Name: "db-sync", Args: []string{"db-sync"}, Snapshot: snapshot}},
	}
	if cfg.NATS.URL == "" {
		plan.Bus = &supervisor.Spec{Name: "bus", Args: []string{"bus"}, Snapshot: snapshot}
	}
	for i := range cfg.Backends {
		b := &cfg.Backends[i]
		spec := supervisor.Spec{
			Name: b.Name, Args: []string{"worker", "--backend", b.Name}, Snapshot: snapshot,
			LockPath: lockPath(cfg, b),
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
		WatchdogTimeout: l.WatchdogTimeout,
	}
}
