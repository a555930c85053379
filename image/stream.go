package image

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/url"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/redact"
)

// Stream is an image on its way in. It belongs to one goroutine, which closes it.
type Stream struct {
	// Format is what the image has been found to be.
	Format Format
	// Size is that of the image as it comes, in bytes; -1 for not known.
	Size int64

	gate *Gate
	url  *url.URL
	ctx  context.Context
	from io.ReadCloser
	head *bufio.Reader
	sum  digest
	read int64
	most int64

	source Source
}

// bufferSize is how much is read from a source at once.
const bufferSize = 256 << 10

// Open begins to read an image for a disk of the given size, and finds its format
// out. The ctx counts until the stream is closed. Kinds: Invalid for what must not be
// used or does not fit, NotFound, Unsupported, Busy for a server that does not answer,
// Cancelled.
func (g *Gate) Open(ctx context.Context, s Source, disk int64) (_ *Stream, err error) {
	defer fault.Wrap(&err, "image %s", redact.URL(s.URL))
	if err := s.Check(); err != nil {
		return nil, err
	}
	u, err := parseURL(s.URL)
	if err != nil {
		return nil, err
	}
	stream := &Stream{gate: g, url: u, ctx: ctx, source: s}
	if stream.sum, err = newDigest(s.Checksum); err != nil {
		return nil, err
	}
	if err := stream.open(u); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = stream.Close()
		}
	}()
	stream.head = bufio.NewReaderSize(stream.from, bufferSize)
	head, err := stream.head.Peek(headLength)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if stream.Format, err = Detect(head, s.Format); err != nil {
		return nil, err
	}
	return stream, stream.bound(disk)
}

func (s *Stream) open(u *url.URL) error {
	switch u.Scheme {
	case schemeFile:
		f, size, err := s.gate.openFile(u)
		if err != nil {
			return err
		}
		s.from, s.Size = f, size
	case schemeHTTP, schemeHTTPS:
		r, err := s.gate.openRemote(s.ctx, u.String(), s.sum.hash != nil)
		if err != nil {
			return err
		}
		s.from, s.Size = r, r.size
	default:
		return fault.New(fault.Unsupported, "an image of %s: is not read", u.Scheme).WithField("image.url")
	}
	return nil
}

// bound sets how much the stream may give: as much as the disk has, and for other
// formats than raw what they need beside the data.
func (s *Stream) bound(disk int64) error {
	s.most = disk
	if s.Format != Raw {
		s.most += disk/64 + 64<<20
	}
	switch {
	case s.Size == 0:
		return damaged("it has no bytes")
	case s.Size > s.most:
		return tooLarge(s.Size, disk)
	default:
		return nil
	}
}

// CheckFits refuses, with the kind Invalid, an image of that many bytes for a smaller disk.
func CheckFits(size, disk int64) error {
	if size > disk {
		return tooLarge(size, disk)
	}
	return nil
}

func tooLarge(size, disk int64) error {
	return fault.New(fault.Invalid, "the image has %d bytes, the volume %d", size, disk).
		WithField("size").WithHint("make the volume larger: at least %d GiB", (size+1<<30-1)>>30)
}

// Read gives the image as it comes. At its end it is Invalid instead of io.EOF if the
// checksum is another.
func (s *Stream) Read(p []byte) (int, error) {
	if cause := context.Cause(s.ctx); cause != nil { // a file does not look
		return 0, cause
	}
	n, err := s.head.Read(p)
	s.sum.write(p[:n])
	s.read += int64(n)
	switch {
	case s.read > s.most:
		return 0, fault.New(fault.Invalid, "the image has more than the %d bytes that the volume has room for", s.most).WithField("image.url")
	case !errors.Is(err, io.EOF):
		return n, err
	case s.Size >= 0 && s.read != s.Size:
		return n, fault.New(fault.Conflict, "the image ended after %d of %d bytes", s.read, s.Size).WithField("image.url")
	}
	if err := s.sum.check(); err != nil {
		return n, err
	}
	return n, io.EOF
}

// Close ends the reading.
func (s *Stream) Close() error { return s.from.Close() }

// Direct reports whether the stream is what the disk shall hold, and known in size, so
// that it can be written as it comes.
func (s *Stream) Direct() bool { return s.Format == Raw && s.Size >= 0 }
