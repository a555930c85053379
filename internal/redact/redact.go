// Package redact takes out of what is shown what only some may know. It is a leaf.
package redact

import (
	"bytes"
	"encoding/json"
	"net/url"
	"regexp"
)

// URL returns what may be shown of a URL: no query, which may hold a signature, no
// fragment and no user. What is no URL is not shown at all.
func URL(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "(no URL)"
	}
	u.RawQuery, u.ForceQuery, u.Fragment, u.User = "", false, "", nil
	return u.String()
}

// JSON returns a document with the URLs among its strings as URL shows them. One without
// any is returned as it is, as is what is no JSON.
func JSON(document []byte) []byte {
	if !bytes.Contains(document, []byte("://")) {
		return document
	}
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber() // numbers stay as they are written
	var value any
	if d.Decode(&value) != nil {
		return document
	}
	shown, err := json.Marshal(redacted(value))
	if err != nil {
		return document
	}
	return shown
}

// absolute is how a URL with a server begins.
var absolute = regexp.MustCompile(`^[A-Za-z][-+.0-9A-Za-z]*://`)

// redacted changes the value, and returns it.
func redacted(value any) any {
	switch value := value.(type) {
	case string:
		if absolute.MatchString(value) {
			return URL(value)
		}
	case []any:
		for i := range value {
			value[i] = redacted(value[i])
		}
	case map[string]any:
		for key := range value {
			value[key] = redacted(value[key])
		}
	}
	return value
}
