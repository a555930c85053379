package rbd

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/testenv"
	"github.com/volumed/volumed/volume"
)

// twoPools returns drivers on two pools of one cluster.
func twoPools(t *testing.T) (from, to *Driver) {
	t.Helper()
	env := testenv.Ceph(t)
	return openDriver(t, config(env, env.NewPool(t))), openDriver(t, config(env, env.NewPool(t)))
}

// on opens the image for writing, runs work on it, and closes it.
func on(t *testing.T, d *Driver, v volume.Ref, work func(img *image)) {
	t.Helper()
	img, err := d.open(d.data, v, rbd.OpenImage)
	wantKind(t, "", err)
	work(img)
	img.close(&err)
	wantKind(t, "", err)
}

// scribble changes the image at random: data here and there, zeros, and holes.
func scribble(t *testing.T, d *Driver, v volume.Ref, random *rand.Rand) {
	t.Helper()
	on(t, d, v, func(img *image) {
		size, err := img.GetSize()
		wantKind(t, "", err)
		for range 12 {
			length := uint64(1 + random.IntN(5<<20))
			at := random.Uint64N(size - length)
			switch random.IntN(4) {
			case 0:
				_, err = img.Discard(at, length)
			case 1:
				_, err = img.WriteAt(make([]byte, length), int64(at))
			default:
				data := bytes.Repeat([]byte{byte(1 + random.IntN(255))}, int(length))
				_, err = img.WriteAt(data, int64(at))
			}
			wantKind(t, "", err)
		}
	})
}

// digest returns a hash of what the image, or a snapshot of it, reads as.
func digest(t *testing.T, d *Driver, v volume.Ref, snapshot string) string {
	t.Helper()
	img, err := d.open(d.data, v, rbd.OpenImageReadOnly)
	wantKind(t, "", err)
	defer img.discard()
	wantKind(t, "", img.SetSnapshot(snapshot))
	size, err := img.GetSize()
	wantKind(t, "", err)
	hash, buf := sha256.New(), make([]byte, 8<<20)
	for at := int64(0); at < int64(size); at += int64(len(buf)) {
		n, err := img.ReadAt(buf[:min(int64(len(buf)), int64(size)-at)], at)
		if err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if !bytes.Equal(buf[:n], make([]byte, n)) { // holes are many, and quickly compared
			hash.Write(buf[:n])
			hash.Write([]byte{byte(at >> 23), byte(at >> 31)})
		}
	}
	return string(hash.Sum(nil))
}

