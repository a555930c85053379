package worker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/testenv"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/store/storetest"
	"github.com/volumed/volumed/volume"
)

// answers checks that the worker answers while its database does not take
// anything: the operation is done, and its outcome cannot be written.
func (s *site) answers(id string) {
	s.Helper()
	request := rpc.OperationRequest{OperationID: id}
	begun := time.Now()
	s.until("it tells that its outcome waits", func() bool {
		r, err := s.WaitOperation(s.Context(), s.host, request, rpc.CallOptions{})
		return err == nil && r.Operation.Status == volume.Waiting && strings.Contains(r.Operation.Reason, "database")
	})
	if took := time.Since(begun); took > 7*time.Second {
		s.Errorf("that took %s", took)
	}
	begun = time.Now()
	_, err := s.CancelOperation(s.Context(), s.host, request, rpc.CallOptions{})
	_ = wantKind(s, err, fault.Unavailable, "")
	must[rpc.CapabilitiesReply](s)(s.GetCapabilities(s.Context(), s.host, rpc.CapabilitiesRequest{}))
	if _, err := s.ListVolumes(s.Context(), rpc.ListVolumesRequest{}); err != nil {
		_ = wantKind(s, err, fault.Unavailable, "") // SQLite still lets read
	}
	if took := time.Since(begun); took > 8*time.Second {
		s.Errorf("three answers took %s", took)
	}
}

// PostgreSQL that hangs, and that is gone: the worker answers, and when it is back
// everything that was begun ends within ten seconds, without another process.
func TestPostgresAway(t *testing.T) {
	for name, fault := range map[string]struct{ still, cut bool }{"hangs": {still: true}, "is gone": {cut: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			w, url := newWire(t, testenv.Postgres(t))
			s.url = url
			s.db = storetest.Open(t, url)
			p := s.prepare()
			p.run().awaitPhase(t, volume.Ready)
			op, release := p.hang()
			w.set(fault.still, fault.cut)
			s.until("the worker says so", func() bool { return strings.Contains(p.says(), "database") })
			release()
			s.answers(op.ID)
			w.set(false, false)
			begun := time.Now()
			s.want(op.ID, volume.Succeeded)
			t.Logf("ended %s after the database was back", time.Since(begun).Round(10*time.Millisecond))
			p.awaitPhase(t, volume.Ready)
			s.create(rpc.CreateVolumeRequest{Size: 1})
			if n := len(s.world.Images()); n != 2 {
				t.Errorf("%d images", n)
			}
		})
	}
}
