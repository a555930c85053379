package e2e

import (
	"testing"
	"time"

	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// A long operation tells how far it is and when it will be done, every second (the
// test leaves a busy machine some more), and never less than before. Cancelled, it
// ends within two seconds and leaves nothing behind; asked for again, it is done.
func TestLongOperationTells(t *testing.T) {
	t.Parallel()
	s := started(t, options{})
	source := s.createVolume(rpc.CreateVolumeRequest{Size: 2})
	s.writeBegin(source.ID, "256M")
	clone := s.createVolume(rpc.CreateVolumeRequest{SourceVolID: source.ID})
	image := "volume-" + clone.ID
	before := s.checksum(image)

	cancelled := s.watchFlatten(clone.ID, func(op volume.Operation) bool { return op.Progress > 0 })
	if cancelled.Status != volume.Cancelled {
		t.Errorf("after the cancel the flatten %s: %+v", cancelled.Status, cancelled.Error)
	}
	if v := s.shown(clone.ID); v.Status != volume.Available {
		t.Errorf("after the cancel the volume is %s", v.Status)
	}
	if after := s.checksum(image); after != before {
		t.Error("a flatten that was cancelled has changed the data")
	}
	s.audit()

	whole := s.watchFlatten(clone.ID, func(volume.Operation) bool { return false })
	if whole.Status != volume.Succeeded || whole.Progress != 100 {
		t.Errorf("the second flatten %s at %d %%: %+v", whole.Status, whole.Progress, whole.Error)
	}
	if after := s.checksum(image); after != before {
		t.Error("the flatten has changed the data")
	}
	s.deleteVolume(clone.ID)
	s.deleteVolume(source.ID)
	s.quiet()
}

// watchFlatten flattens a volume, and cancels that when the time has come. It returns
// the operation at its end.
func (s *service) watchFlatten(id string, cancel func(volume.Operation) bool) (last volume.Operation) {
	t := s.t
	t.Helper()
	accepted, err := s.client.FlattenVolume(t.Context(), s.backend(0), rpc.FlattenVolumeRequest{VolumeID: id}, rpc.CallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	told, asked := time.Now(), time.Time{}
	for op := range s.client.Watch(t.Context(), accepted.Operation.ID) {
		if op.Progress < last.Progress {
			t.Errorf("progress fell from %d to %d", last.Progress, op.Progress)
		}
		if stale := time.Since(told); stale > 4*time.Second {
			t.Errorf("nothing was told for %s, at %d %%", stale, last.Progress)
		}
		if op.Status == volume.Running && op.Progress > 0 && op.Progress < 100 && op.ETA.Before(op.StartedAt) {
			t.Errorf("at %d %% the end is expected at %s", op.Progress, op.ETA)
		}
		told, last = time.Now(), op
		if asked.IsZero() && cancel(op) {
			asked = time.Now()
			if _, err := s.client.CancelOperation(t.Context(), s.backend(0), rpc.OperationRequest{OperationID: op.ID}, rpc.CallOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if took := time.Since(asked); !asked.IsZero() && took > 2*time.Second {
		t.Errorf("the cancel took %s", took)
	}
	t.Logf("the flatten %s after %s", last.Status, last.FinishedAt.Sub(last.StartedAt))
	return last
}
