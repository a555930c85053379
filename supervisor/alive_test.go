package supervisor

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/supervisor/lifeline"
)

// The loop answers while it turns, and only then.
func TestAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held, release := make(chan struct{}), make(chan struct{})
		w := newWorld(t, Config{Workers: backends("rbd0"), OnChange: func(c ChildStatus) {
			if c.Reason == "hold" {
				close(held)
				<-release
			}
		}}, nil)
		if err := w.alive(); err != nil {
			t.Errorf("an idle loop: %v", err)
		}
		w.proc("rbd0").words <- lifeline.Message{State: lifeline.Degraded, Reason: "hold", Ready: true}
		<-held
		if err := w.alive(); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("a loop that is held up: %v", err)
		}
		close(release)
		synctest.Wait()
		if err := w.alive(); err != nil {
			t.Errorf("a loop that goes on: %v", err)
		}
		w.cancel()
		<-w.ended
		if err := w.alive(); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("a loop that has ended: %v", err)
		}
	})
}

func (w *world) alive() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return w.sup.Alive(ctx)
}
