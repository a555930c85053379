package rpc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/volumed/volumed/fault"
)

// MaxBody is the largest body of a request, in bytes.
const MaxBody = 256 << 10

// fields holds the names of the JSON fields of one type of request.
type fields struct {
	names    []string
	embedded map[string]bool // Go names of embedded structs, which are not part of a path
}

// fieldsOf returns the fields of a struct type, those of embedded structs included.
func fieldsOf(t reflect.Type) fields {
	f := fields{embedded: map[string]bool{}}
	for sf := range t.Fields() {
		name, _, _ := strings.Cut(sf.Tag.Get("json"), ",")
		if sf.Anonymous && name == "" {
			f.embedded[sf.Name] = true
			f.names = append(f.names, fieldsOf(sf.Type).names...)
			continue
		}
		f.names = append(f.names, name)
	}
	return f
}

// decode reads a request body into v, strictly: one JSON object whose keys are
// exactly fields of v, each once. An empty body is an empty object. Errors are
// fault.Invalid and name the field.
func (f fields) decode(body []byte, v any) error {
	if len(body) > MaxBody {
		return fault.New(fault.Invalid, "the body has %d bytes, more than %d", len(body), MaxBody)
	}
	if trimmed := bytes.TrimSpace(body); len(trimmed) == 0 || string(trimmed) == "{}" {
		return nil // most reads, worth no decoder
	}
	if !utf8.Valid(body) {
		return fault.New(fault.Invalid, "the body is not UTF-8")
	}
	if err := f.checkKeys(body); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return f.explain(err)
	}
	return nil
}

// checkKeys refuses what encoding/json lets pass: text after the object, keys
// that differ from a field in case, and keys given twice.
func (f fields) checkKeys(body []byte) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	if start, err := dec.Token(); err != nil || start != json.Delim('{') {
		return fault.New(fault.Invalid, "the body is not a JSON object")
	}
	seen := map[string]bool{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return f.explain(err)
		}
		key := token.(string) // the decoder yields nothing else in this place
		if err := f.checkKey(key, seen); err != nil {
			return err
		}
		var skipped json.RawMessage
		if err := dec.Decode(&skipped); err != nil {
			return f.explain(err)
		}
	}
	if _, err := dec.Token(); err != nil {
		return f.explain(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fault.New(fault.Invalid, "there is more after the JSON object, at byte %d", dec.InputOffset())
	}
	return nil
}

func (f fields) checkKey(key string, seen map[string]bool) error {
	for _, name := range f.names {
		if name != key {
			continue
		}
		if seen[key] {
			return fault.New(fault.Invalid, "field %q is there twice", key).WithField(key)
		}
		seen[key] = true
		return nil
	}
	err := fault.New(fault.Invalid, "unknown field %q", clip(key)).WithField(clip(key))
	switch near := nearest(key, f.names); {
	case near != "":
		return err.WithHint("did you mean %q?", near)
	case len(f.names) == 0:
		return err.WithHint("this method has no fields")
	default:
		return err.WithHint("the fields are %s", strings.Join(f.names, ", "))
	}
}

// explain turns an error of encoding/json into one for a person.
func (f fields) explain(err error) error {
	var typ *json.UnmarshalTypeError
	if errors.As(err, &typ) {
		field := f.path(typ.Field)
		return fault.New(fault.Invalid, "field %q must be %s, not %s", field, kindOf(typ.Type), clip(typ.Value)).WithField(field)
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fault.New(fault.Invalid, "the body is not JSON at byte %d: %w", syntax.Offset, err)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fault.New(fault.Invalid, "the body is not JSON: it ends too early")
	}
	return fault.New(fault.Invalid, "the body does not fit: %w", err)
}

// path returns the JSON path of a field without the names of embedded structs.
func (f fields) path(of string) string {
	for head, rest, ok := strings.Cut(of, "."); ok && f.embedded[head]; head, rest, ok = strings.Cut(of, ".") {
		of = rest
	}
	return of
}

// kindOf says in words what a value of the type looks like in JSON.
func kindOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Map, reflect.Struct:
		return "an object"
	case reflect.Slice:
		return "a list"
	default:
		return fmt.Sprintf("a %s", t.Kind())
	}
}

// clip bounds what an error repeats of a request.
func clip(s string) string {
	const most = 80
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
