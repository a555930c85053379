package worker_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/driver/observe"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
	"github.com/volumed/volumed/worker"
)

// hang has the next create hang, and returns its operation and what releases it.
func (p *process) hang() (volume.Operation, func()) {
	s := p.site
	s.Helper()
	reached, release := p.faulty.Hold("CreateVolume", p.faulty.Calls("CreateVolume")+1)
	s.Cleanup(release)
	r := must[rpc.VolumeReply](s)(s.CreateVolume(s.Context(), s.host, rpc.CreateVolumeRequest{Size: 1}, rpc.CallOptions{}))
	receive(s, "the create", reached)
	return *r.Operation, release
}

// wants waits until the operation is in the status, and returns it.
func (s *site) wants(id string, status volume.OperationStatus) (op volume.Operation) {
	s.Helper()
	s.until("it is "+string(status), func() bool {
		op = must[volume.Operation](s)(s.db.Operation(s.Context(), id))
		return op.Status == status
	})
	return op
}

// A call that does not return, in a backend that does not answer: its operation
// waits and says why, and so do the service and its capabilities; it goes on by
// itself when the backend is back.
func TestHangingCallSaysWhy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start()
	op, release := p.hang()
	s.world.SetDown("no OSD answers")
	if got := s.wants(op.ID, volume.Waiting); !strings.Contains(got.Reason, "no OSD answers") || got.NextTry.IsZero() {
		t.Errorf("waits as %+v", got)
	}
	told := must[rpc.OperationReply](t)(s.WaitOperation(t.Context(), s.host, rpc.OperationRequest{OperationID: op.ID}, rpc.CallOptions{}))
	if told.Operation.Status != volume.Waiting {
		t.Errorf("those who wait are told %s", told.Operation.Status)
	}
	capabilities := must[rpc.CapabilitiesReply](t)(s.GetCapabilities(t.Context(), s.host, rpc.CapabilitiesRequest{}))
	if c := capabilities.Capabilities; c.BackendState != volume.Down || !strings.Contains(c.Reason, "no OSD answers") {
		t.Errorf("capabilities: %s, %q", c.BackendState, c.Reason)
	}
	s.world.SetDown("")
	s.wants(op.ID, volume.Running)
	p.awaitPhase(t, volume.Ready)
	release()
	s.want(op.ID, volume.Succeeded)
	s.audit()
}

// replaced checks that the worker ends in favour of a fresh process, which then
// ends the operation.
func (p *process) replaced(op volume.Operation) {
	s := p.site
	s.Helper()
	ended := make(chan error, 1)
	go func() { ended <- p.wait() }()
	if err := receive(s, "the end of the process", ended); !errors.Is(err, worker.ErrReplace) {
		s.Fatalf("ended by %v", err)
	}
	if row := s.row(); row.Phase == volume.Stopped {
		s.Errorf("between two processes the service is %s", row.Phase)
	}
	next := s.start()
	s.want(op.ID, volume.Succeeded)
	s.audit()
	if err := next.end(); err != nil {
		s.Error(err)
	}
}

// A process that the backend has shut out leaves its work to a fresh one.
func TestShutOut(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start()
	op, _ := p.hang()
	shutOut := fault.New(fault.Unavailable, "blocklisted: %w", driver.ErrShutOut)
	p.faulty.FailBefore("Ping", p.faulty.Calls("Ping")+2, shutOut)
	p.replaced(op)
}

// A call that an outage met, and that does not come back long after it, is lost,
// and with it the process. One that began later only takes long.
func TestLostCall(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.prepare()
	open := p.deps.OpenDriver
	p.deps.OpenDriver = func(ctx context.Context) (driver.Driver, error) {
		d, err := open(ctx)
		return observe.New(d, hclog.NewNullLogger(), nil), err
	}
	p.cfg.LostAfter = 500 * time.Millisecond
	p.run().awaitPhase(t, volume.Ready)
	outage := func() {
		s.world.SetDown("no OSD answers")
		p.awaitPhase(t, volume.Degraded)
		s.world.SetDown("")
		p.awaitPhase(t, volume.Ready)
	}
	outage()
	long, release := p.hang()
	begun := p.faulty.Calls("Ping")
	s.until("the backend has answered for long", func() bool { return p.faulty.Calls("Ping") > begun+20 })
	release()
	s.want(long.ID, volume.Succeeded)

	op, _ := p.hang()
	outage()
	p.replaced(op)
}
