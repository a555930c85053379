package e2e

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// A worker that is killed in the middle of its work loses nothing: its
// successor brings every accepted operation to its end, and pool and tables
// agree. Callers that repeat their requests get one answer for one effect.
func TestKillInTheMiddle(t *testing.T) {
	t.Parallel()
	s := started(t, options{sections: "[launcher]\nrestart_burst = 100\n"})
	source := s.createVolume(rpc.CreateVolumeRequest{Size: 1})
	s.writeBegin(source.ID, "64M")

	t.Run("creates", func(t *testing.T) { s.killDuring(t, 40, s.requestCreate("")) })
	s.audit()
	t.Run("clones", func(t *testing.T) { s.killDuring(t, 40, s.requestCreate(source.ID)) })
	s.audit()
	t.Run("flattens", func(t *testing.T) {
		clones := s.clonesOf(source.ID)
		s.killDuring(t, 10, func(i int, o rpc.CallOptions) (*volume.Operation, error) {
			reply, err := s.client.FlattenVolume(t.Context(), s.backend(0), rpc.FlattenVolumeRequest{VolumeID: clones[i]}, o)
			return reply.Operation, err
		})
		for i := range 10 {
			var info struct{ Parent *struct{ Image string } }
			s.rbdJSON(&info, "info", s.pools[0]+"/volume-"+clones[i])
			if info.Parent != nil {
				t.Errorf("volume %s still has parent %s", clones[i], info.Parent.Image)
			}
		}
	})
	s.audit()
	t.Run("deletes", func(t *testing.T) {
		clones := s.clonesOf(source.ID)
		s.killDuring(t, len(clones), func(i int, o rpc.CallOptions) (*volume.Operation, error) {
			reply, err := s.client.DeleteVolume(t.Context(), s.backend(0), rpc.DeleteVolumeRequest{VolumeID: clones[i]}, o)
			return reply.Operation, err
		})
	})
	s.audit()
}

func (s *service) requestCreate(source string) func(int, rpc.CallOptions) (*volume.Operation, error) {
	return func(_ int, o rpc.CallOptions) (*volume.Operation, error) {
		req := rpc.CreateVolumeRequest{Size: 1, SourceVolID: source}
		reply, err := s.client.CreateVolume(s.t.Context(), s.backend(0), req, o)
		return reply.Operation, err
	}
}

// clonesOf returns the ids of the clones of a volume.
func (s *service) clonesOf(source string) (ids []string) {
	s.t.Helper()
	for v, err := range s.client.Volumes(s.t.Context(), rpc.ListVolumesRequest{}) {
		if err != nil {
			s.t.Fatal(err)
		}
		if v.SourceVolID == source {
			ids = append(ids, v.ID)
		}
	}
	return ids
}

// killDuring sends n requests at once and kills the worker as soon as the first
// is accepted. The client repeats what the death of the worker cut off, under
// the same request id, until it is answered; all must succeed, once.
func (s *service) killDuring(t *testing.T, n int, request func(int, rpc.CallOptions) (*volume.Operation, error)) {
	t.Helper()
	victim := s.worker(0)
	accepted := make(chan struct{})
	var first sync.Once
	var all sync.WaitGroup
	errs := make(chan error, n)
	for i := range n {
		all.Go(func() {
			o := rpc.CallOptions{RequestID: uuid.NewString()}
			op, err := s.repeat(func() (*volume.Operation, error) { return request(i, o) })
			first.Do(func() { close(accepted) })
			if err == nil {
				o.Wait = patience
				op, err = s.repeat(func() (*volume.Operation, error) { return request(i, o) })
			}
			if err == nil && op.Status != volume.Succeeded {
				err = fmt.Errorf("operation %s: %s: %v", op.ID, op.Status, op.Error)
			}
			if err != nil {
				errs <- err
			}
		})
	}
	<-accepted
	if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	s.quiet()
	if now := s.worker(0); now == victim {
		t.Error("the worker was not replaced")
	}
}

// repeat sends a request again for as long as nobody answers.
func (s *service) repeat(request func() (*volume.Operation, error)) (op *volume.Operation, err error) {
	for range 1000 {
		if op, err = request(); !errors.Is(err, fault.Unavailable) {
			return op, err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-s.t.Context().Done():
			return op, err
		}
	}
	return op, err
}
