package worker

import (
	"context"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/crashpoint"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/volume"
)

// Versions that this worker writes into its row, for those who talk to it.
const (
	RPCVersion    = "1.0"
	ObjectVersion = "1.1"
)

// takeOver makes this process the one of its service. While another machine
// serves it, this one stands by: two that took over from each other in turn
// would serve nobody.
func (w *Worker) takeOver(ctx context.Context) error {
	for {
		served := false
		if err := w.retry(ctx, "database", func() (err error) {
			served, err = w.servedElsewhere(ctx)
			return err
		}); err != nil {
			return err
		}
		if !served {
			w.health.set("service", "")
			break
		}
		w.health.set("service", "another machine serves it; this one takes over when that stops, or is silent for "+w.live().ServiceDownTime.String())
		select {
		case <-time.After(w.live().ReportInterval):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return w.retry(ctx, "database", func() error {
		crashpoint.At("service", "take_over", "before")
		defer crashpoint.At("service", "take_over", "after")
		row, before, err := w.store.TakeOver(ctx, volume.Service{
			Node: w.cfg.Node, Host: w.cfg.Host, Binary: volume.Binary, Topic: volume.Binary, ClusterName: w.cfg.ClusterName,
			AvailabilityZone: w.cfg.AvailabilityZone, Disabled: !w.cfg.EnableNewServices,
			RPCCurrentVersion: RPCVersion, ObjectCurrentVersion: ObjectVersion, ReplicationStatus: "disabled",
		})
		w.fence, w.before = operation.Fence{Host: w.cfg.Host, Epoch: row.Epoch}, before
		return err
	})
}

// servedElsewhere reports whether another machine serves this service: its row
// was written from there, and not long ago.
func (w *Worker) servedElsewhere(ctx context.Context) (bool, error) {
	if !w.cfg.SharedDatabase || w.cfg.Node == "" {
		return false, nil
	}
	services, _, err := w.store.Services(ctx, volume.ServiceFilter{Host: w.cfg.Host})
	for _, s := range services {
		elsewhere := s.Node != "" && s.Node != w.cfg.Node
		if s.Host == w.cfg.Host && elsewhere && s.Phase != volume.Stopped && s.Age <= w.live().ServiceDownTime {
			return true, err
		}
	}
	return false, err
}

// sameDatabase is fault.Unavailable when a worker on the bus uses another
// database: any worker answers for all, so each would hide the other's volumes.
func (w *Worker) sameDatabase(ctx context.Context) error {
	peer, err := w.conn.Peer(ctx)
	if err != nil {
		w.log.Debug("no peer could be asked for its database", "error", err)
		return nil
	}
	if other := peer[metadataDatabase]; other != "" && other != w.store.ID() {
		return fault.New(fault.Unavailable, "%s on this bus uses the database %s, this worker %s", peer[metadataHost], other, w.store.ID()).
			WithHint("set [database] connection alike, or give each database a NATS account of its own")
	}
	return nil
}
