package rbd

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/volumed/volumed/internal/virtual"
)

// What is seen of others is what the cluster has done, without what the driver has had it do.
func TestCompany(t *testing.T) {
	const seconds = 10
	per := func(perSecond float64) float64 { return perSecond * seconds }
	failed := errors.New("no monitor")
	for name, c := range map[string]struct {
		after traffic
		err   error
		want  presence
	}{
		"nothing is done":            {traffic{}, nil, absent},
		"others do little":           {traffic{operations: per(hardly)}, nil, absent},
		"others do something":        {traffic{operations: per(hardly) + 1}, nil, present},
		"objects are copied":         {traffic{operations: opsObject * 1000, objects: 1000}, nil, absent},
		"and others do something":    {traffic{operations: opsObject*1000 + per(hardly) + 1, objects: 1000}, nil, present},
		"a few calls of the driver":  {traffic{operations: opsCall * 10, calls: 10}, nil, absent},
		"calls for those who use it": {traffic{operations: opsCall * 1000, calls: 1000}, nil, present},
		"the monitors do not tell":   {traffic{}, failed, unknown},
		"a pool was deleted":         {traffic{operations: -1}, nil, unknown},
		"what is copied is not told": {traffic{objects: 1}, nil, unknown},
		"it is not all told yet":     {traffic{operations: 1, objects: 1000}, nil, absent},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var others company
				now := traffic{operations: 1e6, objects: 1e3, calls: 1e3}
				if got := others.look(func() (traffic, error) { return now, nil }); got != unknown {
					t.Errorf("the first look says %d", got)
				}
				virtual.Pass(seconds * time.Second)
				now.operations += c.after.operations
				now.objects += c.after.objects
				now.calls += c.after.calls
				if got := others.look(func() (traffic, error) { return now, c.err }); got != c.want {
					t.Errorf("it says %d, want %d", got, c.want)
				}
			})
		})
	}
}

// What was done before does not count for ever.
func TestCompanyLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var others company
		var now traffic
		count := func() (traffic, error) { return now, nil }
		look := func(lasts time.Duration) (got presence) {
			for end := time.Now().Add(lasts); time.Now().Before(end); virtual.Pass(lookEvery) {
				got = others.look(count)
			}
			return got
		}
		look(2 * lookBack)
		now.operations += 1e4
		if got := look(lookBack); got != present {
			t.Errorf("beside others it says %d", got)
		}
		if got := look(2 * lookEvery); got != absent {
			t.Errorf("when they have left it says %d", got)
		}
		if n := len(others.looks); n > int(lookBack/lookEvery)+1 {
			t.Errorf("%d looks are kept", n)
		}
	})
}

// The cluster tells of what clients have done, and the driver of what it has.
func TestTraffic(t *testing.T) {
	_, d := fresh(t)
	source := create(t, d, "volume-1")
	fill(t, d, source)
	c := clone(t, d, "volume-2", snapshot(t, d, source, "snapshot-1"))
	before, err := d.traffic()
	wantKind(t, "", err)
	wantKind(t, "", d.FlattenVolume(t.Context(), c, nil))
	for after := before; after.operations <= before.operations; { // it is told some seconds later
		after, err = d.traffic()
		wantKind(t, "", err)
		if copied, calls := after.objects-before.objects, after.calls-before.calls; copied != 1 || calls != 1 {
			t.Fatalf("%d objects were copied, in %d calls, want 1 in one", copied, calls)
		}
	}
}
