package main

import (
	"context"
	"io"
	"net/http"
	"runtime/debug"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/config"
	"github.com/volumed/volumed/metrics"
	"github.com/volumed/volumed/supervisor"
	"github.com/volumed/volumed/supervisor/lifeline"
)

// supervisorGC is the garbage that the supervisor keeps, in percent of what it uses: it
// is to stay small, and allocates hardly anything but for a scrape.
const supervisorGC = 25

// withMetrics runs the supervisor beside the page of its metrics.
func withMetrics(ctx context.Context, cfg *config.Config, s *supervisor.Supervisor, log hclog.Logger) error {
	debug.SetGCPercent(supervisorGC)
	ask := func(ctx context.Context, c supervisor.ChildStatus) (io.ReadCloser, error) {
		return lifeline.Console(cfg.Default.StatePath, c.PID).Open(ctx, http.MethodGet, lifeline.ConsoleMetrics, nil)
	}
	return withPage(ctx, cfg, frugal(metrics.Page(metrics.NewService(s, ask, version, log))), log, s.Run)
}

// frugal gives back to the system what an answer took: a page of all workers takes more
// than all the rest of the supervisor, and is made once in a while.
func frugal(page http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page.ServeHTTP(w, r)
		debug.FreeOSMemory()
	})
}

// withPage runs a role beside the page of its metrics, if there is to be one.
func withPage(ctx context.Context, cfg *config.Config, page http.Handler, log hclog.Logger, run func(context.Context) error) error {
	address := cfg.Default.MetricsListen
	if address == "" {
		return run(ctx)
	}
	return beside(ctx, func(ctx context.Context) { metrics.Serve(ctx, address, page, log) }, run)
}

// beside runs a role while serve goes on, also while the role drains.
func beside(ctx context.Context, serve func(context.Context), run func(context.Context) error) error {
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	var ended sync.WaitGroup
	ended.Go(func() { serve(serving) })
	defer ended.Wait()
	defer stop()
	return run(ctx)
}
