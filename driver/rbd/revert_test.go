package rbd

import (
	"context"
	"testing"

	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// put writes a text into a volume, at a place in MiB.
func put(t testing.TB, d *Driver, v volume.Ref, text string, at int64) {
	t.Helper()
	img, err := d.open(d.control, v, rbd.OpenImage)
	wantKind(t, "", err)
	_, err = img.WriteAt([]byte(text), at<<20)
	img.close(&err)
	wantKind(t, "", err)
}

// holds fails the test unless the text is at that place.
func holds(t testing.TB, d *Driver, v volume.Ref, text string, at int64) {
	t.Helper()
	img, err := d.open(d.control, v, rbd.OpenImageReadOnly)
	wantKind(t, "", err)
	defer img.discard()
	got := make([]byte, len(text))
	if _, err := img.ReadAt(got, at<<20); err != nil || string(got) != text {
		t.Errorf("%s holds %q at %d MiB, want %q (%v)", v.Name, got, at, text, err)
	}
}

const nothing = "\x00\x00\x00\x00"

// The content of every snapshot comes back, in any order, in a volume that has a
// parent, clones of its own, and has grown.
func TestRevertBringsBackWhatWasThere(t *testing.T) {
	for _, format := range []string{"1", "2"} {
		t.Run("format_"+format, func(t *testing.T) {
			env, d := fresh(t)
			cfg := config(env, d.cfg.Pool)
			cfg.CloneFormat = format
			d = openDriver(t, cfg)
			base := create(t, d, "volume-base")
			put(t, d, base, "base", 0)
			put(t, d, base, "base", 16)
			v := clone(t, d, "volume-1", snapshot(t, d, base, "snapshot-base"))
			put(t, d, v, "one.", 8)
			one := snapshot(t, d, v, "snapshot-1")
			put(t, d, v, "two.", 8)
			put(t, d, v, "two.", 16)
			wantKind(t, "", d.ExtendVolume(t.Context(), v, 2))
			put(t, d, v, "two.", 1500)
			two := snapshot(t, d, v, "snapshot-2")
			c := cloneOf(t, d, "volume-2", two, 2)
			put(t, d, v, "head", 0)
			for range 2 {
				wantKind(t, "", d.RevertToSnapshot(t.Context(), one, 2, nil))
				holds(t, d, v, "base", 0)
				holds(t, d, v, "one.", 8)
				holds(t, d, v, "base", 16)
				holds(t, d, v, nothing, 1500)
				wantKind(t, "", d.RevertToSnapshot(t.Context(), two, 2, nil))
				holds(t, d, v, "base", 0)
				holds(t, d, v, "two.", 8)
				holds(t, d, v, "two.", 16)
				holds(t, d, v, "two.", 1500)
			}
			holds(t, d, c, "two.", 1500)
		})
	}
}

// A snapshot that was taken before a flatten can be gone back to, or it is refused
// before anything is lost.
func TestRevertAfterAFlatten(t *testing.T) {
	_, d := fresh(t)
	for name, features := range map[string]uint64{"deep_flatten": d.features, "without": d.features &^ rbd.FeatureDeepFlatten} {
		t.Run(name, func(t *testing.T) {
			d.features = features
			base := create(t, d, "volume-base-"+name)
			put(t, d, base, "base", 0)
			v := clone(t, d, "volume-"+name, snapshot(t, d, base, "snapshot-base"))
			put(t, d, v, "then", 8)
			s := snapshot(t, d, v, "snapshot-1")
			wantKind(t, "", d.FlattenVolume(t.Context(), v, nil))
			put(t, d, v, "now.", 0)
			err := d.RevertToSnapshot(t.Context(), s, 1, nil)
			if features&rbd.FeatureDeepFlatten == 0 {
				wantKind(t, fault.Unsupported, err)
				holds(t, d, v, "now.", 0)
				return
			}
			wantKind(t, "", err)
			holds(t, d, v, "base", 0)
			holds(t, d, v, "then", 8)
		})
	}
}

// Others who have the volume open are named, and nothing is changed.
func TestRevertOfAnOpenVolume(t *testing.T) {
	env, d := fresh(t)
	other := openDriver(t, config(env, d.cfg.Pool))
	v := create(t, d, "volume-1")
	s := snapshot(t, d, v, "snapshot-1")
	put(t, d, v, "now.", 0)
	img, err := other.open(other.control, v, rbd.OpenImage)
	wantKind(t, "", err)
	err = d.RevertToSnapshot(t.Context(), s, 1, nil)
	img.discard()
	wantKind(t, fault.Busy, err)
	if by := fault.Of(err).BlockedBy; len(by) != 1 || by[0] != other.control.addr {
		t.Errorf("blocked by %v, want %s", by, other.control.addr)
	}
	holds(t, d, v, "now.", 0)
}

// What was interrupted in the middle is mended by a repeat.
func TestRevertInTwoHalves(t *testing.T) {
	_, d := fresh(t)
	v := create(t, d, "volume-1")
	for at := int64(0); at < 1024; at += 4 {
		put(t, d, v, "then", at)
	}
	s := snapshot(t, d, v, "snapshot-1")
	for at := int64(0); at < 1024; at += 4 {
		put(t, d, v, "now.", at)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var seen []int
	err := d.RevertToSnapshot(ctx, s, 1, func(percent int) {
		if seen = append(seen, percent); percent >= 20 {
			cancel()
		}
	})
	wantKind(t, fault.Cancelled, err)
	if len(seen) < 3 {
		t.Errorf("the progress told was %v", seen)
	}
	wantKind(t, "", d.RevertToSnapshot(t.Context(), s, 1, nil))
	for at := int64(0); at < 1024; at += 4 {
		holds(t, d, v, "then", at)
	}
}