// A copy is what its source is, at every snapshot, whatever was written between: also of a
// clone, and one that was interrupted again and again.
func TestCopyVolume(t *testing.T) {
	from, to := twoPools(t)
	random := rand.New(rand.NewPCG(1, 2))
	opts, err := from.options(from.cfg.order())
	wantKind(t, "", err)
	defer opts.Destroy()
	wantKind(t, "", rbd.CreateImage(from.control.io, "parent", 50<<20, opts))
	parent := volume.Ref{Name: "parent"}
	scribble(t, from, parent, random)
	base := snapshot(t, from, parent, "base")
	v := volume.Ref{Name: "volume"}
	loc, err := from.clone(t.Context(), volume.Spec{Ref: v, Size: 1}, base, source{order: from.cfg.order()})
	wantKind(t, "", err)
	v.ImageID = loc.ImageID
	keep := []string{"s1", "s2", "s3"}
	for _, name := range keep {
		scribble(t, from, v, random)
		snapshot(t, from, v, name)
		if name == "s1" {
			on(t, from, v, func(img *image) { wantKind(t, "", img.Resize(90<<20+12345)) })
		}
	}
	snapshot(t, from, v, "left")
	scribble(t, from, v, random)

	c := volume.Ref{Name: "copy"}
	var reached atomic.Int64 // percent
	for interrupted := 0; ; interrupted++ {
		ctx, cancel := context.WithCancel(t.Context())
		stop := func(percent int) {
			if reached.Swap(int64(percent)) < int64(percent) {
				cancel()
			}
		}
		if interrupted == 20 {
			stop = func(int) {}
		}
		loc, err := from.copyBy(ctx, v, keep, to, c.Name, stop, 32<<20)
		cancel()
		if err == nil {
			c.ImageID = loc.ImageID
			if interrupted < 5 {
				t.Errorf("it was interrupted %d times: it has more stages than that", interrupted)
			}
			break
		}
		wantKind(t, fault.Cancelled, err)
		if interrupted == 20 {
			t.Fatal("it begins anew each time")
		}
	}
	for _, name := range append(keep, "") {
		if digest(t, from, v, name) != digest(t, to, c, name) {
			t.Errorf("the copy differs at %q", name)
		}
	}
	timeOf := func(what string, do func() error) {
		begun := time.Now()
		wantKind(t, "", do())
		t.Logf("%s took %s", what, time.Since(begun).Round(time.Millisecond))
	}
	compare := func() error { return from.CompareCopy(t.Context(), v, keep, to, c.Name, nil) }
	timeOf("the comparison", compare)
	timeOf("a copy in one go", func() error {
		_, err := from.CopyVolume(t.Context(), v, keep, to, "again", nil)
		return err
	})
	wantKind(t, "", to.RemoveCopy(t.Context(), "again"))
	on(t, to, c, func(img *image) { // one byte, where neither side has data
		_, err := img.WriteAt([]byte{1}, 90<<20+12344)
		wantKind(t, "", err)
	})
	wantKind(t, fault.Internal, compare())
	found, err := to.Inspect(t.Context(), c, false)
	wantKind(t, "", err)
	var names []string
	for _, s := range found[0].Snapshots {
		names = append(names, s.Name)
	}
	if !slices.Equal(names, keep) || found[0].Parent != nil || found[0].Size != 90<<20+12345 {
		t.Errorf("the copy is %+v", found[0])
	}
	for range 2 { // copied already, and once more when the source is in the trash
		loc, err := from.CopyVolume(t.Context(), v, keep, to, c.Name, nil)
		wantKind(t, "", err)
		if loc.ImageID != c.ImageID {
			t.Errorf("a repeat made %s beside %s", loc.ImageID, c.ImageID)
		}
		_, err = from.DeleteVolume(t.Context(), v, 0)
		wantKind(t, "", err)
	}
	wantKind(t, "", compare()) // it was compared before it went there
	for range 2 {
		wantKind(t, "", to.RemoveCopy(t.Context(), c.Name))
	}
	if found, err = to.Inspect(t.Context(), c, false); err != nil || len(found) != 0 {
		t.Errorf("left of a removed copy: %+v, %v", found, err)
	}
}

// Every chunk that is copied or compared is a sign of life: a gigabyte may take long.
func TestCopySignsWithEachChunk(t *testing.T) {
	from, to := twoPools(t)
	v := create(t, from, "volume")
	const chunks = 5
	on(t, from, v, func(img *image) {
		for n := range int64(chunks) {
			_, err := img.WriteAt([]byte("data"), 2*n*chunkMost)
			wantKind(t, "", err)
		}
	})
	var signs atomic.Int64
	sign := func(int) { signs.Add(1) }
	_, err := from.CopyVolume(t.Context(), v, nil, to, "copy", sign)
	wantKind(t, "", err)
	if n := signs.Swap(0); n < chunks+1 {
		t.Errorf("the copy has given %d signs", n)
	}
	wantKind(t, "", from.CompareCopy(t.Context(), v, nil, to, "copy", sign))
	if n := signs.Load(); n < chunks+1 {
		t.Errorf("the comparison has given %d signs", n)
	}
}

// What is not there takes no space in the copy either.
func TestCopyIsSparse(t *testing.T) {
	from, to := twoPools(t)
	v := create(t, from, "volume")
	wantKind(t, "", from.ExtendVolume(t.Context(), v, 10))
	on(t, from, v, func(img *image) {
		for _, data := range [][]byte{bytes.Repeat([]byte{7}, 12<<20), make([]byte, 40<<20)} { // zeros are written, too
			if _, err := img.WriteAt(data, int64(len(data))*8); err != nil {
				t.Fatal(err)
			}
		}
	})
	loc, err := from.CopyVolume(t.Context(), v, nil, to, "copy", nil)
	wantKind(t, "", err)
	empty := objects(t, to, create(t, to, "empty"))
	if n := objects(t, to, volume.Ref{ImageID: loc.ImageID}); n != empty+3 {
		t.Errorf("12 MiB of data take %d objects", n-empty)
	}
}

