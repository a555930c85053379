package image

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/redact"
)

// Target is where an image goes.
type Target struct {
	URL string
	// Key tells one delivery from another; the same one repeated has the same.
	Key string
	// Time is that of the request. A file gets it, to the microsecond: so a
	// repetition knows what it has delivered before.
	Time time.Time
}

// Delivery is an image on its way out. It belongs to one goroutine, which closes it.
type Delivery struct {
	// File takes the image; nil if it is to be sent as it comes, by Send.
	File *os.File
	// Done tells that it was delivered before.
	Done bool

	gate  *Gate
	url   *url.URL
	place place
	part  string
	time  time.Time
	spool *spoolFile
}

// Deliver begins to write an image of at most size bytes. With whole, the image cannot
// be sent before its end is known. Kinds: Invalid for what must not be written,
// Exists for a file that is there, Exhausted.
func (g *Gate) Deliver(t Target, size int64, whole bool) (_ *Delivery, err error) {
	defer fault.Wrap(&err, "image %s", redact.URL(t.URL))
	u, err := parseURL(t.URL)
	if err != nil {
		return nil, err
	}
	d := &Delivery{gate: g, url: u, time: t.Time.Truncate(time.Microsecond)}
	if u.Scheme == schemeFile {
		return d, d.openPart(t.Key)
	}
	if whole {
		if d.spool, err = g.spool.createEmpty(size); err != nil {
			return nil, err
		}
		d.File = d.spool.File
	}
	return d, nil
}

// CheckTarget refuses, with the kind Invalid, a file that Deliver would have no place for,
// whatever is there.
func (g *Gate) CheckTarget(t Target) (err error) {
	defer fault.Wrap(&err, "image %s", redact.URL(t.URL))
	u, err := parseURL(t.URL)
	if err != nil || u.Scheme != schemeFile {
		return err
	}
	if _, _, err := g.directoryOf(u); err != nil {
		return err
	}
	if over := len(filepath.Base(partOf(u.Path, t.Key))) - unix.NAME_MAX; over > 0 {
		return fault.New(fault.Invalid, "the name of the file is %d bytes too long", over).WithField("image.url")
	}
	return nil
}

// find finds the place, and the name of what is not there yet.
func (d *Delivery) find(key string) (err error) {
	d.place, err = d.gate.placeOf(d.url)
	d.part = partOf(d.place.name, key)
	return err
}

func partOf(path, key string) string {
	dir, name := filepath.Split(path)
	return dir + "." + name + "." + key + ".part"
}

// openPart makes the file beside its place under a name of its own.
func (d *Delivery) openPart(key string) (err error) {
	if err := d.find(key); err != nil {
		return err
	}
	if d.Done, err = d.delivered(); err == nil && !d.Done {
		d.File, err = d.create()
	}
	if err != nil {
		_ = d.place.root.Close()
	}
	return err
}

// create makes the file. One that is there is given up: a process that hangs, or its
// qemu-img, may write into it still.
func (d *Delivery) create() (*os.File, error) {
	if err := d.place.root.Remove(d.part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fileError(err)
	}
	f, err := d.place.root.OpenFile(d.part, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return nil, fileError(err)
	}
	return f, nil
}

// ours is Busy if the file of that name is not the one that this delivery has written.
func (d *Delivery) ours() error {
	written, err := d.File.Stat()
	if err != nil {
		return fileError(err)
	}
	named, err := d.place.root.Lstat(d.part)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fileError(err)
	}
	if err != nil || !os.SameFile(written, named) {
		return fault.New(fault.Busy, "another process has begun to write the file").WithField("image.url")
	}
	return nil
}

// delivered reports whether the file at the place is the one of this delivery. Kind:
// Exists for another.
func (d *Delivery) delivered() (bool, error) {
	info, err := d.place.root.Lstat(d.place.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fileError(err)
	case info.Mode().IsRegular() && info.ModTime().Equal(d.time):
		return true, nil
	default:
		return false, fault.New(fault.Exists, "there is a file already").WithField("image.url").WithHint("choose another name, or remove it")
	}
}

// Send sends what from gives, size bytes, as the image. A ctx that is cancelled ends it
// at once. Kinds: Busy for a server that does not answer or is silent, Invalid for one
// that refuses; those of from.
func (d *Delivery) Send(ctx context.Context, from io.Reader, size int64) (err error) {
	defer fault.Wrap(&err, "image %s", redact.URL(d.url.String()))
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	idle := d.gate.cfg.Idle
	silent := time.AfterFunc(idle, func() { cancel(errSilent) })
	defer silent.Stop()
	body := &watched{from: from, wait: func() { silent.Stop() }, sign: func() { silent.Reset(idle) }}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, d.url.String(), body)
	if err != nil {
		return fault.New(fault.Invalid, "no request can be made of the url").WithField("image.url")
	}
	req.ContentLength = size
	req.Header.Set("Content-Type", "application/octet-stream")
	req.Header.Set("Expect", "100-continue") // a refusal is heard before the body is sent, and is not lost with it
	// The body can be given once only: no redirect is followed.
	client := &http.Client{Transport: d.gate.client.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		if why := body.failure(); why != nil {
			err = why // why the body ended is why the request did
		}
		return d.unsent(ctx, plain(err))
	}
	_ = resp.Body.Close()
	if resp.StatusCode/100 == 2 {
		return nil
	}
	if err := status(resp.StatusCode); fault.KindOf(err) != fault.Internal {
		return err
	}
	return fault.New(fault.Busy, "the server answers %s", resp.Status).WithField("image.url")
}

