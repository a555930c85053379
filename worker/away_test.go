package worker_test

import (
	"context"
	"database/sql"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/store"
	"github.com/volumed/volumed/volume"
	"github.com/volumed/volumed/worker"
)

// row returns the service's row; one that is not there yet is empty.
func (s *site) row() volume.Service {
	s.Helper()
	services, _, err := s.db.Services(context.WithoutCancel(s.Context()), volume.ServiceFilter{Host: s.host})
	if err != nil {
		s.Fatal(err)
	}
	if len(services) == 0 {
		return volume.Service{}
	}
	return services[0].Service
}

// says returns what the worker has last told as the reason of its phase.
func (p *parent) says() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reason
}

func TestBackendAwayAtStart(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.prepare()
	var back atomic.Bool
	open := p.deps.OpenDriver
	p.deps.OpenDriver = func(ctx context.Context) (driver.Driver, error) {
		if !back.Load() {
			return nil, fault.New(fault.Unavailable, "no monitor answers")
		}
		return open(ctx)
	}
	if reason := p.run().awaitPhase(t, volume.Degraded); !strings.Contains(reason, "no monitor answers") {
		t.Errorf("reason %q", reason)
	}
	s.until("the row says why", func() bool {
		r := s.row()
		return r.Phase == volume.Degraded && strings.Contains(r.Reason, "no monitor answers")
	})
	_, err := s.CreateVolume(t.Context(), s.host, rpc.CreateVolumeRequest{Size: 1}, wait())
	_ = wantKind(t, err, fault.Unavailable, "")
	back.Store(true)
	p.awaitPhase(t, volume.Ready)
	s.create(rpc.CreateVolumeRequest{Size: 1})
	s.audit()
}

func TestDatabaseAwayAtStart(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var back atomic.Bool
	withoutDatabase := func() *process {
		p := s.prepare()
		open := p.deps.OpenStore
		p.deps.OpenStore = func(ctx context.Context) (worker.Store, error) {
			if !back.Load() {
				var none *store.DB // what a caller gets who passes on the result of store.Open
				return none, fault.New(fault.Unavailable, "no database")
			}
			return open(ctx)
		}
		if reason := p.run().awaitPhase(t, volume.Degraded); !strings.Contains(reason, "no database") {
			t.Errorf("reason %q", reason)
		}
		return p
	}
	if err := withoutDatabase().end(); err != nil {
		t.Error(err)
	}
	p := withoutDatabase()
	back.Store(true)
	p.awaitPhase(t, volume.Ready)
	s.create(rpc.CreateVolumeRequest{Size: 1})
}

func TestDatabaseLocked(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start()
	source := s.create(rpc.CreateVolumeRequest{Size: 1})
	reached, release := p.faulty.Hold("CreateVolume", 2)
	defer release()
	held := must[rpc.VolumeReply](t)(s.CreateVolume(t.Context(), s.host, rpc.CreateVolumeRequest{Size: 1}, rpc.CallOptions{}))
	receive(t, "the create", reached)

	db := must[*sql.DB](t)(sql.Open("sqlite", "file:"+strings.TrimPrefix(s.url, "sqlite:///")+"?_txlock=immediate"))
	defer db.Close()
	tx := must[*sql.Tx](t)(db.Begin())
	if reason := p.awaitPhase(t, volume.Degraded); !strings.Contains(reason, "database") {
		t.Errorf("reason %q", reason)
	}
	release() // its end cannot be written now
	s.answers(held.Operation.ID)
	later := make(chan error, 1)
	go func() {
		_, err := s.ExtendVolume(t.Context(), s.host, rpc.ExtendVolumeRequest{VolumeID: source.ID, NewSize: 2}, wait())
		later <- err
	}()
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	p.awaitPhase(t, volume.Ready)
	s.want(held.Operation.ID, volume.Succeeded)
	if err := receive(t, "the extend", later); err != nil {
		t.Error(err)
	}
	s.audit()
}

func TestBusAwayAndBack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start()
	reached, release := p.faulty.Hold("CreateVolume", 1)
	defer release()
	held := must[rpc.VolumeReply](t)(s.CreateVolume(t.Context(), s.host, rpc.CreateVolumeRequest{Size: 1}, rpc.CallOptions{}))
	receive(t, "the create", reached)
	s.bus.Stop()
	if reason := p.awaitPhase(t, volume.Degraded); !strings.Contains(reason, "bus") {
		t.Errorf("reason %q", reason)
	}
	release()
	s.until("the create ends without the bus", func() bool {
		return must[volume.Operation](t)(s.db.Operation(t.Context(), held.Operation.ID)).Status == volume.Succeeded
	})
	s.bus.Start()
	p.awaitPhase(t, volume.Ready)
	// The server may still be reading the worker's subscriptions.
	if err := s.persist(func() error {
		_, err := s.CreateVolume(t.Context(), s.host, rpc.CreateVolumeRequest{Size: 1}, wait())
		return err
	}); err != nil {
		t.Error(err)
	}
	s.audit()
}

// A backend that goes away later makes operations wait, and the worker say so.
func TestBackendAwayAndBack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	s.world.SetDown("no monitor answers")
	s.until("the worker says so", func() bool { return strings.Contains(p.says(), "no monitor answers") })
	ops := s.clones(v, 3)
	s.until("they wait", func() bool {
		for _, op := range ops {
			now := must[volume.Operation](t)(s.db.Operation(t.Context(), op.ID))
			if now.Status != volume.Waiting || !strings.Contains(now.Reason, "no monitor answers") {
				return false
			}
		}
		return true
	})
	s.world.SetDown("")
	p.awaitPhase(t, volume.Ready)
	for _, op := range ops {
		s.want(op.ID, volume.Succeeded)
	}
	s.audit()
}
