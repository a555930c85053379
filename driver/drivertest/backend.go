package drivertest

import (
	"context"
	"strings"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

func (s *suite) connect() {
	v := s.volume(1)
	for range 2 {
		info, err := s.d.InitializeConnection(s.Context(), v, "the-id", map[string]any{"host": "h"})
		s.want("", err)
		if info.DriverVolumeType == "" || info.Data["volume_id"] != "the-id" {
			s.Errorf("connection info = %+v", info)
		}
		if _, leaked := info.Data["keyring"]; leaked {
			s.Error("the connection info holds a key")
		}
	}
	for range 2 {
		s.want("", s.d.TerminateConnection(s.Context(), v, nil))
	}
	_, err := s.d.InitializeConnection(s.Context(), volume.Ref{Name: name()}, "id", nil)
	s.want(fault.NotFound, err)
}

func (s *suite) stats() {
	s.want("", s.d.Ping(s.Context()))
	c, err := s.d.Stats(s.Context())
	s.want("", err)
	if c.BackendState != volume.Up || c.Reason != "" {
		s.Errorf("state = %s, reason %q", c.BackendState, c.Reason)
	}
	if c.TotalCapacityGB == nil || c.FreeCapacityGB == nil || *c.FreeCapacityGB > *c.TotalCapacityGB || *c.FreeCapacityGB <= 0 {
		s.Errorf("total %v, free %v", c.TotalCapacityGB, c.FreeCapacityGB)
	}
	if c.StorageProtocol == "" || strings.Count(c.LocationInfo, ":") < 4 || c.MaxOverSubscriptionRatio == "" {
		s.Errorf("stats = %+v", c)
	}
	if len(s.d.Addrs()) == 0 {
		s.Error("no addresses")
	}
}

// hostileNames are names that would name something else, or nothing, somewhere
// on their way.
func (s *suite) hostileNames() {
	v := s.volume(1)
	snap := s.snapshot(v)
	for _, bad := range []string{"", "a/b", "a@b", v.Name + "\x00x", "a\nb", "\x1b[2J", "\xff\xfe", strings.Repeat("x", 4096)} {
		ref := volume.Ref{Name: bad}
		_, err := s.d.CreateVolume(s.Context(), volume.Spec{Ref: ref, Size: 1})
		s.want(fault.Invalid, err)
		_, err = s.d.CreateVolumeFromSnapshot(s.Context(), volume.Spec{Ref: ref, Size: 1}, snap)
		s.want(fault.Invalid, err)
		_, err = s.d.CreateVolumeFromSnapshot(s.Context(), volume.Spec{Ref: volume.Ref{Name: name()}, Size: 1},
			volume.SnapshotRef{Volume: v, Name: bad})
		s.want(fault.Invalid, err)
		s.want(fault.Invalid, s.delete(ref, 0))
		s.want(fault.Invalid, s.d.UndeleteVolume(s.Context(), volume.Ref{Name: bad, ImageID: v.ImageID}))
		s.want(fault.Invalid, s.d.ExtendVolume(s.Context(), ref, 2))
		s.want(fault.Invalid, s.d.FlattenVolume(s.Context(), ref, nil))
		s.want(fault.Invalid, s.d.CreateSnapshot(s.Context(), volume.SnapshotRef{Volume: v, Name: bad}))
		s.want(fault.Invalid, s.d.DeleteSnapshot(s.Context(), volume.SnapshotRef{Volume: v, Name: bad}))
		_, err = s.d.InitializeConnection(s.Context(), ref, "id", nil)
		s.want(fault.Invalid, err)
	}
	odd := volume.Ref{Name: "volume-ü $(x) ; % -" + name()}
	loc, err := s.d.CreateVolume(s.Context(), volume.Spec{Ref: odd, Size: 1})
	s.made(odd, loc, err)
	if !s.exists(v) || !s.exists(odd) {
		s.Error("a volume is gone")
	}
}

// cancelledContext checks that a ctx that is over before the call keeps every
// method from the backend.
func (s *suite) cancelledContext() {
	v := s.volume(1)
	snap := s.snapshot(v)
	other := volume.Ref{Name: name()}
	over, cancel := context.WithCancel(s.Context())
	cancel()
	late, cancel := context.WithDeadline(s.Context(), time.Unix(1, 0))
	defer cancel()
	for ctx, kind := range map[context.Context]fault.Kind{over: fault.Cancelled, late: fault.Unavailable} {
		_, err := s.d.CreateVolume(ctx, volume.Spec{Ref: other, Size: 1})
		s.want(kind, err)
		_, err = s.d.CreateVolumeFromSnapshot(ctx, volume.Spec{Ref: other, Size: 1}, snap)
		s.want(kind, err)
		_, err = s.d.DeleteVolume(ctx, v, 0)
		s.want(kind, err)
		s.want(kind, s.d.UndeleteVolume(ctx, v))
		s.want(kind, s.d.PurgeVolume(ctx, v, nil))
		s.want(kind, s.d.ExtendVolume(ctx, v, 2))
		s.want(kind, s.d.FlattenVolume(ctx, v, nil))
		s.want(kind, s.d.DeleteSnapshot(ctx, snap))
		s.want(kind, s.d.CreateSnapshot(ctx, snap))
		s.want(kind, s.d.Ping(ctx))
		_, err = s.d.Stats(ctx)
		s.want(kind, err)
		_, err = s.d.InitializeConnection(ctx, v, "id", nil)
		s.want(kind, err)
	}
	if s.exists(other) || !s.exists(v) {
		s.Error("a call with a cancelled context had an effect")
	}
}

func (s *suite) closed() {
	s.want("", s.d.Close())
	s.want("", s.d.Close())
	s.want(fault.Unavailable, s.d.Ping(s.Context()))
	_, err := s.d.CreateVolume(s.Context(), volume.Spec{Ref: volume.Ref{Name: name()}, Size: 1})
	s.want(fault.Unavailable, err)
	s.want(fault.Unavailable, s.delete(volume.Ref{Name: name()}, 0))
	c, err := s.d.Stats(s.Context())
	s.want("", err)
	if c.BackendState != volume.Down || c.Reason == "" {
		s.Errorf("a closed driver is %s: %s", c.BackendState, c.Reason)
	}
}