// unsent gives an error of a connection its kind.
func (d *Delivery) unsent(ctx context.Context, err error) error {
	var final *fault.Error
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errSilent):
		err = errSilent
	case cause != nil:
		return cause
	case errors.As(err, &final):
		return err
	}
	return fault.New(fault.Busy, "the server does not take the image: %w", err).WithField("image.url").WithHint("try again when it is well")
}

// watched reads. While it does nobody waits for the server, which gives a sign of life by
// asking for more.
type watched struct {
	from io.Reader
	wait func() // for from
	sign func()

	mu  sync.Mutex // a client may read on after it has returned
	err error
}

// Read implements io.Reader.
func (w *watched) Read(p []byte) (int, error) {
	w.wait()
	n, err := w.from.Read(p)
	w.sign()
	if err != nil && !errors.Is(err, io.EOF) {
		w.mu.Lock()
		w.err = err
		w.mu.Unlock()
	}
	return n, err
}

// failure is why the reading failed, if it did.
func (w *watched) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Raw writes a raw image of size bytes and finishes the delivery. produce calls each with
// what is not zero, in order. Kinds: those of produce, Send and Finish.
func (d *Delivery) Raw(ctx context.Context, size int64, produce func(ctx context.Context, each func(offset int64, data []byte) error) error) error {
	if d.File == nil {
		return d.sendRaw(ctx, size, produce)
	}
	if err := d.File.Truncate(size); err != nil {
		return fileError(err)
	}
	err := produce(ctx, func(offset int64, data []byte) error {
		if err := roomFor(d.File, int64(len(data)), d.gate.cfg.Reserve); err != nil {
			return err
		}
		if _, err := d.File.WriteAt(data, offset); err != nil {
			return fileError(err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return d.Finish(ctx)
}

// sendRaw sends an image while it is produced.
func (d *Delivery) sendRaw(ctx context.Context, size int64, produce func(context.Context, func(int64, []byte) error) error) error {
	ctx, cancel := context.WithCancel(ctx)
	reader, writer := io.Pipe()
	produced := make(chan struct{})
	go func() {
		defer close(produced)
		at := int64(0)
		err := produce(ctx, func(offset int64, data []byte) error {
			if err := pad(writer, offset-at); err != nil {
				return err
			}
			at = offset + int64(len(data))
			_, err := writer.Write(data)
			return err
		})
		if err == nil {
			err = pad(writer, size-at)
		}
		_ = writer.CloseWithError(err)
	}()
	err := d.Send(ctx, reader, size)
	_ = reader.CloseWithError(errUnread)
	cancel()
	<-produced
	return err
}

// errUnread is what the producer of an image is told that nobody reads any more.
var errUnread = errors.New("the transfer has ended")

var zeros [64 << 10]byte

// pad writes n zeros.
func pad(w io.Writer, n int64) error {
	for n > 0 {
		written, err := w.Write(zeros[:min(n, int64(len(zeros)))])
		if err != nil {
			return err
		}
		n -= int64(written)
	}
	return nil
}

// Finish brings the file to its place, or sends it. Kinds: Exists for a file that has come
// there meanwhile, Busy if another process has taken the delivery up; those of Send.
func (d *Delivery) Finish(ctx context.Context) (err error) {
	if d.spool != nil {
		info, err := d.File.Stat()
		if err != nil {
			return fileError(err)
		}
		return d.Send(ctx, io.NewSectionReader(d.File, 0, info.Size()), info.Size())
	}
	defer fault.Wrap(&err, "image %s", redact.URL(d.url.String()))
	if err := d.ours(); err != nil {
		return err
	}
	root := d.place.root
	if err := root.Chtimes(d.part, d.time, d.time); err != nil {
		return fileError(err)
	}
	if err := d.File.Sync(); err != nil { // its time as well: by that a repetition knows it
		return fileError(err)
	}
	if err := root.Link(d.part, d.place.name); err != nil { // which, unlike a rename, replaces nothing
		return fileError(err)
	}
	return d.Discard()
}

// Discard removes what was not finished, or is not needed any more. What there is of the
// delivery by then outlives a loss of power. It may be repeated.
func (d *Delivery) Discard() error {
	if d.part == "" {
		return nil
	}
	if err := d.place.root.Remove(d.part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fileError(err)
	}
	dir, err := d.place.root.Open(filepath.Dir(d.place.name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fileError(err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) { // of file systems that flush by themselves
		return fileError(err)
	}
	return nil
}

// Withdraw removes what a delivery that is given up may have left. It may be repeated.
// What was sent to a server stays there, and so does what is below a directory that is not
// allowed any more. Where none can be of that name there is nothing.
func (g *Gate) Withdraw(t Target) (err error) {
	defer fault.Wrap(&err, "image %s", redact.URL(t.URL))
	u, err := parseURL(t.URL)
	if err != nil || u.Scheme != schemeFile {
		return err
	}
	if g.CheckTarget(t) != nil {
		return nil
	}
	d := &Delivery{gate: g, url: u, time: t.Time.Truncate(time.Microsecond)}
	switch err := d.find(t.Key); {
	case errors.Is(err, fs.ErrNotExist): // the directory
		return nil
	case err != nil:
		return err
	}
	defer d.place.root.Close()
	if ours, err := d.delivered(); ours && err == nil {
		if err := d.place.root.Remove(d.place.name); err != nil {
			return fileError(err)
		}
	}
	return d.Discard()
}

// Close ends the delivery.
func (d *Delivery) Close() error {
	switch {
	case d.spool != nil:
		return d.spool.Close()
	case d.place.root == nil:
		return nil
	case d.File != nil:
		return errors.Join(d.File.Close(), d.place.root.Close())
	default:
		return d.place.root.Close()
	}
}
