package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// snapshotsOf counts the snapshots of a volume, with those that live on for clones.
func (s *service) snapshotsOf(id string) int {
	s.t.Helper()
	var found []struct{ ID int }
	if err := json.Unmarshal([]byte(s.ceph.RBD(s.t, "snap", "ls", "--all", "--format", "json", s.pools[0]+"/volume-"+id)), &found); err != nil {
		s.t.Fatal(err)
	}
	return len(found)
}

// settled waits until no operation is unfinished.
func (s *service) settled() {
	s.t.Helper()
	s.eventually("everything has ended", func() error {
		reply, err := s.client.ListOperations(s.t.Context(), rpc.ListOperationsRequest{Unfinished: true})
		if err == nil && len(reply.Operations) > 0 {
			err = fmt.Errorf("%d operations are unfinished", len(reply.Operations))
		}
		return err
	})
}

// However many clones are made of a volume that is written to meanwhile, it never has more
// snapshots than it may: the oldest clones are flattened for it. A snapshot beyond the
// limit is refused where nothing can make room.
func TestSnapshotsPerImage(t *testing.T) {
	t.Parallel()
	const limit, clones = 12, 200
	s := keepsFor(t, options{}, fmt.Sprintf("rbd_max_snapshots_per_image = %d\n", limit))
	v := s.createVolume(rpc.CreateVolumeRequest{Size: 1})
	for n := range clones {
		if n%20 == 0 {
			s.writeBegin(v.ID, "4M")
		}
		s.createVolume(rpc.CreateVolumeRequest{SourceVolID: v.ID})
		if n%20 == 19 {
			if got := s.snapshotsOf(v.ID); got > limit {
				t.Fatalf("%d snapshots after %d clones", got, n+1)
			}
		}
	}
	s.settled()
	if got := s.snapshotsOf(v.ID); got >= limit*3/4 {
		t.Errorf("%d snapshots are left", got)
	}

	w := s.createVolume(rpc.CreateVolumeRequest{Size: 1})
	for range limit {
		s.createSnapshot(w.ID)
	}
	for what, request := range map[string]func() (*volume.Operation, error){
		"snapshot": func() (*volume.Operation, error) {
			reply, err := s.client.CreateSnapshot(t.Context(), s.backend(0), rpc.CreateSnapshotRequest{VolumeID: w.ID}, wait)
			return reply.Operation, err
		},
		"clone": func() (*volume.Operation, error) {
			reply, err := s.client.CreateVolume(t.Context(), s.backend(0), rpc.CreateVolumeRequest{SourceVolID: w.ID}, wait)
			return reply.Operation, err
		},
	} {
		if op, err := request(); !errors.Is(err, fault.Exhausted) || fault.Of(err).Hint == "" {
			t.Errorf("a %s beyond the limit: %v, %+v", what, err, op)
		}
	}
	if got := s.snapshotsOf(w.ID); got != limit {
		t.Errorf("%d snapshots, want %d", got, limit)
	}
}
