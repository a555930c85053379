package drivertest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// data is the drivers' two abilities about what volumes hold.
func (s *suite) data() (driver.Writer, driver.Reader) {
	s.Helper()
	w, writes := driver.As[driver.Writer](s.d)
	r, reads := driver.As[driver.Reader](s.d)
	if !writes || !reads {
		s.Fatal("the driver cannot write and read")
	}
	return w, r
}

const mib = 1 << 20

// sample is something, with zeros at the front, in the middle and at its edges, that
// ends in the middle of an object.
func sample() []byte {
	buf := make([]byte, 21*mib+4096+512)
	random := rand.NewChaCha8([32]byte{1})
	for _, at := range []int{5*mib + 8192, 6 * mib, 16*mib - 4096, len(buf) - 600} {
		_, _ = random.Read(buf[at:min(at+70_000, len(buf))])
	}
	return buf
}

// holds fails the test unless the volume holds the data, and zeros behind them. It
// returns how many bytes had to be read for it.
func (s *suite) holds(v volume.Ref, want []byte) (read int) {
	s.Helper()
	_, r := s.data()
	snap := s.snapshot(v)
	got, last := make([]byte, len(want)), int64(-1)
	err := r.ReadSnapshot(s.Context(), snap, nil, func(offset int64, data []byte) error {
		if offset <= last {
			s.Errorf("offset %d came after %d", offset, last)
		}
		last = offset
		read += len(data)
		if end := offset + int64(len(data)); end > int64(len(got)) {
			got = append(got, make([]byte, end-int64(len(got)))...)
		}
		copy(got[offset:], data)
		return nil
	})
	s.want("", err)
	if behind := got[len(want):]; !bytes.Equal(got[:len(want)], want) || bytes.Count(behind, []byte{0}) != len(behind) {
		s.Error("the volume holds something else")
	}
	s.want("", s.d.DeleteSnapshot(s.Context(), snap))
	return read
}

func (s *suite) write() {
	w, r := s.data()
	v, want := s.volume(1), sample()
	percent := 0
	for range 2 {
		s.want("", w.WriteVolume(s.Context(), v, bytes.NewReader(want), int64(len(want)), func(p int) { percent = p }))
	}
	if percent < 90 {
		s.Errorf("the last progress was %d %%", percent)
	}
	if read := s.holds(v, want); read > 16*mib {
		s.Errorf("%d bytes are not zero", read)
	}
	// What was there before shows nowhere, neither beyond the end nor below zeros.
	less := make([]byte, 6*mib)
	less[0] = 1
	s.want("", w.WriteVolume(s.Context(), v, bytes.NewReader(less), int64(len(less)), nil))
	s.holds(v, less)

	// A clone does not show what its parent holds, and does not change it.
	snap := s.snapshot(v)
	c := s.cloneOf(snap, 1)
	s.want("", w.WriteVolume(s.Context(), c, bytes.NewReader(nil), 0, nil))
	s.holds(c, nil)
	s.holds(v, less)
	refusal := errors.New("no more")
	err := r.ReadSnapshot(s.Context(), snap, nil, func(int64, []byte) error { return refusal })
	if !errors.Is(err, refusal) {
		s.Errorf("reading ended with %v", err)
	}
	s.want(fault.NotFound, r.ReadSnapshot(s.Context(), volume.SnapshotRef{Volume: v, Name: snapName()}, nil, nil))
}

func (s *suite) writeRefused() {
	w, _ := s.data()
	v := s.volume(1)
	data := make([]byte, 8*mib)
	data[0] = 1
	s.want(fault.Invalid, w.WriteVolume(s.Context(), v, bytes.NewReader(nil), volume.GiB+1, nil))
	s.want(fault.Invalid, w.WriteVolume(s.Context(), v, bytes.NewReader(data), int64(len(data))+1, nil))
	s.want(fault.Invalid, w.WriteVolume(s.Context(), v, bytes.NewReader(data), int64(len(data))-1, nil))
	s.want(fault.NotFound, w.WriteVolume(s.Context(), volume.Ref{Name: name()}, bytes.NewReader(data), 1, nil))
	s.want(fault.Conflict, w.WriteVolume(s.Context(), volume.Ref{Name: v.Name, ImageID: "another"}, bytes.NewReader(data), 1, nil))

	broken := fault.New(fault.Busy, "the source is away")
	s.want(fault.Busy, w.WriteVolume(s.Context(), v, io.MultiReader(bytes.NewReader(data), failing{broken}), volume.GiB, nil))
	// What is only found out at the end counts as well.
	s.want(fault.Busy, w.WriteVolume(s.Context(), v, io.MultiReader(bytes.NewReader(data), failing{broken}), int64(len(data)), nil))

	ctx, cancel := context.WithCancel(s.Context())
	s.want(fault.Cancelled, w.WriteVolume(ctx, v, io.MultiReader(bytes.NewReader(data), cancels{cancel}, endless{}), volume.GiB, nil))
}

func (s *suite) clear() {
	w, _ := s.data()
	v, data := s.volume(1), sample()
	s.want("", w.WriteVolume(s.Context(), v, bytes.NewReader(data), int64(len(data)), nil))
	for range 2 {
		s.want("", w.ClearVolume(s.Context(), v, nil))
		if read := s.holds(v, nil); read != 0 {
			s.Errorf("%d bytes are left", read)
		}
	}
	s.want(fault.NotFound, w.ClearVolume(s.Context(), volume.Ref{Name: name()}, nil))
}

// failing is a reader that fails.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// cancels is an empty reader that cancels something.
type cancels struct{ cancel func() }

func (c cancels) Read([]byte) (int, error) { c.cancel(); return 0, io.EOF }

// endless is a reader of zeros.
type endless struct{}

func (endless) Read(p []byte) (int, error) { clear(p); return len(p), nil }
