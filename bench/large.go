package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/rpc"
)

// What is deleted: volumes of 1 TiB of which so many objects are written, and volumes
// with so many clones.
const (
	largeSize    = 1024 // GiB
	largeWritten = 10_000
	largeClones  = 100
)

// measureLargeDeletes: a delete takes as long for what is large, or has clones, as for
// what is empty; writes nothing to the clones; and the space comes back in the end. It
// fails where one of these is not so.
func measureLargeDeletes(ctx context.Context, w *world) error {
	r, err := openRaw(w.cluster, "volumes")
	if err != nil {
		return err
	}
	defer r.close()
	s, err := w.serve(ctx, w.cluster, "[backend_defaults]\nmax_over_subscription_ratio = 100000\n")
	if err != nil {
		return err
	}
	defer func() { _ = s.stop() }()
	var large, parents []time.Duration
	for range w.runs {
		took, err := s.deleteLarge(ctx, r)
		if err != nil {
			return err
		}
		large = append(large, took)
		if took, err = s.deleteParent(ctx, r); err != nil {
			return err
		}
		parents = append(parents, took)
	}
	slowest := func(times []time.Duration) string { return round(slices.Max(times)) }
	w.table.add(fmt.Sprintf("delete of 1 TiB with %d objects, slowest of %d", largeWritten, w.runs), "", slowest(large), "", "≤ 50 ms")
	w.table.add(fmt.Sprintf("delete of a volume with %d clones, slowest of %d", largeClones, w.runs), "", slowest(parents), "", "≤ 50 ms")
	return nil
}

// deleteLarge deletes one large volume, waits for its space, and returns how long the
// answer took.
func (s *service) deleteLarge(ctx context.Context, r *raw) (time.Duration, error) {
	reply, err := s.client.CreateVolume(ctx, services[0], rpc.CreateVolumeRequest{Size: largeSize}, rpc.CallOptions{Wait: wait})
	if err != nil {
		return 0, err
	}
	if err := r.scatter("volume-"+reply.Volume.ID, largeWritten); err != nil {
		return 0, err
	}
	begin := time.Now()
	if _, err := s.deleteMany(ctx, []string{reply.Volume.ID}); err != nil {
		return 0, err
	}
	took := time.Since(begin)
	return took, s.spaceBack(ctx, r, reply.Volume.ImageID)
}

// deleteParent deletes a volume that has clones, then the clones.
func (s *service) deleteParent(ctx context.Context, r *raw) (time.Duration, error) {
	parent, err := s.client.CreateVolume(ctx, services[0], rpc.CreateVolumeRequest{Size: 1}, rpc.CallOptions{Wait: wait})
	if err != nil {
		return 0, err
	}
	if err := r.scatter("volume-"+parent.Volume.ID, largeClones); err != nil {
		return 0, err
	}
	clones, _, err := s.createMany(ctx, largeClones, rpc.CreateVolumeRequest{SourceVolID: parent.Volume.ID})
	if err != nil {
		return 0, err
	}
	before, err := r.dataObjects("")
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	if _, err := s.deleteMany(ctx, []string{parent.Volume.ID}); err != nil {
		return 0, err
	}
	took := time.Since(begin)
	if after, err := r.dataObjects(""); err != nil || after != before {
		return 0, fmt.Errorf("the delete of a volume with clones changed the data in the pool from %d to %d objects: %w", before, after, err)
	}
	if _, err := s.deleteMany(ctx, clones); err != nil {
		return 0, err
	}
	return took, s.spaceBack(ctx, r, parent.Volume.ImageID)
}

// spaceBack waits for the end of the purges, and fails if data of the image is left.
func (s *service) spaceBack(ctx context.Context, r *raw, imageID string) error {
	if err := s.purged(ctx); err != nil {
		return err
	}
	left, err := r.dataObjects(imageID)
	if err == nil && left > 0 {
		err = fmt.Errorf("%d objects of image %s are left", left, imageID)
	}
	return err
}

// scatter writes a byte at the beginning of each of n objects all over an image.
func (r *raw) scatter(name string, n int) error {
	return r.open(name, func(img *rbd.Image) error {
		info, err := img.Stat()
		if err != nil {
			return err
		}
		stride := info.Num_objs / uint64(n) * info.Obj_size
		_, err = parallel(n, rawJobs, func(i int) error {
			_, err := img.WriteAt([]byte{1}, int64(stride)*int64(i))
			return err
		})
		return err
	})
}

// dataObjects counts the objects with data of the image, or of all images.
func (r *raw) dataObjects(imageID string) (n int, err error) {
	err = r.io.ListObjects(func(object string) {
		if strings.HasPrefix(object, "rbd_data."+imageID) {
			n++
		}
	})
	return n, err
}
