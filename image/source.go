package image

import (
	"net/url"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/volumed/volumed/fault"
)

// Source is an image to be brought in.
type Source struct {
	URL      string
	Format   Format // empty: to be found out
	Checksum string // sha256:… or sha512:… in hex; empty: none
}

// Schemes of URLs.
const (
	schemeFile  = "file"
	schemeHTTP  = "http"
	schemeHTTPS = "https"
	// SchemeRBD is an image on the backend's own cluster; it is for the backend.
	SchemeRBD = "rbd"
)

// maxURL is the longest URL that is taken, in bytes.
const maxURL = 4096

// Check refuses, with the kinds Invalid and Unsupported, what can be told to be wrong
// without a look at the image. It says nothing about who may read what.
func (s Source) Check() error {
	u, err := parseURL(s.URL)
	if err != nil {
		return err
	}
	if u.Scheme == SchemeRBD && (s.Checksum != "" || s.Format != "" && s.Format != Raw) {
		return fault.New(fault.Invalid, "an image of rbd: is cloned: it is raw, and nothing of it is read to be checked").WithField("image")
	}
	if err := CheckFormat(s.Format); err != nil {
		return err
	}
	_, err = newDigest(s.Checksum)
	return err
}

// Scheme returns that of a URL, in lower case; empty for what is none.
func Scheme(text string) string {
	u, err := parseURL(text)
	if err != nil {
		return ""
	}
	return u.Scheme
}

// CheckTarget refuses, with the kinds Invalid and Unsupported, a URL or a format that
// no image is written to.
func CheckTarget(text string, f Format) error {
	u, err := parseURL(text)
	switch {
	case err != nil:
		return err
	case u.Scheme == SchemeRBD:
		return fault.New(fault.Unsupported, "no image is written to rbd:").WithField("image.url").WithHint("use file: or http(s):")
	case f != "" && f != Raw && f != QCOW2:
		return fault.New(fault.Invalid, "format %q is not raw or qcow2", string(f)).WithField("image.format")
	}
	return nil
}

func parseURL(text string) (*url.URL, error) {
	invalid := func(format string, args ...any) *fault.Error {
		return fault.New(fault.Invalid, "image url "+format, args...).WithField("image.url")
	}
	switch {
	case text == "":
		return nil, invalid("is missing")
	case len(text) > maxURL:
		return nil, invalid("is longer than %d bytes", maxURL)
	case strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
		return nil, invalid("has characters that do not print")
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, invalid("is not a URL")
	}
	if unseen := strings.ContainsFunc(u.Path, func(r rune) bool { return !unicode.IsPrint(r) }); unseen && u.Scheme != schemeHTTP && u.Scheme != schemeHTTPS {
		return nil, invalid("stands for characters that do not print")
	}
	switch u.Scheme {
	case schemeFile:
		if u.Host != "" && u.Host != "localhost" || !filepath.IsAbs(u.Path) || filepath.Clean(u.Path) != u.Path || u.RawQuery != "" {
			return nil, invalid("does not name a file by its whole path: file:///directory/name")
		}
	case schemeHTTP, schemeHTTPS:
		if u.Host == "" {
			return nil, invalid("names no server")
		}
		if u.User != nil {
			return nil, invalid("has a user in it, which would be shown to others").WithHint("use a URL that is signed")
		}
	case SchemeRBD:
	default:
		return nil, fault.New(fault.Unsupported, "images come by file:, http:, https: and rbd:, not by %q", u.Scheme).WithField("image.url")
	}
	return u, nil
}
