package main

import (
	"context"
	"fmt"
	"time"

	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// audited is how many images are audited; batch how many are created at once.
const (
	audited = 10_000
	batch   = 500
)

// measureAudit: a whole pool against the tables, without opening an image and with. The
// floor opens every image once for reading and asks its size, as the audit would have
// to that reads no headers. It is one run: ten thousand volumes are made for it, which
// stay.
func measureAudit(ctx context.Context, w *world) error {
	return w.beside(ctx, func(r *raw, s *service) error {
		for range audited / batch {
			if _, _, err := s.createMany(ctx, batch, rpc.CreateVolumeRequest{Size: 1}); err != nil {
				return err
			}
		}
		floor, err := r.openAll()
		if err != nil {
			return err
		}
		for _, m := range []struct {
			what, bar string
			deep      bool
		}{{"audit of %d images", "≤ 60 s", false}, {"deep audit of %d images", "", true}} {
			took, found, err := s.audit(ctx, m.deep)
			if err != nil {
				return err
			}
			if found.Images < audited || found.Volumes < audited || found.Drift > found.Images-found.Volumes {
				return fmt.Errorf("the audit counts %d images, %d volumes, %d differences", found.Images, found.Volumes, found.Drift)
			}
			w.table.add(fmt.Sprintf(m.what, found.Images), round(floor), round(took), fmt.Sprintf("%.2f ×", float64(took)/float64(floor)), m.bar)
		}
		return nil
	})
}

// openAll opens every image of the pool, and returns how long that took.
func (r *raw) openAll() (time.Duration, error) {
	begin := time.Now()
	names, err := rbd.GetImageNames(r.io)
	if err != nil {
		return 0, err
	}
	_, err = parallel(len(names), rawJobs, func(i int) error {
		img, err := rbd.OpenImageReadOnly(r.io, names[i], rbd.NoSnapshot)
		if err != nil {
			return err
		}
		if _, err := img.GetSize(); err != nil {
			return err
		}
		return img.Close()
	})
	return time.Since(begin), err
}

// audit audits the first backend.
func (s *service) audit(ctx context.Context, deep bool) (time.Duration, volume.Audit, error) {
	begin := time.Now()
	reply, err := s.client.AuditBackend(ctx, services[0], rpc.AuditBackendRequest{Deep: deep}, rpc.CallOptions{Wait: 10 * time.Minute})
	took := time.Since(begin)
	if err == nil && reply.Audit == nil {
		err = fmt.Errorf("the audit did not end: %+v", reply.Operation)
	}
	if err != nil {
		return took, volume.Audit{}, err
	}
	return took, *reply.Audit, nil
}
