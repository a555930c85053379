package schema_test

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
)

const intro = `# RPC

Generated from the table of methods in package rpc: change it there and run ` + "`go generate ./rpc/schema`" + `.

A request is a NATS request with a JSON object as its body. ` + "`<service>`" + ` is ` + "`host@backend`" + ` as one token:
every character with a meaning in subjects is written as ` + "`%`" + ` and two hexadecimal digits, so that
` + "`node1.example.com@rbd0`" + ` becomes ` + "`node1%2Eexample%2Ecom@rbd0`" + `. Sizes are in GiB, times are RFC 3339 in UTC.

    nats req 'volumed.v1.any.list_volumes' '{"limit": 10}'
    nats req 'volumed.v1.node1@rbd0.create_volume' '{"size": 1}' -H Volumed-Request-Id:my-1 -H Volumed-Wait:30s

A request that is not understood whole is refused whole: an unknown field, a field of the wrong type, a field
that is there twice, anything after the object, a body above 256 KiB, an expired deadline.

## Headers of a request

| header | meaning |
|---|---|
| ` + "`Volumed-Request-Id`" + ` | identifies the request within its project; sent again with the same body, it gets the same answer and is not done twice |
| ` + "`Volumed-Project`, `Volumed-User`" + ` | for whom |
| ` + "`Volumed-Wait`" + ` | how long the answer may wait for the end of the operation, ` + "`0s` to `24h`" + `; absent: answer once accepted |
| ` + "`Volumed-Deadline`" + ` | RFC 3339; a request that arrives later is refused |
| ` + "`traceparent`" + ` | W3C trace context |

Ids, project, user and traceparent are at most 255 printable ASCII characters.

## Errors

A reply with the header ` + "`Nats-Service-Error`" + ` is an error; ` + "`Nats-Service-Error-Code`" + ` is its number, and the body is
` + "`{\"error\": {kind, message, field, blocked_by, hint, retryable, retry_after}, \"operation\": {…}}`" + `, where only kind, message and
retryable are always there and retry_after is in seconds.

| kind | code | the same request may succeed later by itself |
|---|---|---|
`

const events = `
## Events

Best effort: who needs the truth asks for it.

| subject | body |
|---|---|
| ` + "`volumed.v1.event.<type>.<id>`" + ` | one thing that happened to a resource, as in the table events |
| ` + "`volumed.v1.event.operation.<id>`" + ` | the operation after each change, progress included |
| ` + "`volumed.v1.stats.<service>`" + ` | the reply of get_capabilities, at an interval |
`

// document returns the page docs/rpc.md.
func document(words words) []byte {
	var b bytes.Buffer
	b.WriteString(intro)
	for _, k := range []fault.Kind{
		fault.Invalid, fault.NotFound, fault.Exists, fault.Conflict, fault.Busy, fault.Overloaded,
		fault.Cancelled, fault.Internal, fault.Unsupported, fault.Unavailable, fault.Exhausted,
	} {
		again := "no"
		if k.Retryable() {
			again = "yes"
		}
		fmt.Fprintf(&b, "| %s | %d | %s |\n", k, k.Status(), again)
	}
	b.WriteString("\n## Methods\n")
	for _, m := range rpc.Methods() {
		words.method(&b, m)
	}
	b.WriteString(events)
	return b.Bytes()
}

func (w words) method(b *bytes.Buffer, m rpc.Method) {
	subject := rpc.AnySubject(m.Name)
	if m.Scope == rpc.Service {
		subject = strings.Replace(rpc.ServiceSubject("S", m.Name), ".S.", ".<service>.", 1)
	}
	fmt.Fprintf(b, "\n### %s\n\n%s\n\n`%s`\n\n", m.Name, m.Doc, subject)
	b.WriteString("| field | type | meaning |\n|---|---|---|\n")
	w.fields(b, "", m.Request)
	fmt.Fprintf(b, "\nReply: %s. Schemas: [request](../rpc/schema/%s.request.json), [reply](../rpc/schema/%s.reply.json).\n",
		strings.Join(names(m.Reply), ", "), m.Name, m.Name)
}

// fields writes a line for each field, those of objects within below theirs.
func (w words) fields(b *bytes.Buffer, within string, of reflect.Type) {
	for _, field := range reflect.VisibleFields(of) {
		if field.Anonymous {
			continue
		}
		kind := typeName(field.Type)
		if !strings.Contains(field.Tag.Get("json"), ",omit") {
			kind += ", required"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", within+jsonName(field), kind, w.of(of, field))
		if inner, object := objectOf(field.Type); object {
			w.fields(b, within+jsonName(field)+".", inner)
		}
	}
}

// objectOf returns the type of a field that is an object with fields of its own.
func objectOf(of reflect.Type) (inner reflect.Type, object bool) {
	if of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	return of, of.Kind() == reflect.Struct && of != reflect.TypeFor[time.Time]()
}

func names(of reflect.Type) []string {
	var all []string
	for _, field := range reflect.VisibleFields(of) {
		if !field.Anonymous {
			all = append(all, "`"+jsonName(field)+"`")
		}
	}
	return all
}

// typeName says in words what a field's value looks like in JSON.
func typeName(of reflect.Type) string {
	if of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	switch {
	case of == reflect.TypeFor[time.Time]():
		return "time"
	case of.Kind() == reflect.Int64 || of.Kind() == reflect.Int:
		return "integer"
	case of.Kind() == reflect.Bool:
		return "boolean"
	case of.Kind() == reflect.Map || of.Kind() == reflect.Struct:
		return "object"
	default:
		return of.Kind().String()
	}
}
