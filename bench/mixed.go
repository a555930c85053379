package main

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// How requests are sent while the service may be away.
const (
	once     = false
	repeated = true // under the same request id, until there is an answer
)

// mixed is a load of creates, deletes and questions to both backends.
type mixed struct {
	s       *service
	repeats bool
	stop    context.CancelFunc
	all     sync.WaitGroup

	mu  sync.Mutex
	sum mixedSum
}

// mixedSum is how it went.
type mixedSum struct {
	sent, failed int
	longest      time.Duration
}

// mixed begins with so many requests a second.
func (s *service) mixed(ctx context.Context, rate int, repeats bool) *mixed {
	ctx, stop := context.WithCancel(ctx)
	m := &mixed{s: s, repeats: repeats, stop: stop}
	m.all.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(rate) * 3) // three requests each
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-tick.C:
				m.all.Go(func() { m.round(context.WithoutCancel(ctx), services[n%len(services)]) })
			case <-ctx.Done():
				return
			}
		}
	})
	return m
}

// end returns how it went, once all are answered.
func (m *mixed) end() mixedSum {
	m.stop()
	m.all.Wait()
	return m.sum
}

func (m *mixed) round(ctx context.Context, service string) {
	var made rpc.VolumeReply
	m.ask(func(o rpc.CallOptions) (err error) {
		made, err = m.s.client.CreateVolume(ctx, service, rpc.CreateVolumeRequest{Size: 1}, o)
		return m.waited(ctx, service, made.Operation, err, o)
	})
	m.ask(func(rpc.CallOptions) error {
		_, err := m.s.client.GetCapabilities(ctx, service, rpc.CapabilitiesRequest{})
		return err
	})
	m.ask(func(o rpc.CallOptions) error {
		gone, err := m.s.client.DeleteVolume(ctx, service, rpc.DeleteVolumeRequest{VolumeID: made.Volume.ID}, o)
		return m.waited(ctx, service, gone.Operation, err, o)
	})
}

// waited waits for the end of an operation that its process has left to the next.
func (m *mixed) waited(ctx context.Context, service string, op *volume.Operation, err error, o rpc.CallOptions) error {
	if err != nil || op.Status == volume.Succeeded {
		return err
	}
	r, err := m.s.client.WaitOperation(ctx, service, rpc.OperationRequest{OperationID: op.ID}, o)
	if err == nil && r.Operation.Status != volume.Succeeded {
		return fault.New(fault.Internal, "operation %s is %s", op.ID, r.Operation.Status)
	}
	return err
}

func (m *mixed) ask(send func(rpc.CallOptions) error) {
	begin := time.Now()
	o := rpc.CallOptions{Wait: time.Minute, RequestID: uuid.NewString()}
	err := send(o)
	for m.repeats && fault.KindOf(err) == fault.Unavailable && time.Since(begin) < time.Minute {
		time.Sleep(poll)
		err = send(o)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sum.sent++
	m.sum.longest = max(m.sum.longest, time.Since(begin))
	if err != nil {
		m.sum.failed++
	}
}
