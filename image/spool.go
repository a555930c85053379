package image

import (
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
	promised int64 // to files, and not yet in them
}

// growth is how much is asked of the file system at once where the size is not known.
const growth = 64 << 20

// create makes a file that will have the size; -1 for not known. Kind: Exhausted.
func (s *spool) create(size int64) (_ *spoolFile, err error) {
	defer fault.Wrap(&err, "image_conversion_dir %s", s.dir)
	if err := os.MkdirAll(s.dir, 0o750); err != nil {
		return nil, broken(err)
	}
	f, err := os.OpenFile(s.dir, os.O_RDWR|unix.O_TMPFILE, 0o600)
	if err != nil {
		return nil, broken(err)
	}
	spooled := &spoolFile{File: f, spool: s}
	if err := spooled.promise(max(size, 0)); err != nil {
		_ = f.Close()
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
	promised int64
}

// promise makes sure that there is room for n bytes more.
func (f *spoolFile) promise(n int64) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(f.spool.dir, &fs); err != nil {
		return broken(err)
	}
	s := f.spool
	s.mu.Lock()
	defer s.mu.Unlock()
	free := int64(fs.Bavail)*fs.Bsize - s.reserve - s.promised
	if n > free {
		return fault.New(fault.Exhausted, "the image needs %d bytes, and there are %d for it", n, max(free, 0)).
			WithHint("make room, or set image_conversion_dir to a larger file system")
	}
	s.promised += n
	f.promised += n
	return nil
}

// Write takes what was promised first.
func (f *spoolFile) Write(p []byte) (int, error) {
	if int64(len(p)) > f.promised {
		if err := f.promise(max(growth, int64(len(p)))); err != nil {
			return 0, err
		}
	}
	n, err := f.File.Write(p)
	f.fulfil(int64(n))
	if err != nil {
		err = broken(err)
	}
	return n, err
}

func (f *spoolFile) fulfil(n int64) {
	f.spool.mu.Lock()
	defer f.spool.mu.Unlock()
	n = min(n, f.promised)
	f.spool.promised -= n
	f.promised -= n
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
