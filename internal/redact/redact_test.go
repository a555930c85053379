package redact_test

import (
	"testing"

	"github.com/volumed/volumed/internal/redact"
)

func TestURL(t *testing.T) {
	for text, want := range map[string]string{
		"https://images/a?signature=secret&x=1": "https://images/a",
		"https://user:secret@images/a%20b":      "https://images/a%20b",
		"https://images/a?#secret":              "https://images/a",
		"file:///images/a":                      "file:///images/a",
		"https://images/%zz?secret":             "(no URL)",
	} {
		if got := redact.URL(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestJSON(t *testing.T) {
	for document, want := range map[string]string{
		`{"b":1, "a":[ ]}`: `{"b":1, "a":[ ]}`,
		`{"image":{"url":"https://u:secret@images/a?secret"},"size":9007199254740993}`: `{"image":{"url":"https://images/a"},"size":9007199254740993}`,
		`{"url":"https://images/a b?secret"}`:                                          `{"url":"https://images/a%20b"}`,
		`[["https://images/a?secret"],true,null]`:                                      `[["https://images/a"],true,null]`,
		`{"name":"as in https://images/a?b"}`:                                          `{"name":"as in https://images/a?b"}`,
		`https://images/a`:                                                             `https://images/a`,
		``:                                                                             ``,
	} {
		if got := string(redact.JSON([]byte(document))); got != want {
			t.Errorf("%s: %s, want %s", document, got, want)
		}
	}
}
