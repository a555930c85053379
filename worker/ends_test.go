package worker_test

import (
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// ends remembers of which operations it was told that they have ended.
type ends struct {
	mu   sync.Mutex
	told map[string][]volume.OperationStatus
}

func (e *ends) note(op volume.Operation) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.told[op.ID] = append(e.told[op.ID], op.Status)
	if op.FinishedAt.Before(op.CreatedAt) {
		e.told[op.ID] = append(e.told[op.ID], "finished before it was accepted")
	}
}

// count is the number of operations that were told.
func (e *ends) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.told)
}

// OnEnd is told of every operation once, also of those that fail, that are cancelled,
// that follow another one, and that tell progress before their end.
func TestEveryEndIsToldOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	e := &ends{told: map[string][]volume.OperationStatus{}}
	p := s.prepare()
	p.deps.OnEnd = e.note
	p.start()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	s.cancelClone(p, v)
	clone := s.clone(v)
	must[rpc.VolumeReply](t)(s.FlattenVolume(t.Context(), s.host, rpc.FlattenVolumeRequest{VolumeID: clone.ID}, wait()))
	p.faulty.FailBefore("ExtendVolume", 1, fault.New(fault.Internal, "broken"))
	if _, err := s.ExtendVolume(t.Context(), s.host, rpc.ExtendVolumeRequest{VolumeID: v.ID, NewSize: 2}, wait()); err == nil {
		t.Error("the extend did not fail")
	}
	s.remove(clone)
	s.until("everything has ended", func() bool {
		return len(s.operations(volume.OperationFilter{Unfinished: true})) == 0 &&
			e.count() == len(s.operations(volume.OperationFilter{}))
	})
	_ = p.end()
	want := map[string][]volume.OperationStatus{}
	seen := map[volume.OperationStatus]bool{}
	for _, op := range s.operations(volume.OperationFilter{}) {
		want[op.ID] = []volume.OperationStatus{op.Status}
		seen[op.Status] = true
	}
	if diff := cmp.Diff(want, e.told); diff != "" {
		t.Errorf("told (-journal +told):\n%s", diff)
	}
	if !seen[volume.Succeeded] || !seen[volume.Failed] || !seen[volume.Cancelled] {
		t.Errorf("the test has seen only %v", seen)
	}
}

// cancelClone cancels the first clone, which is held up in the backend.
func (s *site) cancelClone(p *process, of volume.Volume) {
	s.Helper()
	reached, release := p.faulty.Hold("CreateSnapshot", 1)
	defer release()
	r := must[rpc.VolumeReply](s)(s.CreateVolume(s.Context(), s.host, rpc.CreateVolumeRequest{SourceVolID: of.ID}, rpc.CallOptions{}))
	receive(s, "the snapshot for the clone", reached)
	must[rpc.OperationReply](s)(s.CancelOperation(s.Context(), s.host, rpc.OperationRequest{OperationID: r.Operation.ID}, rpc.CallOptions{}))
}
