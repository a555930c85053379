package drivertest

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// RunBetween checks the promises of package driver that are about two backends, on the
// two drivers that open returns, each a driver.Copier and in a place of its own; from may
// clone images of the place of to. Each case opens its own; all may share the places.
func RunBetween(t *testing.T, open func(t *testing.T) (from, to driver.Driver)) {
	cases := map[string]func(*between){
		"CopyVolume":         (*between).copy,
		"CopyVolume/repeat":  (*between).copyRepeat,
		"CopyVolume/refused": (*between).copyRefused,
		"RemoveCopy":         (*between).removeCopy,
		"CloneImage":         (*between).cloneImage,
		"CloneImage/refused": (*between).cloneImageRefused,
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			from, to := open(t)
			test(&between{&suite{T: t, d: from}, &suite{T: t, d: to}})
		})
	}
}

// between is one case at work on two drivers.
type between struct {
	*suite
	to *suite
}

func (s *suite) copier() driver.Copier {
	s.Helper()
	c, ok := driver.As[driver.Copier](s.d)
	if !ok {
		s.Fatal("the driver copies nothing")
	}
	return c
}

// written makes a volume that holds the sample.
func (s *suite) written(v volume.Ref) volume.Ref {
	s.Helper()
	w, _ := s.data()
	data := sample()
	s.want("", w.WriteVolume(s.Context(), v, bytes.NewReader(data), int64(len(data)), nil))
	return v
}

// copyOf copies the volume, and lets the copy go after the test.
func (b *between) copyOf(v volume.Ref, keep []string, name string) volume.Ref {
	b.Helper()
	b.Cleanup(func() {
		if err := b.to.copier().RemoveCopy(context.Background(), name); err != nil {
			b.Errorf("clean up: %v", err)
		}
	})
	loc, err := b.copier().CopyVolume(b.Context(), v, keep, b.to.d, name, nil)
	b.want("", err)
	if loc.ImageID == "" {
		b.Fatal("no image id")
	}
	return volume.Ref{Name: name, ImageID: loc.ImageID}
}

// look returns what there is of the volume, nil for nothing.
func (s *suite) look(v volume.Ref) *volume.Image {
	s.Helper()
	inventory, err := driver.Ability[driver.Inventory](s.d, "tell what it holds")
	s.want("", err)
	found, err := inventory.Inspect(s.Context(), v, false)
	s.want("", err)
	if len(found) == 0 {
		return nil
	}
	return &found[0]
}

func snapshotNames(img *volume.Image) (names []string) {
	for _, s := range img.Snapshots {
		names = append(names, s.Name)
	}
	return names
}

// copy checks that a copy is what its source is, and depends on nothing.
func (b *between) copy() {
	v := b.cloneOf(b.snapshot(b.written(b.volume(1))), 1)
	kept, left := b.snapshot(v), b.snapshot(v)
	w, r := b.data()
	b.want("", w.ClearVolume(b.Context(), v, nil))
	b.want("", b.d.ExtendVolume(b.Context(), v, 2))
	conf, configures := driver.As[driver.Configurer](b.d)
	limits := volume.Settings{Limits: map[string]int64{"total_iops_sec": 1000}}
	if configures {
		b.want("", conf.ConfigureVolume(b.Context(), v, limits))
	}
	c := b.copyOf(v, []string{kept.Name, "not there"}, name())
	img := b.to.look(c)
	if img == nil || img.Ref() != c || img.Parent != nil || img.Size != 2*volume.GiB || !slices.Equal(snapshotNames(img), []string{kept.Name}) {
		b.Fatalf("the copy is %+v; %s was not to go with it", img, left)
	}
	if configures {
		for key := range conf.SettingsMetadata(limits) {
			if _, there := img.Metadata[key]; there {
				b.Errorf("the copy has the setting %s", key)
			}
		}
	}
	b.to.holds(c, nil)
	then := volume.SnapshotRef{Volume: c, Name: kept.Name}
	for _, side := range []struct {
		reader driver.Reader
		snap   volume.SnapshotRef
	}{{r, kept}, {b.to.reader(), then}} {
		if got := b.read(side.reader, side.snap); got != string(sample()) {
			b.Errorf("%s holds something else", side.snap)
		}
	}
}

func (s *suite) reader() driver.Reader {
	_, r := s.data()
	return r
}

// read returns what a snapshot holds, as far as the sample goes.
func (s *suite) read(r driver.Reader, snap volume.SnapshotRef) string {
	s.Helper()
	got := make([]byte, len(sample()))
	s.want("", r.ReadSnapshot(s.Context(), snap, nil, func(offset int64, data []byte) error {
		if offset < int64(len(got)) {
			copy(got[offset:], data)
		}
		return nil
	}))
	return string(got)
}

// copyRepeat checks that a copy is gone on with, and made once.
func (b *between) copyRepeat() {
	v := b.written(b.volume(1))
	kept := b.snapshot(v)
	begun := b.to.create(name(), 1) // as a call that was cut off leaves it
	c := b.copyOf(v, []string{kept.Name}, begun.Name)
	if c != begun {
		b.Errorf("a copy was begun as %s, and is %s", begun, c)
	}
	b.to.holds(c, sample())
	again := func() {
		b.Helper()
		loc, err := b.copier().CopyVolume(b.Context(), v, []string{kept.Name}, b.to.d, c.Name, nil)
		b.want("", err)
		if img := b.to.look(c); loc.ImageID != c.ImageID || img == nil || !slices.Equal(snapshotNames(img), []string{kept.Name}) {
			b.Errorf("a repeat made %s of %s: %+v", loc.ImageID, c, img)
		}
	}
	again()
	b.want("", b.delete(v, 0))
	again()
	b.want("", b.d.UndeleteVolume(b.Context(), v))
	b.to.holds(c, sample())
}

func (b *between) copyRefused() {
	v, c := b.volume(1), name()
	ctx, cancel := context.WithCancel(b.Context())
	cancel()
	type other struct{ driver.Driver }
	for what, tc := range map[string]struct {
		ctx  context.Context
		v    volume.Ref
		to   driver.Driver
		name string
		kind fault.Kind
	}{
		"no such volume":  {b.Context(), volume.Ref{Name: name(), ImageID: "none"}, b.to.d, c, fault.NotFound},
		"hostile name":    {b.Context(), v, b.to.d, "a/b", fault.Invalid},
		"another backend": {b.Context(), v, other{}, c, fault.Unsupported},
		"cancelled":       {ctx, v, b.to.d, c, fault.Cancelled},
	} {
		if _, err := b.copier().CopyVolume(tc.ctx, tc.v, nil, tc.to, tc.name, nil); fault.KindOf(err) != tc.kind {
			b.Errorf("%s: kind %q, want %q: %v", what, fault.KindOf(err), tc.kind, err)
		}
	}
	if img := b.to.look(volume.Ref{Name: c}); img != nil {
		b.Errorf("a refused copy has left %+v", img)
	}
}

func (b *between) removeCopy() {
	v := b.written(b.volume(1))
	kept := b.snapshot(v)
	c := b.copyOf(v, []string{kept.Name}, name())
	ctx, cancel := context.WithCancel(b.Context())
	cancel()
	b.want(fault.Cancelled, b.to.copier().RemoveCopy(ctx, c.Name))
	b.want(fault.Invalid, b.to.copier().RemoveCopy(b.Context(), "a/b"))
	for range 2 {
		b.want("", b.to.copier().RemoveCopy(b.Context(), c.Name))
	}
	if img := b.to.look(c); img != nil {
		b.Errorf("left of a removed copy: %+v", img)
	}
	b.holds(v, sample())
}
