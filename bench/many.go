package main

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/volumed/volumed/rpc"
)

// How many volumes one pool gets, how many of them are compared, and how many rows a
// service starts on.
const (
	manyVolumes = 10_000
	manyPart    = 1_000
	manyRows    = 100_000
)

// measureMany: whether a pool with many volumes is slower than an empty one, and lists
// of them.
func measureMany(ctx context.Context, w *world) error {
	c, err := w.startCluster(ctx)
	if err != nil {
		return err
	}
	defer c.stop()
	s, err := w.serve(ctx, c, "[backend_defaults]\nmax_over_subscription_ratio = 100000\n")
	if err != nil {
		return err
	}
	defer func() { _ = s.stop() }()
	var rates []float64
	for range manyVolumes / manyPart {
		rate, err := parallel(manyPart, rawJobs, func(int) error {
			_, err := s.create(ctx, rpc.CreateVolumeRequest{Size: 1})
			return err
		})
		if err != nil {
			return err
		}
		rates = append(rates, rate)
	}
	first, last := rates[0], rates[len(rates)-1]
	w.table.add(fmt.Sprintf("creates with %d volumes in the pool, beside the first %d", manyVolumes, manyPart),
		fmt.Sprintf("%.0f/s", first), fmt.Sprintf("%.0f/s", last), fmt.Sprintf("%.2f × the time", first/last), "≤ 1.1 ×")
	pages, err := s.pages(ctx)
	if err != nil {
		return err
	}
	w.table.add(fmt.Sprintf("a page of the list of %d volumes, p50 / p99", manyVolumes), "", round(median(pages))+" / "+round(p99(pages)), "", "≤ 20 ms")
	return nil
}

// pages reads the whole list, and returns how long each page took.
func (s *service) pages(ctx context.Context) (took []time.Duration, err error) {
	var req rpc.ListVolumesRequest
	for {
		begin := time.Now()
		page, err := s.client.ListVolumes(ctx, req)
		if err != nil {
			return nil, err
		}
		took = append(took, time.Since(begin))
		if page.Next == "" {
			return took, nil
		}
		req.Marker = page.Next
	}
}

// measureRows: the start of a service that has a hundred thousand volumes.
func measureRows(ctx context.Context, w *world) error {
	file, state, err := w.config(w.cluster, "")
	if err != nil {
		return err
	}
	s, _, err := w.start(ctx, file, state)
	if err != nil {
		return err
	}
	_, err = s.create(ctx, rpc.CreateVolumeRequest{Size: 1})
	if stopped := s.stop(); err == nil {
		err = stopped
	}
	if err != nil {
		return err
	}
	if err := s.multiply(ctx, manyRows); err != nil {
		return err
	}
	var took []time.Duration
	for range w.runs {
		s, start, err := w.start(ctx, file, state)
		if err != nil {
			return err
		}
		took = append(took, start)
		if err := s.stop(); err != nil {
			return err
		}
	}
	w.table.add(fmt.Sprintf("start to both backends answering, with %d volumes in the table", manyRows), "", round(median(took)), "", "≤ 1 s")
	return nil
}

// multiply copies the only volume of a service that is stopped, row by row.
func (s *service) multiply(ctx context.Context, n int) error {
	db, err := sql.Open("sqlite", "file:"+s.database())
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // temporary tables are those of a connection
	var columns string    // those that are written, not those that SQLite computes
	if err := db.QueryRowContext(ctx, "SELECT group_concat(name) FROM pragma_table_info('volumes')").Scan(&columns); err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, fmt.Sprintf(`
		CREATE TEMP TABLE one AS SELECT %[1]s FROM volumes;
		CREATE TEMP TABLE n AS WITH RECURSIVE c (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM c WHERE i < %[2]d) SELECT i FROM c;
		CREATE TEMP TABLE all_of_them AS SELECT one.* FROM one, n;
		UPDATE all_of_them SET id = printf('00000000-0000-4000-8000-%%012d', rowid), image_id = '';
		INSERT INTO volumes (%[1]s) SELECT * FROM all_of_them;`, columns, n))
	return err
}
