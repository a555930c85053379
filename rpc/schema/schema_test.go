package schema_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/jsonschema-go/jsonschema"

	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/rpc/schema"
	"github.com/volumed/volumed/volume"
)

var update = flag.Bool("update", false, "write the generated files instead of comparing them")

const page = "../../docs/rpc.md"

// What is checked in is what the Go types say now.
func TestFresh(t *testing.T) {
	words := readWords(t, "..", "../../volume")
	want := map[string][]byte{
		"error.json": encode(t, words, reflect.TypeFor[rpc.ErrorReply](), true),
		page:         document(words),
	}
	for _, m := range rpc.Methods() {
		want[m.Name+".request.json"] = encode(t, words, m.Request, false)
		want[m.Name+".reply.json"] = encode(t, words, m.Reply, true)
	}
	for name, text := range want {
		if *update {
			if err := os.WriteFile(name, text, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(name)
		if err != nil {
			t.Errorf("%v: run go generate ./rpc/schema", err)
			continue
		}
		if diff := cmp.Diff(string(text), string(got)); diff != "" {
			t.Errorf("%s is stale: run go generate ./rpc/schema (-want +got)\n%s", name, diff)
		}
	}
	files, _ := filepath.Glob("*.json")
	for _, name := range files {
		if want[name] == nil {
			t.Errorf("%s belongs to no method: remove it", name)
		}
	}
}

// A caller that validates by the schemas is as strict as the service.
func TestSchemasJudgeLikeTheService(t *testing.T) {
	tests := map[string]struct {
		schema, body string
		valid        bool
	}{
		"create":                {schema.Request(rpc.MethodCreateVolume), `{"name":"a","size":1,"metadata":{"k":"v"}}`, true},
		"empty":                 {schema.Request(rpc.MethodListVolumes), `{}`, true},
		"page":                  {schema.Request(rpc.MethodListVolumes), `{"limit":5,"marker":"x"}`, true},
		"unknown field":         {schema.Request(rpc.MethodCreateVolume), `{"sise":1}`, false},
		"fraction":              {schema.Request(rpc.MethodCreateVolume), `{"size":1.5}`, false},
		"missing id":            {schema.Request(rpc.MethodDeleteVolume), `{}`, false},
		"reply of newer worker": {schema.Reply(rpc.MethodCancelOperation), operationReply, true},
		"error":                 {schema.Error(), `{"error":{"kind":"busy","message":"m","retryable":true,"blocked_by":["x"]}}`, true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var s jsonschema.Schema
			if err := json.Unmarshal([]byte(tc.schema), &s); err != nil {
				t.Fatal(err)
			}
			resolved, err := s.Resolve(nil)
			if err != nil {
				t.Fatal(err)
			}
			var v any
			if err := json.Unmarshal([]byte(tc.body), &v); err != nil {
				t.Fatal(err)
			}
			if err := resolved.Validate(v); (err == nil) != tc.valid {
				t.Errorf("valid = %v, want %v: %v", err == nil, tc.valid, err)
			}
		})
	}
}

const operationReply = `{"operation":{"id":"i","request_id":"r","project_id":"","method":"m","args":{},
	"resource_type":"volume","resource_id":"v","backend":"h@b","lane":"work","status":"running","progress":3,
	"attempt":1,"epoch":1,"created_at":"2026-01-02T03:04:05Z","from_the_future":true}}`

// encode returns the schema of a type. Replies are open: a newer worker may add
// fields, and a client must not mind.
func encode(t *testing.T, words words, of reflect.Type, open bool) []byte {
	t.Helper()
	s, err := jsonschema.ForType(of, &jsonschema.ForOptions{TypeSchemas: map[reflect.Type]*jsonschema.Schema{
		reflect.TypeFor[json.RawMessage](): {}, reflect.TypeFor[volume.Args](): {},
	}})
	if err != nil {
		t.Fatal(err)
	}
	words.describe(s, of, open)
	s.Schema = "https://json-schema.org/draft/2020-12/schema"
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(s); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
