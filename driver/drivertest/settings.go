package drivertest

import (
	"maps"

	"github.com/google/go-cmp/cmp"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// settings checks driver.Configurer, of a driver that has it and an inventory.
func (s *suite) settings() {
	conf, ok := driver.As[driver.Configurer](s.d)
	if !ok {
		s.Log("the driver has no settings")
		return
	}
	v, untouched := s.volume(1), s.volume(1)
	limited := volume.Settings{Limits: map[string]int64{}}
	for i, rate := range volume.Rates() {
		limited.Limits[rate], limited.Limits[volume.BurstOf(rate)] = int64(100+i), int64(200+i)
	}
	if n := len(conf.SettingsMetadata(limited)); n != len(limited.Limits) {
		s.Errorf("%d limits are %d keys: %v", len(limited.Limits), n, conf.SettingsMetadata(limited))
	}
	fewer := volume.Settings{Limits: map[string]int64{"total_iops_sec": 7, "read_bytes_sec": 100}}
	for _, wanted := range []volume.Settings{limited, fewer, limited, {}} {
		for range 2 {
			s.want("", conf.ConfigureVolume(s.Context(), v, wanted))
			s.has(v, conf.SettingsMetadata(wanted))
		}
	}
	s.has(untouched, nil)

	// A clone has what its own type wants, whatever its parent has.
	s.want("", conf.ConfigureVolume(s.Context(), v, limited))
	clone := s.cloneOf(s.snapshot(v), 1)
	s.want("", conf.ConfigureVolume(s.Context(), clone, fewer))
	s.has(clone, conf.SettingsMetadata(fewer))
	s.want("", conf.ConfigureVolume(s.Context(), clone, volume.Settings{}))
	s.has(clone, nil)
	s.has(v, conf.SettingsMetadata(limited))

	for _, shared := range []volume.Settings{{Multiattach: true}, {}, {Unshare: true}, {Multiattach: true, Limits: fewer.Limits}} {
		for range 2 {
			s.want("", conf.ConfigureVolume(s.Context(), v, shared))
			s.maps(v)
		}
	}
	s.want("", s.d.ExtendVolume(s.Context(), v, 2))

	s.want(fault.NotFound, conf.ConfigureVolume(s.Context(), volume.Ref{Name: name()}, volume.Settings{}))
	s.want(fault.Conflict, conf.ConfigureVolume(s.Context(), volume.Ref{Name: v.Name, ImageID: untouched.ImageID}, limited))
	s.want(fault.Invalid, conf.ConfigureVolume(s.Context(), volume.Ref{Name: "a/b"}, limited))
}

// maps checks driver.Mapper, of a driver that has it.
func (s *suite) maps(v volume.Ref) {
	s.Helper()
	mapper, ok := driver.As[driver.Mapper](s.d)
	if !ok {
		return
	}
	for range 2 {
		done := false
		s.want("", mapper.RebuildMaps(s.Context(), v, func(percent int) { done = percent == 100 }))
		if !done {
			s.Errorf("the end is not told")
		}
	}
	s.want("", mapper.RebuildMaps(s.Context(), v, nil))
	s.want(fault.NotFound, mapper.RebuildMaps(s.Context(), volume.Ref{Name: name()}, nil))
}

// has checks the metadata of an image.
func (s *suite) has(v volume.Ref, want map[string]string) {
	s.Helper()
	inv, ok := driver.As[driver.Inventory](s.d)
	if !ok {
		s.Fatal("a driver with settings has no inventory")
	}
	found, err := inv.Inspect(s.Context(), v, false)
	s.want("", err)
	if len(found) != 1 {
		s.Fatalf("inspect %s: %d images", v, len(found))
	}
	if !maps.Equal(want, found[0].Metadata) {
		s.Errorf("metadata of %s: %s", v, cmp.Diff(want, found[0].Metadata))
	}
}
