package worker_test

import (
	"testing"
	"time"

	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// A worker tells what is at work in it while the backend holds a call up.
func TestVitals(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start()
	reached, release := p.faulty.Hold("CreateVolume", 1)
	defer release()
	accepted, err := s.CreateVolume(t.Context(), s.host, rpc.CreateVolumeRequest{Size: 1}, rpc.CallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	receive(t, "the create", reached)
	v := p.worker.Vitals()
	if v.Host != s.host || v.Phase != volume.Ready || v.Epoch != 1 || !v.BusConnected || v.Heartbeat.IsZero() || v.HeartbeatError != "" {
		t.Errorf("vitals %+v", v)
	}
	if len(v.Operations) != 1 || v.Operations[0].ID != accepted.Operation.ID {
		t.Errorf("operations %+v, want %s", v.Operations, accepted.Operation.ID)
	}
	for _, l := range v.Lanes {
		want := operation.LaneLoad{Lane: l.Lane, Slots: l.Slots, Queue: 1000}
		if l.Lane == operation.Work {
			want.Busy, want.Accepted = 1, 1
		}
		if l != want {
			t.Errorf("lane %+v, want %+v", l, want)
		}
	}
	d := p.worker.Details()
	if d.Database == "" || d.Bus == "" || len(d.Away) > 0 || d.Since.IsZero() || time.Since(d.Since) > patience {
		t.Errorf("details %+v", d)
	}
	waited := make(chan error, 1)
	go func() {
		_, err := s.WaitOperation(t.Context(), s.host, rpc.OperationRequest{OperationID: accepted.Operation.ID}, rpc.CallOptions{Wait: patience, RequestID: "r1"})
		waited <- err
	}()
	s.until("somebody waits for it", func() bool {
		pending := p.worker.Details().Pending
		return len(pending) == 1 && pending[0].Method == rpc.MethodWaitOperation && pending[0].Project == "p1"
	})
	release()
	if err := <-waited; err != nil {
		t.Error(err)
	}
	s.until("the create has ended", func() bool { return len(p.worker.Vitals().Operations) == 0 })
	if d := p.worker.Details(); len(d.Ended) != 1 || d.Ended[0].ID != accepted.Operation.ID || d.Ended[0].Status != volume.Succeeded {
		t.Errorf("ended %+v", d.Ended)
	}
	_ = p.end()
}
