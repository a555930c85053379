package config

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
)

// shortestKey is the length of the shortest secret that stands alone.
const shortestKey = 40

// masked stands for every secret.
const masked = "***"

// Secret is a value that must not be printed. Formatting, logging and encoding
// it give "***"; Reveal is the one way to the value.
type Secret string

// Reveal returns the value itself.
func (s Secret) Reveal() string { return string(s) }

// String returns "***", or nothing for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return masked
}

// GoString is String, for %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText is String, for JSON and the like.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// sealing is drawn anew by every process, so that nobody can try values.
var sealing = []byte(rand.Text())

// sealed is the same for the same secret within this process, and tells nothing.
func sealed(secret string) string {
	mac := hmac.New(sha256.New, sealing)
	mac.Write([]byte(secret))
	return hex.EncodeToString(mac.Sum(nil))
}

var (
	urlScheme  = regexp.MustCompile(`(^|[\s,'"(=])([A-Za-z][A-Za-z0-9+.-]*://)`)
	secretPair = regexp.MustCompile(`(?i)\b([a-z_]*(?:password|passwd|secret|token))=[^&\s]+`)
	// Keys of cephx, and seeds of NATS with their prefixes for all kinds of keys.
	bareKey = regexp.MustCompile(`AQ[A-Za-z0-9+/]{36}==|\bS[A-Z][A-Z2-7]{56}\b`)
)

// Mask returns text with the passwords of all URLs in it, the values of password=,
// secret= and token= pairs, keys of Ceph and seeds of NATS as "***". A password ends at the last @
// before the next URL, so one with unescaped / or @ or blanks is hidden whole.
func Mask(text string) string {
	if len(text) < shortestKey && !strings.ContainsAny(text, ":=") {
		return text // most values in a log are words and ids
	}
	starts := urlScheme.FindAllStringSubmatchIndex(text, -1)
	var b strings.Builder
	done := 0
	for i, m := range starts {
		end := len(text)
		if i+1 < len(starts) {
			end = starts[i+1][4]
		}
		b.WriteString(text[done:m[4]])
		b.WriteString(maskURL(text[m[4]:m[5]], text[m[5]:end]))
		done = end
	}
	b.WriteString(text[done:])
	pairs := secretPair.ReplaceAllString(b.String(), "$1="+masked)
	return bareKey.ReplaceAllString(pairs, masked)
}

// maskURL hides the password in "user:password@host…". A user name alone is a
// token in NATS, so it is shown only where it is known to be a name.
func maskURL(scheme, rest string) string {
	at := strings.LastIndexByte(rest, '@')
	if at < 0 {
		return scheme + rest
	}
	user, _, hasPassword := strings.Cut(rest[:at], ":")
	switch {
	case hasPassword:
		return scheme + user + ":" + masked + rest[at:]
	case strings.HasPrefix(scheme, "postgres"):
		return scheme + rest
	default:
		return scheme + masked + rest[at:]
	}
}