// A copy whose removal has died is not gone on with: it says that it is whole, and lacks a
// snapshot.
func TestCopyAfterADeadRemoval(t *testing.T) {
	from, to := twoPools(t)
	random := rand.New(rand.NewPCG(3, 4))
	v := create(t, from, "volume")
	keep := []string{"s1", "s2"}
	for _, name := range keep {
		scribble(t, from, v, random)
		snapshot(t, from, v, name)
	}
	loc, err := from.CopyVolume(t.Context(), v, keep, to, "copy", nil)
	wantKind(t, "", err)
	c := volume.Ref{Name: "copy", ImageID: loc.ImageID}
	on(t, to, c, func(img *image) { // as far as it came
		snapshots, err := img.GetSnapshotNames()
		wantKind(t, "", err)
		wantKind(t, "", img.removeSnapshot(t.Context(), snapshots[0]))
	})
	again, err := from.CopyVolume(t.Context(), v, keep, to, "copy", nil)
	wantKind(t, "", err)
	if again.ImageID == loc.ImageID {
		t.Error("the same image was handed out")
	}
	wantKind(t, "", from.CompareCopy(t.Context(), v, keep, to, "copy", nil))
}

// A process that was only silent may still have the copy open: as long it is not whole.
func TestCopyIsOpenElsewhere(t *testing.T) {
	from, to := twoPools(t)
	v := create(t, from, "volume")
	loc, err := from.CopyVolume(t.Context(), v, nil, to, "copy", nil)
	wantKind(t, "", err)
	img, err := from.openElsewhere(to, volume.Ref{Name: "copy", ImageID: loc.ImageID})
	wantKind(t, "", err)
	_, err = from.CopyVolume(t.Context(), v, nil, to, "copy", nil)
	wantKind(t, fault.Unavailable, err)
	if by := fault.Of(err).BlockedBy; !slices.Equal(by, []string{from.data.addr}) {
		t.Errorf("blocked by %v, want %s", by, from.data.addr)
	}
	img.discard()
	_, err = from.CopyVolume(t.Context(), v, nil, to, "copy", nil)
	wantKind(t, "", err)
}

func TestCopyRefused(t *testing.T) {
	from, to := twoPools(t)
	v := create(t, from, "volume")
	_, err := from.CopyVolume(t.Context(), volume.Ref{Name: "none", ImageID: "none"}, nil, to, "copy", nil)
	wantKind(t, fault.NotFound, err)
	_, err = from.CopyVolume(t.Context(), v, nil, to, "a/b", nil)
	wantKind(t, fault.Invalid, err)
	img, err := to.openElsewhere(from, v)
	wantKind(t, "", err)
	_, err = from.CopyVolume(t.Context(), v, nil, to, "copy", nil)
	wantKind(t, fault.Busy, err)
	if by := fault.Of(err).BlockedBy; !slices.Equal(by, []string{to.data.addr}) {
		t.Errorf("blocked by %v, want %s", by, to.data.addr)
	}
	img.discard()
	if id, err := to.control.imageID("copy"); err != nil || id != "" {
		t.Errorf("a refused copy has left %q, %v", id, err)
	}
}

// openElsewhere opens an image of the pool of another driver, as a client of its own.
func (d *Driver) openElsewhere(other *Driver, v volume.Ref) (*image, error) {
	io, err := d.data.conn.OpenIOContext(other.cfg.Pool)
	if err != nil {
		return nil, err
	}
	return d.open(&link{conn: d.data.conn, io: io, addr: d.data.addr}, v, rbd.OpenImage)
}

