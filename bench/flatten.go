package main

import (
	"context"
	"fmt"
	"time"

	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// What is flattened, and beside what.
const (
	flattenClones  = 50
	flattenObjects = 4                     // of 4 MiB that each shares with its parent
	victimPause    = 2 * time.Millisecond  // between two writes of the client beside it
	victimIdle     = 30 * time.Second      // for which it is measured alone, before and after: disks have moods
	drainMost      = 10 * time.Minute      // for the whole backlog
	drainLook      = 50 * time.Millisecond // how often it is looked whether it is over
)

// measureFlatten: what a client with small writes notices of fifty clones that are
// flattened: by the service, and by a loop that does three at once as fast as it can.
func measureFlatten(ctx context.Context, w *world) error {
	return w.beside(ctx, func(r *raw, s *service) error {
		parent, err := s.create(ctx, rpc.CreateVolumeRequest{Size: 1})
		if err != nil {
			return err
		}
		if err := r.fill("volume-"+parent, flattenObjects); err != nil {
			return err
		}
		v, err := newVictim(w.cluster)
		if err != nil {
			return err
		}
		defer v.close()
		for _, f := range []struct {
			what, bar string
			flatten   func(ids []string) error
		}{
			{"three at once", "", r.flattenAll},
			{"by the service", "≤ 1.3 ×", func(ids []string) error { return s.flattenAll(ctx, ids) }},
		} {
			ids, _, err := s.createMany(ctx, flattenClones, rpc.CreateVolumeRequest{SourceVolID: parent})
			if err != nil {
				return err
			}
			before, err := v.idle()
			if err != nil {
				return err
			}
			begin := time.Now()
			busy, err := v.during(func() error { return f.flatten(ids) })
			if err != nil {
				return err
			}
			took := time.Since(begin)
			after, err := v.idle()
			if err != nil {
				return err
			}
			w.table.tail(fmt.Sprintf("p99 of a client's writes while %d clones are flattened %s (in %s)", flattenClones, f.what, round(took)),
				append(before, after...), busy, f.bar)
			if _, err := s.deleteMany(ctx, ids); err != nil {
				return err
			}
			if err := s.purged(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

// fill writes the first objects of an image whole.
func (r *raw) fill(name string, objects int) error {
	return r.open(name, func(img *rbd.Image) error {
		data := make([]byte, 4<<20)
		for i := range data {
			data[i] = byte(i)
		}
		for n := range objects {
			if _, err := img.WriteAt(data, int64(n)*int64(len(data))); err != nil {
				return err
			}
		}
		return nil
	})
}

// flattenAll flattens three volumes at once, as fast as the cluster can.
func (r *raw) flattenAll(ids []string) error {
	_, err := parallel(len(ids), 3, func(i int) error {
		return r.open("volume-"+ids[i], func(img *rbd.Image) error { return img.Flatten() })
	})
	return err
}

// flattenAll asks the service to flatten the volumes, and waits for the end of it all.
func (s *service) flattenAll(ctx context.Context, ids []string) error {
	ops := make([]string, len(ids))
	for i, id := range ids {
		reply, err := s.client.FlattenVolume(ctx, services[0], rpc.FlattenVolumeRequest{VolumeID: id}, rpc.CallOptions{})
		if err != nil {
			return err
		}
		ops[i] = reply.Operation.ID
	}
	ctx, cancel := context.WithTimeout(ctx, drainMost)
	defer cancel()
	for _, id := range ops {
		for {
			reply, err := s.client.GetOperation(ctx, rpc.OperationRequest{OperationID: id})
			if err != nil {
				return err
			}
			if reply.Operation.Status == volume.Succeeded {
				break
			}
			if reply.Operation.Status.Terminal() {
				return fmt.Errorf("the flatten %s has %s", id, reply.Operation.Status)
			}
			select {
			case <-time.After(drainLook):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

// victim is a client that writes a little, over and over, to an image of its own.
type victim struct {
	*raw
	img *rbd.Image
}

func newVictim(c *cluster) (v *victim, err error) {
	v = &victim{}
	if v.raw, err = openRaw(c, "volumes"); err != nil {
		return nil, err
	}
	if err = v.create("victim"); err == nil {
		v.img, err = rbd.OpenImage(v.io, "victim", rbd.NoSnapshot)
	}
	if err != nil {
		v.raw.close()
		return nil, err
	}
	return v, nil
}

func (v *victim) close() {
	_ = v.img.Close()
	_ = rbd.RemoveImage(v.io, "victim")
	v.raw.close()
}

// idle returns how long the writes take beside nothing.
func (v *victim) idle() ([]time.Duration, error) {
	return v.during(func() error { time.Sleep(victimIdle); return nil })
}

// during returns how long the writes took that were made while f ran.
func (v *victim) during(f func() error) (took []time.Duration, err error) {
	ended := make(chan error, 1)
	go func() { ended <- f() }()
	data := make([]byte, 4096)
	for n := int64(0); ; n++ {
		begin := time.Now()
		if _, err := v.img.WriteAt(data, n%1024*int64(len(data))); err != nil {
			return nil, err
		}
		took = append(took, time.Since(begin))
		select {
		case err := <-ended:
			return took, err
		case <-time.After(victimPause):
		}
	}
}
