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
	if err := d.askLibrary(t.Context(), false, (*link).probe); err != nil || !d.fitness.since.IsZero() {
		t.Errorf("while the cluster does not answer: %v", err)
	}
	close(stuck)
}

// librbd is probed on all connections while somebody waits for it, and left alone
// otherwise.
func TestProbedWhileCallsAreUnderWay(t *testing.T) {
	var d Driver
	probed := make(chan *link, 2)
	ask := func() {
		if err := d.askLibrary(t.Context(), true, func(l *link) error { probed <- l; return nil }); err != nil {
			t.Error(err)
		}
	}
	if ask(); len(probed) > 0 {
		t.Error("an idle one was probed")
	}
	leave, err := d.enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	if ask(); len(probed) != 2 {
		t.Errorf("%d connections probed, want 2", len(probed))
	}
}

// A probe comes back on all connections, and leaves nothing.
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
