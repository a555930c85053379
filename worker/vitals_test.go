package worker_test

import (
	"testing"

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
	release()
	s.until("the create has ended", func() bool { return len(p.worker.Vitals().Operations) == 0 })
	_ = p.end()
}
