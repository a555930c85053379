package fault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"
)

func TestKindOf(t *testing.T) {
	tests := map[string]struct {
		err  error
		want Kind
	}{
		"nil":             {nil, ""},
		"own kind":        {New(Busy, "open image %s", "vol-1"), Busy},
		"wrapped":         {fmt.Errorf("delete: %w", New(Busy, "watched")), Busy},
		"bare kind":       {NotFound, NotFound},
		"cancelled":       {fmt.Errorf("wait: %w", context.Canceled), Cancelled},
		"deadline":        {context.DeadlineExceeded, Unavailable},
		"kind over cause": {New(Unavailable, "connect: %w", io.EOF), Unavailable},
		"unclassified":    {io.EOF, Internal},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := KindOf(tc.err); got != tc.want {
				t.Errorf("KindOf(%v) = %q, want %q", tc.err, got, tc.want)
			}
		})
	}
}

func TestErrorKeepsKindAndCause(t *testing.T) {
	err := error(New(Unavailable, "connect to %s: %w", "mon.a", io.EOF))
	for _, target := range []error{Unavailable, io.EOF} {
		if !errors.Is(err, target) {
			t.Errorf("errors.Is(%v, %v) = false", err, target)
		}
	}
	if errors.Is(err, Busy) {
		t.Error("an error of one kind matches another")
	}
}

func TestOfKeepsDetailsAndTheWholeMessage(t *testing.T) {
	inner := New(Busy, "image is open").WithBlockers("10.0.0.1:0/7").WithField("id").
		WithHint("detach it first").WithRetryAfter(time.Second)
	e := Of(fmt.Errorf("delete volume 7: %w", inner))
	if e.Message != "delete volume 7: image is open" {
		t.Errorf("message = %q", e.Message)
	}
	if e.Kind != Busy || e.Field != "id" || e.Hint == "" || e.RetryAfter != time.Second || len(e.BlockedBy) != 1 {
		t.Errorf("details lost: %+v", e)
	}
	if !errors.Is(e, inner) {
		t.Error("the chain is lost")
	}
	if Of(nil) != nil {
		t.Error("Of(nil) is not nil")
	}
}

func TestWrap(t *testing.T) {
	clone := func(fail error) (err error) {
		defer Wrap(&err, "clone %s", "a")
		return fail
	}
	if err := clone(New(NotFound, "no image")); err.Error() != "clone a: no image" || !errors.Is(err, NotFound) {
		t.Errorf("wrapped = %v", err)
	}
	if err := clone(nil); err != nil {
		t.Errorf("nil became %v", err)
	}
}

func TestEveryKindRoundTripsItsWireCode(t *testing.T) {
	for _, k := range Kinds() {
		if ParseKind(string(k)) != k {
			t.Errorf("%q does not parse to itself", k)
		}
		if k.Status() < 400 {
			t.Errorf("%q has status %d", k, k.Status())
		}
	}
	if got := ParseKind("from_the_future"); got != Internal {
		t.Errorf("unknown code = %q, want internal", got)
	}
	if Kind("from_the_future").Status() != 500 {
		t.Error("an unknown kind has no 500 status")
	}
}
