package metrics

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/internal/local"
)

// listenAgain is how long after a failure the address is tried again.
const listenAgain = 5 * time.Second

// Serve answers on the address until ctx ends. An address that cannot be had keeps
// nothing else from working: that is logged once, and tried again.
func Serve(ctx context.Context, address string, h http.Handler, log hclog.Logger) {
	serve(ctx, address, h, log, listenAgain)
}

func serve(ctx context.Context, address string, h http.Handler, log hclog.Logger, again time.Duration) {
	complained := false
	for ctx.Err() == nil {
		err := serveOnce(ctx, address, h, log)
		if err == nil {
			return
		}
		if !complained {
			log.Error("metrics are not served; trying again", "address", address, "error", err)
			complained = true
		}
		select {
		case <-time.After(again):
		case <-ctx.Done():
		}
	}
}

func serveOnce(ctx context.Context, address string, h http.Handler, log hclog.Logger) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	log.Info("metrics are served", "address", l.Addr().String())
	return local.Serve(ctx, l, h)
}
