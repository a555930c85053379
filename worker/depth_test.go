package worker_test

import (
	"fmt"
	"testing"

	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// depth counts what the image of the volume depends on, one above the other.
func (s *site) depth(v volume.Volume) (depth int) {
	s.Helper()
	ids := map[string]string{}
	for _, name := range s.world.Images() {
		ids[must[volume.Image](s)(s.world.Look(name)).ID] = name
	}
	for img := must[volume.Image](s)(s.world.Look(image(v))); img.Parent != nil; depth++ {
		img = must[volume.Image](s)(s.world.Look(ids[img.Parent.ImageID]))
	}
	return depth
}

func (s *site) idle() {
	s.Helper()
	s.until("everything has ended", func() bool { return len(s.operations(volume.OperationFilter{Unfinished: true})) == 0 })
}

// Clones of clones, from volumes and from snapshots, never depend on more than they may,
// and have not to wait where somebody cared in time.
func TestDepthIsLimited(t *testing.T) {
	for limit := -1; limit <= 3; limit++ {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			p := s.prepare()
			p.cfg.MaxCloneDepth = limit
			p.start()
			v := s.create(rpc.CreateVolumeRequest{Size: 1})
			for n := range 10 {
				from := rpc.CreateVolumeRequest{SourceVolID: v.ID}
				if n%3 == 2 {
					from = rpc.CreateVolumeRequest{SnapshotID: s.snapshot(v).ID}
				}
				v = s.create(from)
				if depth := s.depth(v); depth > max(limit, 0) {
					t.Fatalf("volume %d depends on %d images", n, depth)
				}
			}
			s.idle()
			s.onlySuccesses()
			s.audit()
		})
	}
}

// Many clones of one volume at the limit wait for one flatten.
func TestDepthManyAtOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.prepare()
	p.cfg.MaxCloneDepth = 1
	p.start()
	source := s.clone(s.create(rpc.CreateVolumeRequest{Size: 1}))
	answers := make(chan error)
	const clones = 20
	for range clones {
		go func() {
			_, err := s.CreateVolume(t.Context(), s.host, rpc.CreateVolumeRequest{SourceVolID: source.ID}, wait())
			answers <- err
		}()
	}
	for range clones {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	if n := s.depth(source); n != 0 {
		t.Errorf("the source depends on %d images", n)
	}
	s.idle()
	s.audit()
}

// A flatten in the background makes room for whoever asks for something: it is cancelled
// for a delete, and another flatten takes its place.
func TestBackgroundFlattenMakesRoom(t *testing.T) {
	for name, act := range map[string]func(*site, volume.Volume) error{
		"delete": func(s *site, v volume.Volume) error {
			_, err := s.DeleteVolume(s.Context(), s.host, rpc.DeleteVolumeRequest{VolumeID: v.ID}, wait())
			return err
		},
		"flatten": func(s *site, v volume.Volume) error {
			_, err := s.FlattenVolume(s.Context(), s.host, rpc.FlattenVolumeRequest{VolumeID: v.ID}, wait())
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			p := s.prepare()
			p.cfg.FlattenFromSnapshot = true
			p.cfg.Lanes[operation.Flatten] = operation.Limits{Slots: 1, Queue: 10}
			p.start()
			source := s.create(rpc.CreateVolumeRequest{Size: 1})
			snap := s.snapshot(source)
			reached, release := p.faulty.Hold("FlattenVolume", 1)
			v := s.create(rpc.CreateVolumeRequest{SnapshotID: snap.ID})
			receive(t, "the flatten begins", reached)
			done := make(chan error, 1)
			go func() { done <- act(s, v) }()
			s.until("it is asked to make room", func() bool {
				later := s.operations(volume.OperationFilter{Method: "flatten_in_background"})
				return len(later) == 1 && later[0].CancelRequested
			})
			release()
			if err := receive(t, "the answer", done); err != nil {
				t.Error(err)
			}
			s.idle()
			if later := s.operations(volume.OperationFilter{Method: "flatten_in_background"}); later[0].Status != volume.Cancelled {
				t.Errorf("the flatten in the background has %s", later[0].Status)
			}
			s.audit()
		})
	}
}

// A user's flatten of another volume does not wait for one in the background: that one
// gives its slot back, and goes on afterwards.
func TestBackgroundFlattenGivesItsSlot(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.prepare()
	p.cfg.FlattenFromSnapshot = true
	p.cfg.Lanes[operation.Flatten] = operation.Limits{Slots: 1, Queue: 10}
	p.start()
	source := s.create(rpc.CreateVolumeRequest{Size: 1})
	snap, clone := s.snapshot(source), s.clone(source)
	reached, release := p.faulty.Hold("FlattenVolume", 1)
	v := s.create(rpc.CreateVolumeRequest{SnapshotID: snap.ID})
	receive(t, "the flatten begins", reached)
	op := must[rpc.VolumeReply](t)(s.FlattenVolume(t.Context(), s.host, rpc.FlattenVolumeRequest{VolumeID: clone.ID}, rpc.CallOptions{})).Operation
	s.until("it waits for the slot", func() bool {
		for _, l := range p.worker.Vitals().Lanes {
			if l.Lane == operation.Flatten && l.Waiting == 1 {
				return true
			}
		}
		return false
	})
	release()
	s.idle()
	first := must[volume.Operation](t)(s.db.Operation(t.Context(), op.ID))
	later := s.operations(volume.OperationFilter{Method: "flatten_in_background"})[0]
	if first.Status != volume.Succeeded || later.Status != volume.Succeeded || later.FinishedAt.Before(first.FinishedAt) {
		t.Errorf("asked for: %s at %s; in the background: %s at %s", first.Status, first.FinishedAt, later.Status, later.FinishedAt)
	}
	if s.depth(v) != 0 || s.depth(clone) != 0 {
		t.Error("not flattened")
	}
	s.audit()
}
