package worker_test

import (
	"context"
	"testing"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// blind is a driver that cannot tell what holds the snapshots of a volume.
type blind struct{ driver.Driver }

func (b blind) Unwrap() driver.Driver { return b.Driver }

func (b blind) HeldSnapshots(context.Context, volume.Ref, int) (int, [][]volume.Ref, error) {
	return 0, nil, fault.New(fault.NotFound, "it has just been removed")
}

// A clone whose snapshot would be beyond the limit fails by that when no room can be made,
// whatever keeps it from being made.
func TestCrowdThatNobodySees(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.prepare()
	p.cfg.MaxSnapshots = 4
	p.deps.OpenDriver = func(context.Context) (driver.Driver, error) { return blind{p.faulty}, nil }
	p.start()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	p.faulty.FailBefore("CreateSnapshot", 1, driver.ErrTooManySnapshots)
	_, err := s.CreateVolume(t.Context(), s.host, rpc.CreateVolumeRequest{SourceVolID: v.ID}, wait())
	if fault.KindOf(err) != fault.Exhausted {
		t.Errorf("%v, want exhausted", err)
	}
	s.clone(v)
}
