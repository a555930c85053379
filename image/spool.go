package image

import (
	"errors"
	"io"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/volumed/volumed/fault"
)

// spool makes files without a name: however their process ends, nothing of them is
// left.
type spool struct {
	dir     string
	reserve int64

	mu       sync.Mutex
	promised int64 // to files, and neither in them nor taken from the file system
}

// growth is how much is asked of the file system at once where the size is not known.
const growth = 64 << 20

// create makes a file that will have the size; -1 for not known. Kind: Exhausted.
func (s *spool) create(size int64) (_ *spoolFile, err error) {
	return s.open(func(f *spoolFile) error { return f.promise(max(size, 0)) })
}

// createEmpty makes a file for a child, which begins by emptying it, that will have at
// most the size. Kind: Exhausted.
func (s *spool) createEmpty(size int64) (_ *spoolFile, err error) {
	return s.open(func(f *spoolFile) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		return f.count(size)
	})
}

func (s *spool) open(prepare func(*spoolFile) error) (_ *spoolFile, err error) {
	defer fault.Wrap(&err, "image_conversion_dir %s", s.dir)
	if err := os.MkdirAll(s.dir, 0o750); err != nil {
		return nil, broken(err)
	}
	f, err := os.OpenFile(s.dir, os.O_RDWR|unix.O_TMPFILE, 0o600)
	if err != nil {
		return nil, broken(err)
	}
	spooled := &spoolFile{File: f, spool: s}
	if err := prepare(spooled); err != nil {
		_ = spooled.Close()
		return nil, err
	}
	return spooled, nil
}

// broken is the error of a spool that cannot be used.
func broken(err error) error {
	if f := fault.Of(fileError(err)); f.Kind == fault.Exhausted {
		return f.WithField("")
	}
	return fault.New(fault.Internal, "%w", err).WithHint("image_conversion_dir must be a directory that the service can write to")
}

// spoolFile is one file. It belongs to one goroutine.
type spoolFile struct {
	*os.File
	spool    *spool
	written  int64
	room     int64 // that the file system has given it, from its start
	promised int64 // beyond that
}

// promise makes sure that there is room for n bytes more. It takes them from the file
// system at once: other processes write there as well, and know of no promise.
func (f *spoolFile) promise(n int64) error {
	s := f.spool
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := roomFor(f.File, n, s.reserve+s.promised); err != nil || n == 0 {
		return err
	}
	switch err := allocate(f.File, f.room, n); {
	case errors.Is(err, unix.EOPNOTSUPP):
		return f.count(n)
	case err != nil:
		return broken(err)
	}
	f.room += n
	if roomFor(f.File, 0, s.reserve+s.promised) != nil { // others have taken theirs at the same time
		return noRoom(n, 0)
	}
	return nil
}

// allocate has the file system give a file n bytes from the offset on, beyond its end.
func allocate(f *os.File, offset, n int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, offset, n)
		if !errors.Is(err, unix.EINTR) { // the runtime's own signals interrupt it
			return err
		}
	}
}

// count promises what the file system does not give beforehand. The lock is held.
func (f *spoolFile) count(n int64) error {
	s := f.spool
	if err := roomFor(f.File, n, s.reserve+s.promised); err != nil {
		return err
	}
	s.promised += n
	f.promised += n
	return nil
}

// roomFor is Exhausted unless n bytes can be added to the file system of f and leave
// the reserve free.
func roomFor(f *os.File, n, reserve int64) error {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil {
		return broken(err)
	}
	if free := int64(fs.Bavail)*fs.Bsize - reserve; n > free {
		return noRoom(n, max(free, 0))
	}
	return nil
}

func noRoom(n, free int64) error {
	return fault.New(fault.Exhausted, "the image needs %d bytes more, and there are %d for it", n, free).
		WithHint("make room, or use a larger file system: for image_conversion_dir, or where the image goes")
}

// Write takes what was promised first.
func (f *spoolFile) Write(p []byte) (int, error) {
	if more := f.written + int64(len(p)) - f.room - f.promised; more > 0 {
		if err := f.promise(max(growth, more)); err != nil {
			return 0, err
		}
	}
	n, err := f.File.Write(p)
	f.written += int64(n)
	f.fulfil(min(f.promised, f.written-f.room))
	if err != nil {
		err = broken(err)
	}
	return n, err
}

// fulfil ends a promise of n bytes: they are in the file, or will not be.
func (f *spoolFile) fulfil(n int64) {
	if n <= 0 {
		return
	}
	f.spool.mu.Lock()
	defer f.spool.mu.Unlock()
	f.spool.promised -= n
	f.promised -= n
	f.room += n
}

// Close ends the file.
func (f *spoolFile) Close() error {
	f.fulfil(f.promised)
	return f.File.Close()
}

// path is how a child that has inherited a file under the number opens it.
func path(number int) string { return "/proc/self/fd/" + strconv.Itoa(number) }

// Whole is an image that is here whole, checked, and of a known size for its guest. It
// is a copy that nobody else can reach. The caller closes it.
type Whole struct {
	Format  Format
	Size    int64 // of the file
	Virtual int64 // of the disk that a guest sees

	file *spoolFile
}

// Whole reads the rest of the stream into a spool, and then the headers. A file is copied
// as well: whoever may write it could change it between the look and the use. progress is
// told how many bytes have come; it may be nil. Kinds: those of Read and Probe; Exhausted
// for a spool without room.
func (s *Stream) Whole(disk int64, progress func(bytes int64)) (w *Whole, err error) {
	f, err := s.gate.spool.create(s.Size)
	if err != nil {
		return nil, err
	}
	w = &Whole{Format: s.Format, file: f}
	defer func() {
		if err != nil {
			_ = f.Close()
		}
	}()
	// Not io.Copy from the file's own ReadFrom: what is written has to be counted.
	if w.Size, err = io.Copy(io.MultiWriter(f, progressWriter(progress)), s); err != nil {
		return nil, err
	}
	if w.Virtual, err = Probe(f, w.Size, w.Format); err != nil {
		return nil, err
	}
	if w.Virtual > disk {
		return nil, tooLarge(w.Virtual, disk)
	}
	return w, nil
}

// Close gives the space of the spool back.
func (w *Whole) Close() error { return w.file.Close() }

// Data returns the whole of a raw image.
func (w *Whole) Data() io.Reader { return io.NewSectionReader(w.file, 0, w.Size) }

// progressWriter counts what is written to it.
func progressWriter(progress func(int64)) io.Writer {
	if progress == nil {
		return io.Discard
	}
	return &counter{progress: progress}
}

type counter struct {
	n        int64
	progress func(int64)
}

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	c.progress(c.n)
	return len(p), nil
}
