package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/volumed/volumed/config"
	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/image"
	"github.com/volumed/volumed/metrics"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/report"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/store"
	"github.com/volumed/volumed/supervisor/lifeline"
	"github.com/volumed/volumed/volume"
	"github.com/volumed/volumed/worker"
)

func (a *app) workerCommand() *cobra.Command {
	var backend string
	cmd := &cobra.Command{
		Use: "worker --backend NAME", Args: cobra.NoArgs,
		Short: "Serve one backend",
		Long: `worker serves one backend, in the foreground. The supervisor starts one for each;
it can also be run by hand or by systemd, one unit for each backend, once
"volumed db-sync" has been run.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return exit(a.work(cmd.Context(), backend)) },
	}
	cmd.Flags().StringVar(&backend, "backend", "", "section of the backend (required)")
	_ = cmd.MarkFlagRequired("backend")
	return cmd
}

func (a *app) work(ctx context.Context, name string) error {
	_, cfg, err := a.load()
	if err != nil {
		return err
	}
	b, ok := cfg.Backend(name)
	if !ok {
		return fault.New(fault.Invalid, "no backend %s in enabled_backends: %s", name, strings.Join(cfg.Default.EnabledBackends, ", "))
	}
	if b.Err != nil {
		return fault.New(fault.Invalid, "%w", b.Err)
	}
	log, err := a.newLogger(cfg, "worker", "backend", name)
	if err != nil {
		return err
	}
	release, err := a.lockBackend(cfg, b)
	if err != nil {
		return err
	}
	defer release()
	var w *worker.Worker
	rep := newReporter(cfg, log, name, func(ctx context.Context, trigger string) report.Report {
		return a.workerReport(ctx, cfg, name, trigger, ask(w))
	})
	m := metrics.NewWorker(name, version)
	w = worker.New(workerConfig(cfg, b), worker.Deps{
		OpenStore: func(ctx context.Context) (worker.Store, error) {
			return store.Open(ctx, cfg.Database.Connection.Reveal(), store.Options{})
		},
		OpenDriver: func(ctx context.Context) (driver.Driver, error) { return openDriver(ctx, b, log, m.CallEnded) },
		Connect:    func(ctx context.Context) (*rpc.Conn, error) { return connect(ctx, cfg, b, log) },
		OpenNeighbour: func(ctx context.Context, host string) (driver.Driver, error) {
			return openNeighbour(ctx, cfg, b, host, log)
		},
		Parent: parent{a.parent},
		OnEnd:  m.OperationEnded,
		Log:    log,
		Alarm: func(what string, v worker.Vitals, d worker.Details) {
			rep.alarm(what, func(ctx context.Context, trigger string) report.Report {
				return a.workerReport(ctx, cfg, name, trigger, given(v, d))
			})
		},
	})
	m.Watch(w.Vitals)
	return a.untilStopped(ctx, rep, func(ctx context.Context) error {
		run := func(ctx context.Context) error { return withConsole(ctx, cfg, console{a, w, m, rep, log}) }
		if a.parent.Supervised() { // who then shows this page with the others
			return run(ctx)
		}
		return withPage(ctx, cfg, metrics.Page(m), log, run)
	})
}

// lockBackend keeps a second worker of the same service from running on this
// host. Under our supervisor the lock is inherited.
func (a *app) lockBackend(cfg *config.Config, b *config.Backend) (release func(), err error) {
	if a.parent.Locked() {
		return func() {}, nil
	}
	if err := os.MkdirAll(cfg.Default.StatePath, 0o750); err != nil {
		return nil, err
	}
	lock, err := lifeline.TakeLock(lockPath(cfg, b))
	var held *lifeline.HeldError
	if errors.As(err, &held) {
		return nil, fault.New(fault.Busy, "backend %s is served by pid %d already", b.Name, held.Holder.PID)
	}
	if err != nil {
		return nil, err
	}
	return func() { _ = lock.Close() }, lock.Note(lifeline.Holder{PID: os.Getpid()})
}

// parent is the worker's view of whoever started it.
type parent struct{ *lifeline.Parent }

// Phase tells the phase in the words of the protocol.
func (p parent) Phase(phase volume.Phase, reason string) {
	state := lifeline.Init
	switch phase {
	case volume.Ready:
		state = lifeline.Ready
	case volume.Degraded:
		state = lifeline.Degraded
	case volume.Draining, volume.Stopped:
		state = lifeline.Draining
	case volume.Starting:
	}
	p.State(state, reason)
}

// Warm tells that the worker is set up to take over.
func (p parent) Warm() { p.State(lifeline.Warm, "") }

// pingInterval is how often a worker checks that its backend serves it.
const pingInterval = 10 * time.Second

// lostAfter is how long a call may be silent after an outage of its backend has
// ended: librados has sent everything again within seconds.
const lostAfter = time.Minute

func workerConfig(cfg *config.Config, b *config.Backend) worker.Config {
	keep := time.Duration(0)
	if b.EnableDeferredDeletion {
		keep = b.DeferredDeletionDelay
	}
	cluster := ""
	if cfg.Default.Cluster != "" {
		cluster = cfg.Default.Cluster + "@" + b.Name
	}
	return worker.Config{
		Host: b.ServiceHost(cfg), ClusterName: cluster, Pool: b.RBDPool, BackendName: backendName(b), AvailabilityZone: b.AvailabilityZone(cfg),
		Version: version, Node: node(cfg.Default.StatePath), EnableNewServices: cfg.Default.EnableNewServices,
		VolumeNameTemplate: cfg.Default.VolumeNameTemplate, SnapshotNameTemplate: cfg.Default.SnapshotNameTemplate,
		Live: liveConfig(cfg), PingInterval: pingInterval, LostAfter: lostAfter,
		MaxCloneDepth: b.RBDMaxCloneDepth, MaxSnapshots: b.RBDMaxSnapshotsPerImage, FlattenFromSnapshot: b.RBDFlattenVolumeFromSnapshot,
		Images: imageConfig(cfg),
		ImageCache: worker.ImageCache{
			Enabled: b.ImageVolumeCacheEnabled, MaxGB: int64(b.ImageVolumeCacheMaxSizeGB), MaxCount: b.ImageVolumeCacheMaxCount,
		},
		DeletedKeep: keep, Lanes: lanes(b), SharedPool: !b.RBDExclusiveCinderPool,
		SharedDatabase: !strings.HasPrefix(cfg.Database.Connection.Reveal(), "sqlite:"),
		RPC:            rpc.Config{PendingMessages: cfg.NATS.PendingMsgsLimit, PendingBytes: cfg.NATS.PendingBytesLimit},
	}
}

// spoolReserve is what images leave free on the file systems that they are spooled or
// written to: the database may be there, too.
const spoolReserve = 1 << 30

// imageConfig says what images may come from, and what they may cost.
func imageConfig(cfg *config.Config) image.Config {
	c := image.Config{
		Directories: cfg.Default.ImageFileAllow, Idle: cfg.Default.ImageIdleTimeout, MinRate: int64(cfg.Default.ImageMinRate) << 10,
		Spool: cfg.Default.ImageConversionDir, Reserve: spoolReserve,
		Memory: int64(cfg.Default.ImageConversionMemoryLimit) << 30, CPU: cfg.Default.ImageConversionCPULimit,
	}
	for _, item := range cfg.Default.ImageURLAllow {
		if network, err := config.ParseNetwork(item); err == nil { // as the options were checked
			c.Networks = append(c.Networks, network)
		}
	}
	return c
}

// liveConfig is what a running worker takes over from a reload.
func liveConfig(cfg *config.Config) worker.Live {
	return worker.Live{
		ReportInterval: cfg.Default.ReportInterval, ServiceDownTime: cfg.Default.ServiceDownTime,
		StatsInterval: cfg.Default.BackendStatsPollingInterval,
		Retention:     cfg.Default.OperationRetention, DrainTimeout: cfg.Default.GracefulShutdownTimeout,
	}
}

// laneQueue is how many operations of a lane may be unfinished: far more than
// a service has in a day, and still few enough to be taken over in seconds.
const laneQueue = 100_000

// node tells this machine in this boot, and the place of its locks: who ran there
// before and is not running now is dead. Empty where the kernel does not tell.
func node(statePath string) string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id)) + ":" + statePath
}

// Slots of the backend's native threads that are kept for short calls.
const (
	controlSlots = 2
	statsSlots   = 1
)

// bulkSlots is how many native threads long work may hold: half of those that
// are not kept for short calls.
func bulkSlots(b *config.Backend) int {
	return max(1, (b.BackendNativeThreadsPoolSize-controlSlots-statsSlots)/2)
}

// lanes divides the native threads of the backend, so that an operation that
// runs has a thread as well.
func lanes(b *config.Backend) map[operation.Lane]operation.Limits {
	bulk := bulkSlots(b)
	flatten := bulk
	if most := b.RBDConcurrentFlattenOperations; most > 0 {
		flatten = min(most, bulk)
	}
	return map[operation.Lane]operation.Limits{
		operation.Control: {Slots: b.BackendNativeThreadsPoolSize - statsSlots, Queue: laneQueue},
		operation.Work:    {Slots: b.BackendNativeThreadsPoolSize - controlSlots - statsSlots, Queue: laneQueue},
		operation.Flatten: {Slots: flatten, Queue: laneQueue, Yields: operation.Work},
		operation.Bulk:    {Slots: bulk, Queue: laneQueue, Yields: operation.Work},
		operation.Stats:   {Slots: statsSlots, Queue: laneQueue},
	}
}

// connect opens the connection to the bus: the configured one, or the one of
// this host.
func connect(ctx context.Context, cfg *config.Config, b *config.Backend, log hclog.Logger) (*rpc.Conn, error) {
	url := cfg.NATS.URL.Reveal()
	if url == "" {
		own, err := os.ReadFile(filepath.Join(cfg.Default.StatePath, "bus.url"))
		if err != nil {
			return nil, fault.New(fault.Unavailable, "no bus: %w", err).
				WithHint("set [nats] url, or start volumed, which runs a bus of its own")
		}
		url = strings.TrimSpace(string(own))
	}
	return rpc.Connect(ctx, rpc.ConnConfig{
		URL: url, Name: b.ServiceHost(cfg), Creds: cfg.NATS.Creds.Reveal(), NKey: cfg.NATS.NKey.Reveal(),
		TLSCA: cfg.NATS.TLSCA, TLSCert: cfg.NATS.TLSCert, TLSKey: cfg.NATS.TLSKey,
		ReconnectWait: cfg.NATS.ReconnectWait, ReconnectJitter: cfg.NATS.ReconnectJitter,
		PingInterval: cfg.NATS.PingInterval, PingMaxOut: cfg.NATS.PingMaxOut,
	}, log)
}
