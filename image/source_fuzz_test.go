package image

import (
	"strings"
	"testing"
	"unicode"

	"github.com/volumed/volumed/internal/redact"
)

// Whatever a URL says: no panic, what is shown of it hides what may be secret, and prints.
func FuzzSource(f *testing.F) {
	for _, url := range []string{
		"file:///srv/images/x", "file:///srv/../etc/passwd", "file://host/x", "http://example.com/x?signature=secret#part",
		"https://user:secret@example.com/", "rbd://fsid/pool/image/snap", "HTTP://EXAMPLE.COM", "http://[::1]:80/%00", "//", "rbd://fsid/pool/%1b[2J/snap", "file:///srv/%00", "http:x", "\x1b[2J",
	} {
		f.Add(url, "qcow2", "sha256:00")
	}
	f.Fuzz(func(t *testing.T, url, format, checksum string) {
		s := Source{URL: url, Format: Format(format), Checksum: checksum}
		if s.Check() != nil {
			return
		}
		shown := redact.URL(url)
		if u, err := parseURL(url); err != nil || u.Scheme[0] != 'h' && strings.ContainsFunc(u.Path, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q has the path %q, %v", url, u.Path, err)
		}
		if strings.Contains(shown, "?") || strings.ContainsFunc(shown, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q is shown as %q", url, shown)
		}
	})
}
