package worker_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// exporting is a driver whose volumes qemu-img could read, were they real.
type exporting struct{ driver.Driver }

func (exporting) BlockNode(volume.Ref, string) map[string]string { return nil }

func (e exporting) Unwrap() driver.Driver { return e.Driver }

// copies starts a worker that writes images into a directory.
func (s *site) copies() (p *process, dir string) {
	s.Helper()
	dir = s.TempDir()
	p = s.prepare()
	p.cfg.Images.Directories = []string{dir}
	p.deps.OpenDriver = func(context.Context) (driver.Driver, error) { return exporting{p.faulty}, nil }
	return p.start(), dir
}

// The end of a copy is known before its snapshot goes: after a death between the two, another
// snapshot would be of another moment.
func TestCopyEndsBeforeItsSnapshotDoes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p, dir := s.copies()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	reached, release := p.faulty.Hold("DeleteSnapshot", 1)
	to := rpc.ImageTarget{URL: "file://" + filepath.Join(dir, "out")}
	reply, err := s.CopyVolumeToImage(t.Context(), s.host, rpc.CopyVolumeToImageRequest{VolumeID: v.ID, Image: to}, wait())
	if err != nil || reply.Volume.Status != volume.Available {
		t.Errorf("the volume is %s, %v", reply.Volume.Status, err)
	}
	receive(t, "the end of the snapshot", reached)
	release()
	s.until("the snapshot is gone", func() bool { return len(s.world.Snapshots(image(v))) == 0 })
}

// What has no place is refused before anything is done.
func TestCopyWithoutPlace(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p, _ := s.copies()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	_, err := s.CopyVolumeToImage(t.Context(), s.host, rpc.CopyVolumeToImageRequest{VolumeID: v.ID, Image: rpc.ImageTarget{URL: "file:///etc/x"}}, wait())
	_ = wantKind(t, err, fault.Invalid, "image.url")
	if n := p.faulty.Calls("CreateSnapshot"); n != 0 || s.status(v.ID) != volume.Available {
		t.Errorf("%d snapshots, the volume is %s", n, s.status(v.ID))
	}
}
