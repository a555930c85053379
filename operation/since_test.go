package operation

import (
	"context"
	"errors"
	"testing"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// A method is refused while somebody lives who would not know its operations, and
// names him.
func TestMethodNewerThanTheOldestService(t *testing.T) {
	e := New(Config{Lanes: map[Lane]Limits{Work: {Slots: 1, Queue: 1}}})
	pin := volume.Pin{Version: "1.9", By: []string{"node2@rbd0"}}
	e.cfg.Pin = func(context.Context) (volume.Pin, error) { return pin, nil }
	Register(e, Method[args]{Name: "new", Lane: Work, Since: "1.10"})
	Register(e, Method[args]{Name: "first", Lane: Work})
	if _, err := e.admissible(t.Context(), &Request{Method: "first"}); err != nil {
		t.Errorf("a method of the first version: %v", err)
	}
	_, err := e.admissible(t.Context(), &Request{Method: "new"})
	if f := fault.Of(err); f == nil || f.Kind != fault.Unsupported || len(f.BlockedBy) != 1 || f.BlockedBy[0] != "node2@rbd0" {
		t.Errorf("beside an older service: %v", err)
	}
	pin = volume.Pin{Version: "1.10"}
	if _, err := e.admissible(t.Context(), &Request{Method: "new"}); err != nil {
		t.Errorf("once all know it: %v", err)
	}
	e.cfg.Pin = func(context.Context) (volume.Pin, error) { return volume.Pin{}, fault.Unavailable }
	if _, err := e.admissible(t.Context(), &Request{Method: "new"}); !errors.Is(err, fault.Unavailable) {
		t.Errorf("while the services are not known: %v", err)
	}
}
