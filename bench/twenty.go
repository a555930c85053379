package main

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// measureTwenty: what changes volumes, by 20 callers, each of whom waits for his answer,
// beside 20 goroutines in librbd.
func measureTwenty(ctx context.Context, w *world) error {
	return w.beside(ctx, func(r *raw, s *service) error {
		var snapshots, extends, clones [2][]float64 // floor and ours
		for range w.runs {
			floor, ours, err := prepareTwenty(ctx, r, s)
			if err != nil {
				return err
			}
			for _, kind := range []struct {
				rates *[2][]float64
				floor func(i int) error
				ours  func(i int) error
			}{
				{&snapshots, floor.snapshot, ours.snapshot},
				{&extends, floor.extend, ours.extend},
				{&clones, floor.clone, ours.clone},
			} {
				for side, f := range []func(int) error{kind.floor, kind.ours} {
					rate, err := parallel(atOnce, rawJobs, f)
					if err != nil {
						return err
					}
					kind.rates[side] = append(kind.rates[side], rate)
				}
			}
		}
		what := fmt.Sprintf("%d at a time", rawJobs)
		w.table.rates("snapshots, "+what, snapshots[0], snapshots[1], "≥ 70 %")
		w.table.rates("extends, "+what, extends[0], extends[1], "≥ 70 %")
		w.table.rates("volumes from a snapshot, "+what, clones[0], clones[1], "≥ 70 %")
		return nil
	})
}

// changes are the three kinds of change; i says which of the volumes.
type changes struct {
	snapshot, extend, clone func(i int) error
}

// prepareTwenty makes volumes to change, and a snapshot to clone, for either side.
func prepareTwenty(ctx context.Context, r *raw, s *service) (floor, ours changes, err error) {
	run := uuid.NewString()
	name := func(i int) string { return fmt.Sprintf("raw-%s-%d", run, i) }
	if _, err := parallel(atOnce, rawJobs, func(i int) error { return r.create(name(i)) }); err != nil {
		return floor, ours, err
	}
	ids, _, err := s.createMany(ctx, atOnce, rpc.CreateVolumeRequest{Size: 1})
	if err != nil {
		return floor, ours, err
	}
	source, err := s.snapshot(ctx, ids[0])
	if err != nil {
		return floor, ours, err
	}
	floor = changes{
		snapshot: func(i int) error { return r.snapshot(name(i), "s") },
		extend:   func(i int) error { return r.extend(name(i), 2) },
		clone:    func(i int) error { return r.clone(name(0), "s", name(i)+"-clone") },
	}
	ours = changes{
		snapshot: func(i int) error {
			_, err := s.snapshot(ctx, ids[i])
			return err
		},
		extend: func(i int) error { return s.extend(ctx, ids[i], 2) },
		clone: func(int) error {
			_, err := s.create(ctx, rpc.CreateVolumeRequest{SnapshotID: source})
			return err
		},
	}
	return floor, ours, nil
}

// snapshot takes a snapshot and waits for it.
func (s *service) snapshot(ctx context.Context, volumeID string) (string, error) {
	reply, err := s.client.CreateSnapshot(ctx, services[0], rpc.CreateSnapshotRequest{VolumeID: volumeID}, rpc.CallOptions{Wait: wait})
	if err == nil && reply.Snapshot.Status != volume.Available {
		err = fmt.Errorf("snapshot %s is %s", reply.Snapshot.ID, reply.Snapshot.Status)
	}
	return reply.Snapshot.ID, err
}

// extend grows a volume to a size in GiB and waits for it.
func (s *service) extend(ctx context.Context, id string, size int64) error {
	reply, err := s.client.ExtendVolume(ctx, services[0], rpc.ExtendVolumeRequest{VolumeID: id, NewSize: size}, rpc.CallOptions{Wait: wait})
	if err == nil && reply.Volume.Size != size {
		err = fmt.Errorf("volume %s has %d GiB", id, reply.Volume.Size)
	}
	return err
}
