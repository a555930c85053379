package rbd

import (
	"context"
	"sync"
	"time"

	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
)

// librbd can wedge: the cluster answers, also on the very connection, and still no
// call to librbd comes back any more in this process. It has been met once, in a
// process that had just taken over much work from one that was killed; its cause is
// not known. Only a fresh process helps.

// wedgedAfter is how long librbd may keep a probe while the cluster answers: three
// times what the control connection allows a single operation.
const wedgedAfter = 30 * time.Second

// nobody is the name of no image.
const nobody = "volumed-nobody"

// probe goes the way of every call through the threads of librbd: it opens an image
// that is not there. Whatever that says, it has come back.
func (l *link) probe() error {
	if img, err := rbd.OpenImageReadOnly(l.io, nobody, rbd.NoSnapshot); err == nil {
		return img.Close()
	}
	return nil
}

// fitness is since when the cluster has answered everything.
type fitness struct {
	mu    sync.Mutex
	since time.Time
}

// note takes in whether it has now, and returns since when it has; zero if it has not.
func (f *fitness) note(answers bool) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case !answers:
		f.since = time.Time{}
	case f.since.IsZero():
		f.since = time.Now()
	}
	return f.since
}

// askLibrary probes librbd on all connections while calls are under way: an idle
// one has nobody to keep waiting, and a probe costs as much as opening an image. It
// returns an error, with driver.ErrShutOut in its chain, when a probe has been under
// way for too long while the cluster has answered all the time, over that connection, too;
// that one takes longer than others is none.
func (d *Driver) askLibrary(late context.Context, clusterAnswers bool, probe func(*link) error) error {
	fit := d.fitness.note(clusterAnswers)
	read := d.questions.aside.since()
	asideFit := d.aside.fitness.note(clusterAnswers && (read.IsZero() || time.Since(read) < answerWithin))
	if fit.IsZero() {
		return nil
	}
	if d.calls.any() {
		answers := []func() error{
			d.questions.controlLibrary.ask(late, d, func() error { return probe(d.control) }, "librbd does not answer"),
			d.questions.dataLibrary.ask(late, d, func() error { return probe(d.data) }, "librbd does not answer"),
		}
		awaitAside := d.askAside(late, &d.questions.asideLibrary, probe)
		for _, answer := range answers {
			_ = answer() // what counts is since when there is none
		}
		awaitAside()
	}
	for q, fit := range map[*question]time.Time{
		&d.questions.controlLibrary: fit, &d.questions.dataLibrary: fit, &d.questions.asideLibrary: asideFit,
	} {
		asked := q.since()
		if asked.IsZero() || fit.IsZero() || time.Since(asked) < wedgedAfter || time.Since(fit) < wedgedAfter {
			continue
		}
		return fault.New(fault.Unavailable, "librbd has answered nothing in this process for %s, though the cluster has: %w",
			time.Since(asked).Round(time.Second), driver.ErrShutOut)
	}
	return nil
}
