package metrics

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Source is what a page shows: *Worker or *Service.
type Source interface {
	prometheus.Gatherer
	// Alive returns nil when the process makes progress, and why not otherwise. It
	// may wait until the end of ctx.
	Alive(ctx context.Context) error
	// Unready tells what is not ready, a line each; nothing means that all is.
	Unready() []string
}

// aliveTimeout is how long a probe waits for a sign of life.
const aliveTimeout = time.Second

// Page answers GET /metrics, and for probes /livez and /readyz: 200 for yes, 503
// with the reasons for no.
func Page(s Source) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", exposition(s))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), aliveTimeout)
		defer cancel()
		if err := s.Alive(ctx); err != nil {
			say(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		say(w, http.StatusOK, "alive")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if not := s.Unready(); len(not) > 0 {
			say(w, http.StatusServiceUnavailable, strings.Join(not, "\n"))
			return
		}
		say(w, http.StatusOK, "ready")
	})
	return mux
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	fmt.Fprintln(w, text)
}

// exposition serves the metrics. They are not compressed: who reads them is on this
// machine, and a compressor would take a megabyte in a supervisor of ten.
func exposition(g prometheus.Gatherer) http.Handler {
	return promhttp.HandlerFor(g, promhttp.HandlerOpts{DisableCompression: true, CoalesceGather: true})
}
