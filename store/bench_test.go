package store_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/volumed/volumed/internal/testenv"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/store"
	"github.com/volumed/volumed/store/storetest"
	"github.com/volumed/volumed/volume"
)

// benchmarkAcceptFinish is the bookkeeping of one create_volume: the two writes
// around the driver's work.
func benchmarkAcceptFinish(b *testing.B, url string) {
	db := storetest.Open(b, url)
	fence := storetest.TakeOver(b, db, "node@rbd0")
	b.ReportAllocs()
	var took []time.Duration
	for b.Loop() {
		begin := time.Now()
		acceptFinish(b, db, fence)
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

func acceptFinish(b *testing.B, db *store.DB, fence operation.Fence) {
	ctx := context.Background()
	op := storetest.NewOperation(fence)
	v := storetest.NewVolume(op.Resource.ID, fence.Host)
	err := db.Write(ctx, fence, func(tx operation.Tx) error { return storetest.Accept(tx, &op, &v) })
	if err != nil {
		b.Fatal(err)
	}
	v.Status, v.ImageID = volume.Available, uuid.NewString()
	op.Status, op.Progress = volume.Succeeded, 100
	err = db.Write(ctx, fence, func(tx operation.Tx) error { return storetest.Finish(tx, &op, &v, volume.Creating) })
	if err != nil {
		b.Fatal(err)
	}
}

func BenchmarkAcceptFinish(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) { benchmarkAcceptFinish(b, storetest.SQLite(b)) })
	b.Run("postgres", func(b *testing.B) { benchmarkAcceptFinish(b, testenv.Postgres(b)) })
}
