package e2e

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// load is requests of all kinds to every backend, at a steady rate. Each caller
// makes a volume, takes a snapshot, clones, and removes all of it again.
type load struct {
	s       *service
	repeats bool

	stop  context.CancelFunc
	pace  <-chan time.Time
	tick  *time.Ticker
	all   sync.WaitGroup
	done  atomic.Int64
	mu    sync.Mutex
	worst time.Duration
	errs  []error
}

// How requests of a load are sent.
const (
	once     = false
	repeated = true // as long as nobody is there to answer, under the same request id
)

// load begins with so many requests a second. A request that fails is a failure of
// the test.
func (s *service) load(rate int, repeats bool) *load {
	s.t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(s.t.Context()))
	tick := time.NewTicker(time.Second / time.Duration(rate))
	l := &load{s: s, stop: stop, pace: tick.C, tick: tick, repeats: repeats}
	const callers = 10
	for n := range callers {
		l.all.Go(func() {
			for ctx.Err() == nil {
				l.round(ctx, s.backend(n%len(s.pools)))
			}
		})
	}
	s.t.Cleanup(l.end)
	return l
}

// end ends the load and reports what went wrong.
func (l *load) end() {
	l.s.t.Helper()
	l.stop()
	l.all.Wait()
	l.tick.Stop()
	for i, err := range l.errs {
		if i == 5 {
			l.s.t.Errorf("and %d more", len(l.errs)-i)
			break
		}
		l.s.t.Error(err)
	}
	l.errs = nil
}

func (l *load) String() string {
	return fmt.Sprintf("%d requests, the longest took %s", l.done.Load(), l.worst.Round(time.Millisecond))
}

// proceed waits until so many more requests were answered.
func (l *load) proceed(n int64) {
	l.s.t.Helper()
	want := l.done.Load() + n
	l.s.eventually("requests are answered", func() error {
		if got := l.done.Load(); got < want {
			return fmt.Errorf("%d of %d", got, want)
		}
		return nil
	})
}

// ask sends one request when its time has come, and notes how it went.
func (l *load) ask(ctx context.Context, what string, request func(context.Context, rpc.CallOptions) error) bool {
	select {
	case <-l.pace:
	case <-ctx.Done():
		return false
	}
	began := time.Now()
	terms := rpc.CallOptions{Wait: patience, RequestID: uuid.NewString()}
	err := request(context.WithoutCancel(ctx), terms)
	for l.repeats && errors.Is(err, fault.Unavailable) && time.Since(began) < patience {
		<-l.pace
		err = request(context.WithoutCancel(ctx), terms)
	}
	took := time.Since(began)
	l.done.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.worst = max(l.worst, took)
	if err != nil {
		l.errs = append(l.errs, fmt.Errorf("%s after %s: %w", what, took.Round(time.Millisecond), err))
	}
	return err == nil
}

// ended is an error for an operation that has not succeeded.
func ended(op *volume.Operation, err error) error {
	if err == nil && op.Status != volume.Succeeded {
		err = fmt.Errorf("operation %s is %s", op.ID, op.Status)
	}
	return err
}

// round is what one caller does.
func (l *load) round(ctx context.Context, backend string) {
	c := l.s.client
	var first, clone rpc.VolumeReply
	var snapshot rpc.SnapshotReply
	wait := func(ctx context.Context, op *volume.Operation, o rpc.CallOptions) error {
		if op.Status.Terminal() {
			return ended(op, nil)
		}
		reply, err := c.WaitOperation(ctx, backend, rpc.OperationRequest{OperationID: op.ID}, o)
		return ended(&reply.Operation, err)
	}
	remove := func(id string) func(context.Context, rpc.CallOptions) error {
		return func(ctx context.Context, o rpc.CallOptions) error {
			reply, err := c.DeleteVolume(ctx, backend, rpc.DeleteVolumeRequest{VolumeID: id}, o)
			if err != nil {
				return err
			}
			return wait(ctx, reply.Operation, o)
		}
	}
	ok := l.ask(ctx, "create_volume", func(ctx context.Context, o rpc.CallOptions) (err error) {
		if first, err = c.CreateVolume(ctx, backend, rpc.CreateVolumeRequest{Size: 1}, o); err != nil {
			return err
		}
		return wait(ctx, first.Operation, o)
	})
	if !ok {
		return
	}
	l.ask(ctx, "create_snapshot", func(ctx context.Context, o rpc.CallOptions) (err error) {
		if snapshot, err = c.CreateSnapshot(ctx, backend, rpc.CreateSnapshotRequest{VolumeID: first.Volume.ID}, o); err != nil {
			return err
		}
		return wait(ctx, snapshot.Operation, o)
	})
	l.ask(ctx, "get_capabilities", func(ctx context.Context, _ rpc.CallOptions) error {
		_, err := c.GetCapabilities(ctx, backend, rpc.CapabilitiesRequest{})
		return err
	})
	l.ask(ctx, "create_cloned_volume", func(ctx context.Context, o rpc.CallOptions) (err error) {
		if clone, err = c.CreateVolume(ctx, backend, rpc.CreateVolumeRequest{SourceVolID: first.Volume.ID}, o); err != nil {
			return err
		}
		return wait(ctx, clone.Operation, o)
	})
	if snapshot.Snapshot.ID != "" {
		rest := context.WithoutCancel(ctx)
		l.ask(rest, "delete_snapshot", func(ctx context.Context, o rpc.CallOptions) error {
			reply, err := c.DeleteSnapshot(ctx, backend, rpc.DeleteSnapshotRequest{SnapshotID: snapshot.Snapshot.ID}, o)
			if err != nil {
				return err
			}
			return wait(ctx, reply.Operation, o)
		})
	}
	if clone.Volume.ID != "" {
		l.ask(context.WithoutCancel(ctx), "delete_volume", remove(clone.Volume.ID))
	}
	l.ask(context.WithoutCancel(ctx), "delete_volume", remove(first.Volume.ID))
}
