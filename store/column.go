package store

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/volumed/volumed/fault"
)

// A row is described once, by a function that returns pointers to its fields in
// the order of its columns: as they are they are scanned into, and bind makes the
// arguments of a statement of them.

// timeColumn is a time in a column of microseconds; the zero time is NULL.
type timeColumn time.Time

func (t *timeColumn) value() (any, error) {
	if time.Time(*t).IsZero() {
		return nil, nil
	}
	return time.Time(*t).UnixMicro(), nil
}

// Scan implements sql.Scanner.
func (t *timeColumn) Scan(src any) error {
	switch src := src.(type) {
	case nil:
		*t = timeColumn{}
	case int64:
		*t = timeColumn(time.UnixMicro(src).UTC())
	default:
		return fmt.Errorf("a time is stored as %T", src)
	}
	return nil
}

func timeOf(t *time.Time) *timeColumn { return (*timeColumn)(t) }

// jsonColumn is anything in a column of JSON; empty values are NULL.
type jsonColumn struct{ ptr any }

func jsonOf(ptr any) *jsonColumn { return &jsonColumn{ptr} }

func (j *jsonColumn) value() (any, error) {
	if raw, ok := j.ptr.(*json.RawMessage); ok { // kept byte for byte
		if len(*raw) == 0 {
			return nil, nil
		}
		return string(*raw), checkText(string(*raw))
	}
	text, err := json.Marshal(j.ptr)
	if err != nil {
		return nil, err
	}
	switch string(text) {
	case "null", "{}", "[]":
		return nil, nil
	default:
		return string(text), nil
	}
}

// Scan implements sql.Scanner.
func (j *jsonColumn) Scan(src any) error {
	var text []byte
	switch src := src.(type) {
	case nil:
		return nil
	case string:
		text = []byte(src)
	case []byte:
		text = append(text, src...)
	default:
		return fmt.Errorf("JSON is stored as %T", src)
	}
	if raw, ok := j.ptr.(*json.RawMessage); ok {
		*raw = text
		return nil
	}
	return json.Unmarshal(text, j.ptr)
}

// bind returns the arguments as the drivers take them: pointers followed, times
// and JSON in their stored form. Text that one of the engines would refuse is
// fault.Invalid on both.
func bind(args []any) ([]any, error) {
	bound := make([]any, len(args))
	for i, arg := range args {
		var err error
		switch arg := arg.(type) {
		case string:
			bound[i], err = arg, checkText(arg)
		case *string:
			bound[i], err = *arg, checkText(*arg)
		case *int64:
			bound[i] = *arg
		case *int:
			bound[i] = int64(*arg)
		case *bool:
			bound[i] = *arg
		case interface{ value() (any, error) }:
			bound[i], err = arg.value()
		default:
			bound[i] = arg
		}
		if err != nil {
			return nil, err
		}
	}
	return bound, nil
}

// checkText refuses what PostgreSQL cannot store in text.
func checkText(s string) error {
	switch {
	case strings.IndexByte(s, 0) >= 0:
		return fault.New(fault.Invalid, "text with a NUL character cannot be stored: %q", shorten(s))
	case !utf8.ValidString(s):
		return fault.New(fault.Invalid, "text that is not UTF-8 cannot be stored: %q", shorten(s))
	}
	return nil
}

func shorten(s string) string {
	const enough = 64
	if len(s) <= enough {
		return s
	}
	return s[:enough] + "…"
}
