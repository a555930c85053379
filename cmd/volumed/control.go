package main

import (
	"context"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/config"
	"github.com/volumed/volumed/internal/local"
	"github.com/volumed/volumed/supervisor"
	"github.com/volumed/volumed/supervisor/lifeline"
	"github.com/volumed/volumed/worker"
)

// control answers the operator's commands to a running supervisor.
type control struct {
	supervisor *supervisor.Supervisor
	app        *app
	cfg        *config.Config // as it was at the start
	rep        *parentReporter
	log        hclog.Logger
}

// Paths of the control socket.
const (
	pathStatus  = "/status"
	pathReload  = "/reload"
	pathRestart = "/restart"
	pathStart   = "/start"
	pathStop    = "/stop"
	pathLevel   = "/log-level"
	pathReport  = "/report"
)

// order is a command about one backend, or, with none, about the service.
type order struct {
	Backend string `json:"backend,omitempty"`
	Fast    bool   `json:"fast,omitempty"`
}

func (c control) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET "+pathStatus, local.Handler(func(ctx context.Context, _ struct{}) (serviceStatus, error) { return c.status(ctx), nil }))
	mux.Handle("POST "+pathReload, local.Handler(func(ctx context.Context, _ struct{}) (reloadReply, error) {
		r, err := c.supervisor.Reload(ctx)
		return newReloadReply(r), err
	}))
	mux.Handle("POST "+pathRestart, local.Handler(func(ctx context.Context, o order) (outcome, error) {
		out, err := c.supervisor.Restart(ctx, o.Backend)
		return newOutcome(out), err
	}))
	mux.Handle("POST "+pathStart, local.Handler(func(ctx context.Context, o order) (struct{}, error) {
		return struct{}{}, c.supervisor.Start(ctx, o.Backend)
	}))
	mux.Handle("POST "+pathStop, local.Handler(func(ctx context.Context, o order) (struct{}, error) {
		if o.Backend == "" {
			return struct{}{}, c.supervisor.Shutdown(ctx, o.Fast, "by command")
		}
		return struct{}{}, c.supervisor.Stop(ctx, o.Backend)
	}))
	mux.Handle("POST "+pathLevel, local.Handler(c.setLevels))
	mux.HandleFunc("GET "+pathReport, c.report)
	return mux
}

// report answers with the report of one backend, or of all processes.
func (c control) report(out http.ResponseWriter, r *http.Request) {
	const trigger = "volumed report"
	backend := r.FormValue("backend")
	if backend == "" {
		sendReport(out, c.rep.report(r.Context(), trigger), r.FormValue("format"))
		return
	}
	made, err := c.rep.backendReport(r.Context(), trigger, backend)
	if err != nil {
		local.Refuse(out, err)
		return
	}
	sendReport(out, made, r.FormValue("format"))
}

// vitalsTimeout bounds how long a worker may take to tell its vitals.
const vitalsTimeout = time.Second

// status is the supervisor's view, with what the workers tell of themselves.
func (c control) status(ctx context.Context) serviceStatus {
	s := serviceStatus{PID: os.Getpid(), Version: version, Pending: c.supervisor.Pending()}
	children := c.supervisor.Status()
	s.Children = make([]childStatus, len(children))
	ctx, cancel := context.WithTimeout(ctx, vitalsTimeout)
	defer cancel()
	var asking sync.WaitGroup
	for i, child := range children {
		s.Children[i] = newChildStatus(child)
		if child.Role == supervisor.Worker && child.PID != 0 {
			asking.Go(func() { s.Children[i].ask(ctx, c.cfg.Default.StatePath) })
		}
	}
	asking.Wait()
	return s
}

// ask adds what the worker tells.
func (c *childStatus) ask(ctx context.Context, statePath string) {
	var v worker.Vitals
	if err := lifeline.Console(statePath, c.PID).Ask(ctx, http.MethodGet, lifeline.ConsoleVitals, nil, &v); err != nil {
		c.Silent = err.Error()
		return
	}
	c.Host, c.Epoch = v.Host, v.Epoch
	if !v.Heartbeat.IsZero() {
		c.HeartbeatAge = time.Since(v.Heartbeat).Seconds()
	}
	c.InFlight = len(v.Operations)
	for _, lane := range v.Lanes {
		c.Waiting += lane.Waiting
	}
}
