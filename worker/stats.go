package worker

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// statsCache holds the last report of the backend's capabilities.
type statsCache struct {
	mu   sync.Mutex
	last rpc.CapabilitiesReply
}

func (c *statsCache) get() rpc.CapabilitiesReply {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

func (c *statsCache) set(r rpc.CapabilitiesReply) {
	c.mu.Lock()
	c.last = r
	c.mu.Unlock()
}

// statistics reports the capabilities, at once and at every interval.
func (w *Worker) statistics(ctx context.Context) {
	w.report(ctx)
	w.every(ctx, func(l Live) time.Duration { return l.StatsInterval }, func() { w.report(ctx) })
}

// report asks the backend, keeps the answer and publishes it.
func (w *Worker) report(ctx context.Context) {
	r, err := w.capabilities(ctx)
	if ctx.Err() != nil {
		return
	}
	const key = "capabilities"
	if err != nil {
		w.told.Note(key, hclog.Warn, "capabilities not known", "error", err)
		return
	}
	w.told.End(key)
	if err := w.events.PublishStats(ctx, w.cfg.Host, r); err != nil {
		w.log.Debug("capabilities not published", "error", err)
	}
}

// lastCapabilities returns the last report, or the first if there was none.
func (w *Worker) lastCapabilities(ctx context.Context) (rpc.CapabilitiesReply, error) {
	if last := w.stats.get(); !last.Timestamp.IsZero() {
		w.backendState(&last.Capabilities) // it may be down since
		return last, nil
	}
	return w.capabilities(ctx)
}

// capabilities asks the backend now.
func (w *Worker) capabilities(ctx context.Context) (rpc.CapabilitiesReply, error) {
	stats, err := w.driver.Stats(ctx)
	if err != nil {
		return rpc.CapabilitiesReply{}, err
	}
	if stats.AllocatedCapacityGB, err = w.store.AllocatedGB(ctx, w.cfg.Host); err != nil {
		return rpc.CapabilitiesReply{}, err
	}
	if err := w.countCached(ctx); err != nil {
		return rpc.CapabilitiesReply{}, err
	}
	r := rpc.CapabilitiesReply{Host: w.cfg.Host, Capabilities: stats, Timestamp: time.Now().UTC()}
	w.stats.set(r)
	return r, nil
}

// publisher passes on what the engine has committed.
type publisher struct{ w *Worker }

func (p publisher) PublishOperation(op volume.Operation) {
	if p.w.deps.OnEnd != nil && op.Status.Terminal() {
		p.w.deps.OnEnd(op)
	}
	if err := p.w.events.PublishOperation(context.Background(), op); err != nil {
		p.w.log.Debug("operation not published", "operation", op.ID, "request_id", op.RequestID, "error", err)
	}
}

func (p publisher) PublishEvent(e volume.Event) {
	if err := p.w.events.Publish(context.Background(), e); err != nil {
		p.w.log.Debug("event not published", "what", e.What, "operation", e.OperationID, "error", err)
	}
}
