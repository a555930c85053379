package main

import (
	"context"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/config"
	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/driver/limit"
	"github.com/volumed/volumed/driver/mem"
	"github.com/volumed/volumed/driver/observe"
	"github.com/volumed/volumed/driver/rbd"
	"github.com/volumed/volumed/fault"
)

// openDriver connects the backend's driver, with its decorators around it; each
// call that has ended is handed to ended. No error is final: the section was found
// valid before, and a pool, a key or a file that is missing may be made while the
// worker waits.
func openDriver(ctx context.Context, b *config.Backend, log hclog.Logger, ended func(observe.Call)) (driver.Driver, error) {
	d, err := connectDriver(ctx, b, log)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "%w", err)
	}
	log = log.Named("driver")
	return limit.New(observe.New(d, log, ended), limit.Config{
		Slots: b.BackendNativeThreadsPoolSize, Control: controlSlots, Stats: statsSlots, Bulk: bulkSlots(b),
	}, log), nil
}

func connectDriver(ctx context.Context, b *config.Backend, log hclog.Logger) (driver.Driver, error) {
	if b.VolumeDriver == config.DriverMem {
		return mem.New(mem.NewWorld()), nil
	}
	return rbd.Open(ctx, rbd.Config{
		Name: b.VolumeBackendName, Cluster: b.RBDClusterName, ConfFile: b.RBDCephConf, User: b.RBDUser, Pool: b.RBDPool, ImagePools: b.ImageRBDAllow,
		SecretUUID: b.RBDSecretUUID, ChunkSize: b.RBDStoreChunkSize, CloneFormat: b.RBDCloneFormat,
		ConnectTimeout: b.RadosConnectTimeout, MaxSnapshots: b.RBDMaxSnapshotsPerImage, FlattenMinRate: b.RBDFlattenMinRate,
		// The worker tries again for ever, and says meanwhile what is away.
		ConnectRetries: 1,
		ExclusivePool:  b.RBDExclusiveCinderPool, DynamicCapacity: b.ReportDynamicTotalCapacity,
		ReservedPercentage: b.ReservedPercentage, MaxOverSubscriptionRatio: b.MaxOverSubscriptionRatio,
	}, log.Named("rbd"))
}
