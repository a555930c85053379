package main

import (
	"context"
	"net/http"
	"os"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/config"
	"github.com/volumed/volumed/internal/local"
	"github.com/volumed/volumed/supervisor/lifeline"
	"github.com/volumed/volumed/worker"
)

// console answers questions about one worker, on a socket of its own: it has to
// answer when the work does not.
func console(w *worker.Worker) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /vitals", local.Handler(func(context.Context, struct{}) (worker.Vitals, error) { return w.Vitals(), nil }))
	return mux
}

// withConsole runs the worker beside its console. A console that cannot be opened
// keeps no backend down.
func withConsole(ctx context.Context, cfg *config.Config, w *worker.Worker, log hclog.Logger) error {
	answering, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := serveConsole(answering, cfg.Default.StatePath, console(w)); err != nil {
			log.Error("this process answers no questions about itself", "error", err)
		}
	}()
	err := w.Run(ctx)
	stop()
	<-ended
	return err
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
