package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/volumed/volumed/fault"
)

// remote reads an image from a web server. A transfer that breaks off is taken up
// where it was, if the server can and still has the same image: it has to mark which one
// that is, unless a checksum tells in the end.
type remote struct {
	gate    *Gate
	ctx     context.Context
	url     string
	checked bool // who reads has a checksum
	offset  int64
	size    int64 // -1 while it is not known
	tag     string
	failed  int // in a row, without a byte
	pace    pace

	strong, modified string // what else the server says of this version of the image
	asks             bool   // only what it is; nothing is read

	body    io.ReadCloser
	request context.Context // that body belongs to
	cancel  context.CancelCauseFunc
	silent  *time.Timer // ends it
}

// Attempts in a row to take a transfer up again, and the wait before the second; it
// doubles.
const (
	mostAttempts = 5
	firstWait    = 200 * time.Millisecond
)

// errSilent is the cause of a request that was given up for lack of a sign of life.
var errSilent = errors.New("the server is silent")

// openRemote connects to the server. Kinds: those of Read.
func (g *Gate) openRemote(ctx context.Context, url string, checked bool) (*remote, error) {
	r := &remote{gate: g, ctx: ctx, url: url, checked: checked, size: -1, pace: pace{least: g.cfg.MinRate, over: g.cfg.RateTime}}
	return r, r.open()
}

// open connects, as often as it takes.
func (r *remote) open() error {
	for {
		err := r.connect()
		if err == nil {
			return nil
		}
		if err := r.again(err); err != nil {
			return err
		}
	}
}

// Read reads on, over as many connections as it takes. Kinds: Busy for a server that
// does not answer, Conflict for an image that has changed meanwhile, NotFound for one
// that is not there, Invalid for a server that is not to be asked; Cancelled.
func (r *remote) Read(p []byte) (int, error) {
	for {
		if r.size >= 0 && r.offset >= r.size {
			return 0, io.EOF
		}
		err := error(nil)
		if r.body == nil {
			begun := time.Now()
			err = r.connect()
			r.pace.owed += time.Since(begun)
		}
		if err == nil {
			var n int
			if n, err = r.read(p); n > 0 && !errors.Is(err, errSlow) || err == nil {
				return n, nil
			}
		}
		if errors.Is(err, io.EOF) && r.size < 0 {
			r.size = r.offset
			return 0, io.EOF
		}
		r.drop()
		broke := time.Now()
		if err := r.again(err); err != nil {
			return 0, err
		}
		r.pace.owed += time.Since(broke)
		if err := r.pace.settle(); err != nil {
			return 0, err
		}
	}
}

// read reads from the present connection.
func (r *remote) read(p []byte) (int, error) {
	if r.size >= 0 {
		p = p[:min(int64(len(p)), r.size-r.offset)]
	}
	r.silent.Reset(r.gate.cfg.Idle)
	begun := time.Now()
	n, err := r.body.Read(p)
	r.silent.Stop()
	r.offset += int64(n)
	if n > 0 {
		r.failed = 0
	}
	if slow := r.pace.note(n, time.Since(begun)); slow != nil {
		return n, slow
	}
	if err != nil && errors.Is(context.Cause(r.request), errSilent) {
		err = errSilent
	}
	return n, err
}

// Close ends the transfer.
func (r *remote) Close() error { r.drop(); return nil }

func (r *remote) drop() {
	if r.body != nil {
		r.silent.Stop()
		r.cancel(nil)
		_ = r.body.Close()
		r.body = nil
	}
}

// again waits before another attempt, or returns the error to give up with.
func (r *remote) again(err error) error {
	if cause := context.Cause(r.ctx); cause != nil {
		return cause
	}
	var final *fault.Error
	if errors.As(err, &final) {
		return final
	}
	if r.offset > 0 && r.tag == "" && !r.checked {
		return fault.New(fault.Busy, "the server of the image does not go on after %d of %s bytes, and does not mark it, so that it could be taken up again: %w",
			r.offset, sizeText(r.size), err).WithField("image.url").WithHint("give a checksum, or have the server send an ETag or Last-Modified")
	}
	if r.failed++; r.failed >= mostAttempts {
		return fault.New(fault.Busy, "the server of the image does not go on after %d of %s bytes: %w", r.offset, sizeText(r.size), err).
			WithField("image.url").WithHint("try again when it is well")
	}
	wait := time.NewTimer(firstWait << (r.failed - 1))
	defer wait.Stop()
	select {
	case <-wait.C:
		return nil
	case <-r.ctx.Done():
		return context.Cause(r.ctx)
	}
}

func sizeText(n int64) string {
	if n < 0 {
		return "unknown"
	}
	return fmt.Sprint(n)
}

