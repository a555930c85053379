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
	dead := []string{"10.0.0.1:0/1", "10.0.0.1:0/2"}
	inherited := append(dead[:1:1], volume.Elsewhere(dead[1:])...)
	for name, c := range map[string]struct {
		node    string
		addrs   []string
		err     error
		settled bool
		row     []string // what it names until then
	}{
		"ended":                                  {"a", dead, nil, true, dead},
		"ended, refused":                         {"a", dead, refused, true, dead},
		"silent":                                 {"b", dead, nil, true, volume.Elsewhere(dead)},
		"silent and refused":                     {"b", dead, refused, false, volume.Elsewhere(dead)},
		"ended, after a silent one":              {"a", inherited, nil, true, inherited},
		"ended, after a silent one, and refused": {"a", inherited, refused, false, inherited},
	} {
		t.Run(name, func(t *testing.T) {
			w := &Worker{log: hclog.NewNullLogger(), tuning: newTuning(Live{ServiceDownTime: time.Minute})}
			w.cfg.Node = "a"
			w.before = volume.ServiceState{Service: volume.Service{Node: c.node, CephAddrs: c.addrs}, Age: time.Hour}
			w.attempted.Store(true) // at its own cluster
			if left := w.unfenced(); !slices.Equal(left, c.row) {
				t.Errorf("before it is known what was taken over the row names %v", left)
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
			if left := w.unfenced(); (left == nil) != c.settled || left != nil && !slices.Equal(left, c.row) {
				t.Errorf("the row names %v", left)
			}
		})
	}
}
