package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/config"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/local"
	"github.com/volumed/volumed/metrics"
	"github.com/volumed/volumed/report"
	"github.com/volumed/volumed/supervisor/lifeline"
	"github.com/volumed/volumed/worker"
)

// console answers questions about one worker, on a socket of its own: it has to
// answer when the work does not.
type console struct {
	app     *app
	worker  *worker.Worker
	metrics *metrics.Worker
	rep     *reporter
	log     hclog.Logger
}

func (c console) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET "+lifeline.ConsoleVitals, local.Handler(func(context.Context, struct{}) (worker.Vitals, error) { return c.worker.Vitals(), nil }))
	mux.Handle("GET "+lifeline.ConsoleMetrics, c.metrics.Metrics())
	mux.Handle("POST "+lifeline.ConsoleConfig, local.Handler(c.tune))
	mux.Handle("POST "+lifeline.ConsoleLogLevel, local.Handler(c.app.setLevel))
	mux.HandleFunc("GET "+lifeline.ConsoleReport, func(out http.ResponseWriter, r *http.Request) {
		sendReport(out, c.rep.build(r.Context(), "console"), r.FormValue("format"))
	})
	return mux
}

// tune takes over what can be changed in a running worker.
func (c console) tune(_ context.Context, t lifeline.Tuning) (struct{}, error) {
	src, err := config.DecodeSources(t.Snapshot)
	if err != nil {
		return struct{}{}, err
	}
	cfg, err := config.Parse(src)
	if err != nil {
		return struct{}{}, fault.New(fault.Invalid, "%w", err)
	}
	if err := c.app.logs.Configure(level(cfg), cfg.Default.DefaultLogLevels); err != nil {
		return struct{}{}, err
	}
	c.worker.Tune(liveConfig(cfg))
	c.app.tuned.Store(cfg)
	return struct{}{}, nil
}

// sendReport answers with a report as text, or as JSON if that is asked for.
func sendReport(out http.ResponseWriter, r report.Report, format string) {
	switch format {
	case "", "text":
		out.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(out, r.String()) // the caller may have gone away
	case "json":
		out.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(out).Encode(r)
	default:
		local.Refuse(out, fault.New(fault.Invalid, "no format %q of reports: text or json", format).WithField("format"))
	}
}

// withConsole runs the worker beside its console. A console that cannot be opened
// keeps no backend down.
func withConsole(ctx context.Context, cfg *config.Config, c console) error {
	return beside(ctx, func(ctx context.Context) {
		if err := serveConsole(ctx, cfg.Default.StatePath, c.handler()); err != nil {
			c.log.Error("this process answers no questions about itself", "error", err)
		}
	}, c.worker.Run)
}

func serveConsole(ctx context.Context, statePath string, h http.Handler) error {
	if err := os.MkdirAll(lifeline.RunDir(statePath), 0o700); err != nil {
		return err
	}
	l, err := local.Listen(ctx, lifeline.ConsolePath(statePath, os.Getpid()))
	if err != nil {
		return err
	}
	return local.Serve(ctx, l, h)
}
