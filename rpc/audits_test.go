package rpc

import (
	"reflect"
	"testing"

	"github.com/volumed/volumed/volume"
)

// The reply of every method that operates says when it is not the last word: a long
// wait is made of short ones, and would end with the first.
func TestRepliesOfOperationsArePending(t *testing.T) {
	running, done := volume.Operation{Status: volume.Running}, volume.Operation{Status: volume.Failed}
	for _, m := range Methods() {
		if !m.Operates {
			continue
		}
		for op, want := range map[*volume.Operation]bool{&running: true, &done: false} {
			reply := reflect.New(m.Reply).Elem()
			if field := reply.FieldByName("Operation"); field.Kind() == reflect.Pointer {
				field.Set(reflect.ValueOf(op))
			} else {
				field.Set(reflect.ValueOf(*op))
			}
			p, ok := reply.Interface().(interface{ pending() bool })
			if !ok || p.pending() != want {
				t.Errorf("%s: the reply with an operation that is %s: pending is wrong, or missing", m.Name, op.Status)
			}
		}
	}
}
