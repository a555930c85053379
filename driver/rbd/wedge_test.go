package rbd

import (
	"errors"
	"testing"
	"time"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/internal/testenv"
	"github.com/volumed/volumed/volume"
)

// A librbd that keeps its probe, while the cluster answers, is told as the end of
// this client; one that the cluster keeps waiting is not.
func TestWedgedLibrary(t *testing.T) {
	env := testenv.Ceph(t)
	d := openDriver(t, config(env, env.NewPool(t)))
	wantKind(t, "", d.Ping(t.Context()))
	if at := d.questions.controlLibrary.since(); !at.IsZero() {
		t.Fatalf("the probe of %s is under way still", at)
	}
	long := time.Now().Add(-wedgedAfter)
	stuck := make(chan struct{})
	d.questions.dataLibrary.mu.Lock()
	d.questions.dataLibrary.asked = &asked{at: long, done: stuck}
	d.questions.dataLibrary.mu.Unlock()
	for name, tt := range map[string]struct {
		fit  time.Time
		want bool
	}{
		"the cluster has answered all the time": {long, true},
		"the cluster was away until just now":   {time.Now(), false},
		"the cluster has only been asked now":   {time.Time{}, false},
	} {
		d.fitness.since = tt.fit
		if err := d.Ping(t.Context()); errors.Is(err, driver.ErrShutOut) != tt.want || !tt.want && err != nil {
			t.Errorf("%s: ping = %v", name, err)
		}
	}
	d.fitness.since = long
	if err := d.askLibrary(t.Context(), false); err != nil || !d.fitness.since.IsZero() {
		t.Errorf("while the cluster does not answer: %v", err)
	}
	close(stuck)
}

// A probe comes back on both connections, and leaves nothing.
func TestProbe(t *testing.T) {
	env := testenv.Ceph(t)
	d := openDriver(t, config(env, env.NewPool(t)))
	for _, l := range []*link{d.control, d.data} {
		wantKind(t, "", l.probe())
	}
	wantKind(t, "", d.Inventory(t.Context(), true, func(img volume.Image, _ int) error {
		t.Errorf("left behind: %+v", img)
		return nil
	}))
}
