package worker

import (
	"context"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/internal/crashpoint"
)

// fencePredecessor shuts the connections of the process before out of the
// cluster, if that process is known to be dead: it ran on this machine in this
// boot, where its lock was free, or has been silent for service_down_time. What
// it had open is free then; else the first repeat of its work would wait half a
// minute for the cluster to notice. It is a matter of speed only, so a failure
// is told and nothing more.
func (w *Worker) fencePredecessor(ctx context.Context) {
	addrs := w.unfenced()
	fencer, able := driver.As[driver.Fencer](w.driver)
	if len(addrs) == 0 || !able {
		return
	}
	defer func() {
		w.attempted.Store(true)
		_ = w.beat(ctx) // the row names only the living again: no successor has to fence the dead once more
	}()
	if err := fencer.Fence(crashpoint.With(ctx, "service", "fence"), addrs); err != nil {
		w.log.Warn("connections of the process before are not fenced; what it had open is free in half a minute", "addrs", addrs, "error", err)
		return
	}
	w.log.Info("fenced the connections of the process before", "addrs", addrs)
}

// unfenced returns the addresses of the dead that are still to be fenced. They stay
// in the row so long, beside our own: should this process die before it has done
// so, its successor does it.
func (w *Worker) unfenced() []string {
	dead := w.before.Node == w.cfg.Node && w.cfg.Node != "" || w.before.Age > w.live().ServiceDownTime
	if !dead || w.attempted.Load() {
		return nil
	}
	return w.before.CephAddrs
}
