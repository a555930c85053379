package rbd

import (
	"errors"
	"testing"

	"github.com/volumed/volumed/fault"
)

// Only whole addresses of others are fenced: our own end would come with theirs.
func TestFenceRefuses(t *testing.T) {
	_, d := fresh(t)
	for name, addr := range map[string]string{"our own": d.Addrs()[0], "a host": "127.0.0.1", "nothing": ""} {
		t.Run(name, func(t *testing.T) {
			if err := d.Fence(t.Context(), []string{addr}); !errors.Is(err, fault.Invalid) {
				t.Errorf("Fence(%q) = %v, want invalid", addr, err)
			}
		})
	}
	if err := d.Ping(t.Context()); err != nil {
		t.Errorf("after the refusals: %v", err)
	}
}
