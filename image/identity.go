package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/redact"
)

// Identify asks where the image comes from what it is now, without reading it, and
// returns a text that no other image has: not the next one at the same place either. It
// is empty for what cannot be told from others. What is returned proves that whoever
// gave the source may read it: the server was asked for the image, by the URL given. The
// kinds are those of Open.
func (g *Gate) Identify(ctx context.Context, s Source) (_ string, err error) {
	defer fault.Wrap(&err, "image %s", redact.URL(s.URL))
	if err := s.Check(); err != nil {
		return "", err
	}
	u, err := parseURL(s.URL)
	if err != nil {
		return "", err
	}
	if u.Scheme == schemeFile {
		f, _, err := g.openFile(u)
		if err != nil {
			return "", err
		}
		defer f.Close()
		return fileIdentity(u, f, s), nil
	}
	r := &remote{gate: g, ctx: ctx, url: u.String(), size: -1, asks: true}
	if err := r.open(); err != nil {
		return "", err
	}
	r.drop()
	return r.identity(u, s), nil
}

// Identity is what Identify returns for what the stream reads. That of a file is the
// present one: it differs at the end if somebody has written to the file meanwhile.
func (s *Stream) Identity() string {
	switch from := s.from.(type) {
	case *remote:
		return from.identity(s.url, s.source)
	case *os.File:
		return fileIdentity(s.url, from, s.source)
	}
	return ""
}

// identity is that of a version of an image on a server. A checksum tells which version
// is meant, whatever the server calls it. It counts at its own URL only: who knows the
// checksum of an image may not be allowed to read it.
func (r *remote) identity(u *url.URL, s Source) string {
	switch {
	case r.size < 0:
		return ""
	case s.Checksum != "":
		return identityOf(unsigned(u), s.meaning(), strings.ToLower(s.Checksum), fmt.Sprint(r.size))
	case r.strong == "":
		return ""
	}
	return identityOf(unsigned(u), s.meaning(), r.strong, r.modified, fmt.Sprint(r.size))
}

// meaning is what the declared format changes of an image. Most formats can be seen, and
// nothing else is made of one that they are declared for.
func (s Source) meaning() string {
	if s.Format == Raw || s.Format == VPC {
		return string(s.Format)
	}
	return ""
}

// fileIdentity is that of a file as it is now. Every write changes the time of its last
// change, which nobody can set.
func fileIdentity(u *url.URL, f *os.File, s Source) string {
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return identityOf(u.Path, s.meaning(), strings.ToLower(s.Checksum), fmt.Sprint(st.Dev, st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano()))
}

// identityOf is short, and tells nothing of its parts.
func identityOf(parts ...string) string {
	sum := sha256.New()
	for _, p := range parts {
		_, _ = fmt.Fprintf(sum, "%d:%s", len(p), p) // a hash takes everything
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// signatures are the parameters that sign a URL for a time: of S3, of Google, of Swift.
// They differ each time, and say nothing about which image it is. All others may.
var signatures = struct{ names, prefixes []string }{
	names:    []string{"AWSAccessKeyId", "Signature", "Expires", "GoogleAccessId", "temp_url_sig", "temp_url_expires"},
	prefixes: []string{"X-Amz-", "X-Goog-"},
}

// unsigned is a URL without its signature. All else stays as the server gets it, also
// what cannot be decoded here: it may mean something there.
func unsigned(u *url.URL) string {
	plain := *u
	plain.RawQuery = strings.Join(slices.DeleteFunc(strings.Split(u.RawQuery, "&"), signs), "&")
	plain.Fragment, plain.RawFragment, plain.ForceQuery = "", "", false
	return plain.String()
}

// signs reports whether a parameter is part of a signature, and nothing else: there are
// servers to which a semicolon separates two.
func signs(parameter string) bool {
	key, _, _ := strings.Cut(parameter, "=")
	name, err := url.QueryUnescape(key)
	if err != nil || strings.Contains(parameter, ";") {
		return false
	}
	begins := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
	return slices.Contains(signatures.names, name) || slices.ContainsFunc(signatures.prefixes, begins)
}

// acceptAnswer takes from the answer to the question for one byte what it tells of the
// whole.
func (r *remote) acceptAnswer(resp *http.Response) error {
	switch resp.StatusCode {
	case http.StatusRequestedRangeNotSatisfiable: // it has no first byte
		return nil
	case http.StatusPartialContent:
		var from, to int64
		if _, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-%d/%d", &from, &to, &r.size); err != nil {
			r.size = -1
		}
	default: // a server without ranges; it is not listened to any longer
		if err := status(resp.StatusCode); err != nil {
			return err
		}
		r.size = resp.ContentLength
	}
	r.note(resp.Header)
	return nil
}

// note keeps what tells the version of the image from others.
func (r *remote) note(h http.Header) {
	r.tag, r.strong, r.modified = validator(h), "", h.Get("Last-Modified")
	if tag := h.Get("ETag"); !strings.HasPrefix(tag, "W/") {
		r.strong = tag
	}
}
