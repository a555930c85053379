package worker

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/internal/crashpoint"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// fencePredecessor shuts the connections of the process before out of the
// cluster, if that process is known to be dead. What it had open is free then;
// else the first repeat of its work would wait half a minute for the cluster to
// notice. It is a matter of speed only, so a failure is told and nothing more.
func (w *Worker) fencePredecessor(ctx context.Context) {
	addrs := w.condemned()
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

// unfenced returns what the row keeps beside our own addresses: those that are still to
// be fenced, here or at another cluster. Should this process die before it has done so,
// its successor does it. One that may be living is left to the successor altogether.
func (w *Worker) unfenced() []string {
	left := w.before.CephAddrs
	if w.attempted.Load() && w.owed.none() {
		if w.dead() {
			return nil
		}
		left, _ = w.before.Addrs()
	}
	if w.ended() {
		return left
	}
	return volume.Elsewhere(left)
}

// ended reports whether the process before is known to have ended: it ran on this machine
// in this boot, where its lock was free.
func (w *Worker) ended() bool { return w.before.Node == w.cfg.Node && w.cfg.Node != "" }

// dead reports whether the process before is known at least to have no right to write any
// more: it has ended, has said that it stops, or has been silent for service_down_time.
func (w *Worker) dead() bool {
	return w.ended() || w.before.Phase == volume.Stopped || w.before.Age > w.live().ServiceDownTime
}

// condemned returns the addresses that may be fenced: of the process before if it is dead,
// and of those elsewhere that had lost the service to it.
func (w *Worker) condemned() []string {
	here, away := w.before.Addrs()
	if !w.dead() {
		return away
	}
	return append(here, away...)
}

// harmless reports whether all whose addresses may be fenced are known to have ended. Of
// those that ran elsewhere nobody knows it, whoever was killed here in between.
func (w *Worker) harmless() bool {
	_, away := w.before.Addrs()
	return w.ended() && len(away) == 0
}

// owed are the migrations to other clusters that were taken over and whose connections
// there are not fenced yet. That is done when this process comes there, too.
type owed struct {
	mu    sync.Mutex
	known bool
	ops   map[string]bool // by id
}

// none reports whether nothing is owed.
func (o *owed) none() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.known && len(o.ops) == 0
}

func (o *owed) has(id string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ops[id]
}

func (o *owed) settle(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.ops, id)
}

// owe notes which of the operations that were taken over had connections to other clusters.
func (w *Worker) owe(ops []volume.Operation) {
	w.owed.mu.Lock()
	defer w.owed.mu.Unlock()
	w.owed.known, w.owed.ops = true, map[string]bool{}
	copier, able := driver.As[driver.Copier](w.driver)
	if !able || len(w.condemned()) == 0 {
		return
	}
	here, _ := copier.Place()
	for _, op := range ops {
		var m migration
		if op.Method == rpc.MethodMigrateVolume && json.Unmarshal(op.Args, &m) == nil && m.Dest.Cluster != here {
			w.owed.ops[op.ID] = true
		}
	}
}

// fenceThere shuts the connections of the process before out of another cluster, for
// an operation that had some there. A process that was only silent may come back and write on into the copy, which is
// somebody's volume by then: so there it is more than a matter of speed.
func (w *Worker) fenceThere(ctx context.Context, id string, to driver.Driver) error {
	fencer, able := driver.As[driver.Fencer](to)
	if !able || !w.owed.has(id) {
		return nil
	}
	addrs := w.condemned()
	err := fencer.Fence(crashpoint.With(ctx, "service", "fence"), addrs)
	switch {
	case err == nil:
		w.log.Info("fenced the connections of the process before at another cluster", "addrs", addrs)
	case w.harmless():
		w.log.Warn("connections of the process before are not fenced at another cluster; what it had open is free in half a minute",
			"addrs", addrs, "error", err)
	default:
		return err
	}
	w.owed.settle(id)
	return nil
}