// connect asks for what is missing.
func (r *remote) connect() (err error) {
	ctx, cancel := context.WithCancelCause(r.ctx)
	silent := time.AfterFunc(r.gate.cfg.Idle, func() { cancel(errSilent) })
	defer func() {
		if err != nil {
			silent.Stop()
			if errors.Is(context.Cause(ctx), errSilent) {
				err = errSilent
			}
			cancel(nil)
		}
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url, http.NoBody)
	if err != nil {
		return fault.New(fault.Invalid, "no request can be made of the url").WithField("image.url")
	}
	req.Header.Set("Accept-Encoding", "identity")
	if r.asks {
		req.Header.Set("Range", "bytes=0-0")
	}
	if r.offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", r.offset))
		if r.tag != "" {
			req.Header.Set("If-Range", r.tag)
		}
	}
	resp, err := r.gate.client.Do(req)
	if err != nil {
		return plain(err)
	}
	if err := r.accept(resp, func() { silent.Reset(r.gate.cfg.Idle) }); err != nil {
		_ = resp.Body.Close()
		return err
	}
	r.body, r.request, r.cancel, r.silent = resp.Body, ctx, cancel, silent
	silent.Stop()
	return nil
}

// plain takes the URL, with what may be secret in it, out of an error of a client.
func plain(err error) error {
	var final *fault.Error
	if errors.As(err, &final) {
		return final
	}
	if wrapped := errors.Unwrap(err); wrapped != nil {
		return wrapped
	}
	return err
}

// accept looks whether an answer goes on where the transfer is. What is known is skipped,
// with a sign of life each time something comes.
func (r *remote) accept(resp *http.Response, sign func()) error {
	if r.asks {
		return r.acceptAnswer(resp)
	}
	if err := status(resp.StatusCode); err != nil {
		return err
	}
	if e := resp.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return fault.New(fault.Unsupported, "the server sends the image in the encoding %q", e).WithField("image.url")
	}
	if r.offset == 0 {
		if resp.StatusCode != http.StatusOK {
			return fault.New(fault.Invalid, "the server answers %s to a request for the whole image", resp.Status).WithField("image.url")
		}
		if r.size = resp.ContentLength; r.size < 0 && !r.checked && !framed(resp) {
			return fault.New(fault.Unsupported, "the server does not tell where the image ends").
				WithField("image.url").WithHint("give a checksum")
		}
		r.note(resp.Header)
		return nil
	}
	if tag := validator(resp.Header); tag != r.tag {
		return changed("it is marked %s, and was %s", tag, r.tag)
	}
	if resp.StatusCode == http.StatusPartialContent {
		return r.acceptPart(resp.Header.Get("Content-Range"))
	}
	// The whole once more. Without a mark nobody knows whether it is the same.
	if r.tag == "" && !r.checked || resp.ContentLength != r.size {
		return changed("the server can only send the whole again, and does not say that it is the same")
	}
	known := skipper{pace{least: r.gate.cfg.MinRate, over: r.gate.cfg.RateTime}, time.Now(), sign}
	_, err := io.CopyN(&known, resp.Body, r.offset)
	return err
}

// skipper takes what is known already, as fast as anything else has to come.
type skipper struct {
	pace pace
	last time.Time
	sign func()
}

// Write implements io.Writer.
func (s *skipper) Write(p []byte) (int, error) {
	s.sign()
	waited := time.Since(s.last)
	s.last = s.last.Add(waited)
	return len(p), s.pace.note(len(p), waited)
}

// acceptPart looks whether a part is of an image of the same size, and what is missing.
func (r *remote) acceptPart(text string) error {
	var from, to int64
	var total string
	if _, err := fmt.Sscanf(text, "bytes %d-%d/%s", &from, &to, &total); err != nil || from != r.offset {
		return fault.New(fault.Invalid, "the server sends %q when asked for what follows %d bytes", text, r.offset).WithField("image.url")
	}
	if total != "*" && r.size >= 0 && total != fmt.Sprint(r.size) {
		return changed("it has %q bytes, and had %d", total, r.size)
	}
	return nil
}

// framed reports whether a body without a length has an end that a connection which
// breaks cannot be taken for.
func framed(resp *http.Response) bool {
	return resp.ProtoMajor >= 2 || slices.Contains(resp.TransferEncoding, "chunked")
}

func changed(format string, args ...any) error {
	return fault.New(fault.Conflict, "the image has changed while it was read: %s", fmt.Sprintf(format, args...)).
		WithField("image.url").WithHint("try again")
}

// validator is what tells one version of an image from another: a strong tag, or else
// the time of its change.
func validator(h http.Header) string {
	if tag := h.Get("ETag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		return tag
	}
	return h.Get("Last-Modified")
}

// status returns the final error for an answer that is none, a plain one for a server
// that may answer later.
func status(code int) error {
	switch {
	case code == http.StatusOK, code == http.StatusPartialContent:
		return nil
	case code == http.StatusNotFound, code == http.StatusGone:
		return fault.New(fault.NotFound, "the server has no such image (%d)", code).WithField("image.url")
	case code == http.StatusRequestTimeout, code == http.StatusTooManyRequests, code >= 500:
		return fmt.Errorf("the server answers %d %s", code, http.StatusText(code))
	default:
		return fault.New(fault.Invalid, "the server answers %d %s", code, http.StatusText(code)).WithField("image.url")
	}
}
