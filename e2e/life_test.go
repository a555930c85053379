package e2e

import (
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/volumed/volumed/internal/testenv"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// The whole life of a volume and of its clone, each step checked on the cluster,
// the heartbeat on time throughout.
func TestLifeOfAVolume(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]options{
		"embedded bus, SQLite": {},
		"PostgreSQL":           {database: testenv.Postgres(t)},
	} {
		t.Run(name, func(t *testing.T) {
			o.defaults = "report_interval = 1\nservice_down_time = 10\n"
			s := started(t, o)
			if o.database == "" {
				longest := s.heartbeats()
				defer func() {
					if gap := longest(); gap > 3*time.Second {
						t.Errorf("longest gap between heartbeats is %s at an interval of 1 s", gap)
					}
				}()
			}
			s.life()
		})
	}
}

func (s *service) life() {
	t := s.t
	pool := s.pools[0] + "/"
	parent := s.createVolume(rpc.CreateVolumeRequest{Name: "first", Size: 1})
	s.write(parent.ID)
	snapshot := s.createSnapshot(parent.ID)
	if names := s.snapshots(parent.ID); !slices.Equal(names, []string{"snapshot-" + snapshot.ID}) {
		t.Fatalf("snapshots on the cluster: %v", names)
	}
	fromSnapshot := s.createVolume(rpc.CreateVolumeRequest{Name: "second", SnapshotID: snapshot.ID, Size: 2})
	clone := s.createVolume(rpc.CreateVolumeRequest{Name: "third", SourceVolID: parent.ID})
	if clone.Size != 1 || fromSnapshot.Size != 2 {
		t.Errorf("sizes are %d and %d GiB, want 1 and 2", clone.Size, fromSnapshot.Size)
	}
	s.write(clone.ID)

	s.flatten(fromSnapshot.ID)
	var info struct {
		Size   int64
		Parent *struct{ Image string }
	}
	s.rbdJSON(&info, "info", pool+"volume-"+fromSnapshot.ID)
	if info.Parent != nil || info.Size != 2*volume.GiB {
		t.Errorf("after flatten: %+v", info)
	}

	extended, err := s.client.ExtendVolume(t.Context(), s.backend(0), rpc.ExtendVolumeRequest{VolumeID: clone.ID, NewSize: 3}, wait)
	s.succeeded("extend_volume", extended.Operation, err)
	s.rbdJSON(&info, "info", pool+"volume-"+clone.ID)
	if info.Size != 3*volume.GiB || extended.Volume.Size != 3 || extended.Volume.Status != volume.Available {
		t.Errorf("after extend: %+v, %+v", info, extended.Volume)
	}

	// The parent goes before its clone: out of sight at once, its space when the
	// clone no longer needs it.
	deleted, err := s.client.DeleteSnapshot(t.Context(), s.backend(0), rpc.DeleteSnapshotRequest{SnapshotID: snapshot.ID}, wait)
	s.succeeded("delete_snapshot", deleted.Operation, err)
	s.deleteVolume(parent.ID)
	if names := s.images(0); slices.Contains(names, "volume-"+parent.ID) {
		t.Errorf("the deleted volume is still listed: %v", names)
	}
	if trash := s.trash(0); !slices.Contains(trash, parent.ImageID) {
		t.Errorf("trash is %v, want the parent %s in it for its clone", trash, parent.ImageID)
	}
	s.deleteVolume(clone.ID)
	s.deleteVolume(fromSnapshot.ID)
	s.quiet()
	if images, trash := s.images(0), s.trash(0); len(images)+len(trash) > 0 {
		t.Errorf("left in the pool: images %v, trash %v", images, trash)
	}
	if code := s.stop(); code != 0 {
		t.Errorf("exit code %d after a stop in good order", code)
	}
}

// write fills a part of the volume with data.
func (s *service) write(id string) { s.t.Helper(); s.writeBegin(id, "256M") }

// writeBegin fills as much of the beginning of the volume.
func (s *service) writeBegin(id, size string) {
	s.t.Helper()
	out, err := exec.Command("rbd", "-c", s.ceph.Conf, "bench", "--io-type", "write", "--io-size", "4M", "--io-threads", "4",
		"--io-total", size, "--io-pattern", "seq", s.pools[0]+"/volume-"+id).CombinedOutput()
	if err != nil {
		s.t.Fatalf("rbd bench: %v\n%s", err, out)
	}
}

// flatten flattens a volume and sees its progress rise to the end.
func (s *service) flatten(id string) {
	s.t.Helper()
	accepted, err := s.client.FlattenVolume(s.t.Context(), s.backend(0), rpc.FlattenVolumeRequest{VolumeID: id}, rpc.CallOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	var last volume.Operation
	for op := range s.client.Watch(s.t.Context(), accepted.Operation.ID) {
		if op.Progress < last.Progress {
			s.t.Errorf("progress fell from %d to %d", last.Progress, op.Progress)
		}
		last = op
	}
	s.succeeded("flatten_volume", &last, nil)
	if last.Progress != 100 {
		s.t.Errorf("progress ended at %d", last.Progress)
	}
}