// A host that writes hears of a larger size, and of other limits, without being asked to
// let go.
func TestGrowAndLimitInUse(t *testing.T) {
	d, host := twoPools(t)
	v := create(t, d, "volume")
	img, err := host.openElsewhere(d, v)
	wantKind(t, "", err)
	defer img.discard()
	write := func(at int64) {
		t.Helper()
		if _, err := img.WriteAt([]byte("data"), at); err != nil {
			t.Fatalf("write at %d: %v", at, err)
		}
	}
	write(0)
	if owner, err := img.LockIsExclusiveOwner(); err != nil || !owner {
		t.Fatalf("the host does not hold the lock: %v", err)
	}
	limits := volume.Settings{Limits: map[string]int64{"total_iops_sec": 1000, "write_bytes_sec": 1 << 30}}
	wantKind(t, "", d.ExtendVolume(t.Context(), v, 2))
	wantKind(t, "", d.ConfigureVolume(t.Context(), v, limits))
	write(volume.GiB + 4096)
	if owner, err := img.LockIsExclusiveOwner(); err != nil || !owner {
		t.Errorf("the host has lost the lock: %v", err)
	}
	found, err := d.Inspect(t.Context(), v, true)
	wantKind(t, "", err)
	for key, want := range d.SettingsMetadata(limits) {
		if got := found[0].Metadata[key]; got != want {
			t.Errorf("%s = %q, want %q", key, got, want)
		}
	}
	if !slices.Contains(found[0].Watchers, host.data.addr) {
		t.Errorf("the host is not among the watchers %v", found[0].Watchers)
	}
	// What it would not hear of is refused.
	wantKind(t, fault.Busy, d.ConfigureVolume(t.Context(), v, volume.Settings{Multiattach: true}))
}

// Several hosts can write at the same time once none of them can shut the others out, and
// no longer when that is over.
func TestMultiattach(t *testing.T) {
	d, _ := twoPools(t)
	v := create(t, d, "volume")
	features := func() (all uint64) {
		on(t, d, v, func(img *image) {
			var err error
			all, err = img.GetFeatures()
			wantKind(t, "", err)
		})
		return all
	}
	before := features()
	for range 2 {
		wantKind(t, "", d.ConfigureVolume(t.Context(), v, volume.Settings{Multiattach: true}))
	}
	if now := features(); now&exclusive != 0 || before&exclusive == 0 {
		t.Errorf("features %d became %d", before, now)
	}
	wantKind(t, "", d.ConfigureVolume(t.Context(), v, volume.Settings{}))
	if now := features(); now&exclusive != 0 {
		t.Errorf("what nobody asked for changed the features to %d", now)
	}
	for range 2 {
		wantKind(t, "", d.ConfigureVolume(t.Context(), v, volume.Settings{Unshare: true}))
	}
	if now := features(); now != before {
		t.Errorf("features %d, want %d again", now, before)
	}
}

// An object map that was given back is invalid, says librbd, until it is rebuilt: that of
// the head, and those of the snapshots.
func TestMapsAreRebuilt(t *testing.T) {
	d, _ := twoPools(t)
	v := create(t, d, "volume")
	s := snapshot(t, d, v, "snapshot")
	invalid := func() (n int) {
		t.Helper()
		for _, name := range []string{v.Name, v.Name + "@" + s.Name} {
			if strings.Contains(testenv.Ceph(t).RBD(t, "info", d.cfg.Pool+"/"+name), "object map invalid") {
				n++
			}
		}
		return n
	}
	if n := invalid(); n != 0 {
		t.Fatalf("%d maps of a new image are invalid", n)
	}
	wantKind(t, "", d.ConfigureVolume(t.Context(), v, volume.Settings{Multiattach: true}))
	wantKind(t, "", d.ConfigureVolume(t.Context(), v, volume.Settings{Unshare: true}))
	if n := invalid(); n != 2 {
		t.Errorf("%d maps are invalid, want 2 until they are rebuilt", n)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	wantKind(t, fault.Cancelled, d.RebuildMaps(cancelled, v, nil))
	for range 2 {
		wantKind(t, "", d.RebuildMaps(t.Context(), v, nil))
		if n := invalid(); n != 0 {
			t.Errorf("%d maps are invalid still", n)
		}
	}
}
