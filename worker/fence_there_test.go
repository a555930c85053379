package worker

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// farFence is a backend of another cluster, which fences or does not.
type farFence struct {
	driver.Driver
	err    error
	fenced []string
}

func (f *farFence) Fence(_ context.Context, addrs []string) error {
	f.fenced = append(f.fenced, addrs...)
	return f.err
}

// The dead of a migration to another cluster stay in the row until they are fenced there.
// Whoever is known to have ended may stay unfenced there, whoever was only silent may not.
func TestFencedAtAnotherCluster(t *testing.T) {
	t.Parallel()
	refused := fault.New(fault.Unavailable, "the cluster does not permit it")
	for name, c := range map[string]struct {
		node    string
		err     error
		settled bool
	}{
		"ended":              {"a", nil, true},
		"ended, refused":     {"a", refused, true},
		"silent":             {"b", nil, true},
		"silent and refused": {"b", refused, false},
	} {
		t.Run(name, func(t *testing.T) {
			dead := []string{"10.0.0.1:0/1"}
			w := &Worker{log: hclog.NewNullLogger(), tuning: newTuning(Live{ServiceDownTime: time.Minute})}
			w.cfg.Node = "a"
			w.before = volume.ServiceState{Service: volume.Service{Node: c.node, CephAddrs: dead}, Age: time.Hour}
			w.attempted.Store(true) // at its own cluster
			if !slices.Equal(w.unfenced(), dead) {
				t.Error("forgotten before it is known what was taken over")
			}
			w.owed.known, w.owed.ops = true, map[string]bool{"op": true}
			far := &farFence{err: c.err}
			if err := w.fenceThere(t.Context(), "another", far); err != nil || far.fenced != nil {
				t.Errorf("for another operation: %v, %v", far.fenced, err)
			}
			err := w.fenceThere(t.Context(), "op", far)
			if (err == nil) != c.settled || !slices.Equal(far.fenced, dead) {
				t.Errorf("fenced %v: %v", far.fenced, err)
			}
			if left := w.unfenced(); (left == nil) != c.settled {
				t.Errorf("the row names %v", left)
			}
		})
	}
}
