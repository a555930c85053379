package worker_test

import (
	"testing"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// What a create takes back may still be open in the process before, which is dead: that
// is waited out, and nothing is left.
func TestUndoWaitsForTheDead(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start()
	p.faulty.FailAfter("CreateVolume", 1, fault.New(fault.Internal, "broken"))
	p.faulty.FailBefore("PurgeVolume", 1, fault.New(fault.Busy, "the image is open in other clients"))
	_, err := s.CreateVolume(t.Context(), s.host, rpc.CreateVolumeRequest{Size: 1}, wait())
	op, _ := rpc.OperationOf(err)
	if fault.KindOf(err) != fault.Internal || op.Status != volume.Failed {
		t.Errorf("answered by %v, the operation is %s", err, op.Status)
	}
	if images, trash := s.world.Images(), s.world.Trash(); len(images)+len(trash) != 0 {
		t.Errorf("left are %v, and in the trash %v", images, trash)
	}
}
