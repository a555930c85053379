package worker_test

import (
	"testing"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// An image that has the name already is somebody's: the create fails and removes
// nothing.
func TestCreateOfWhatIsThere(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start()
	p.faulty.FailBefore("CreateVolume", 1, fault.New(fault.Exists, "an image of that name is there already"))
	_, err := s.CreateVolume(t.Context(), s.host, rpc.CreateVolumeRequest{Size: 1}, wait())
	op, _ := rpc.OperationOf(err)
	if fault.KindOf(err) != fault.Exists || op.Status != volume.Failed {
		t.Errorf("answered by %v, the operation is %s", err, op.Status)
	}
	if n := p.faulty.Calls("DeleteVolume") + p.faulty.Calls("PurgeVolume"); n != 0 {
		t.Errorf("%d calls that remove images", n)
	}
}
