package operation

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
)

// A junior gets what nobody else wants, and is asked for it as soon as somebody does.
func TestJuniorsComeLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, granted := newLane(Flatten, Limits{Slots: 1, Queue: 100}), make(chan string, 10)
		asked := make(chan string, 10)
		releases := map[string]func(){}
		behind := func(name string) {
			go func() {
				release, err := l.acquireBehind(t.Context(), func() { asked <- name })
				if err == nil {
					releases[name] = release
					granted <- name
				}
			}()
			synctest.Wait()
		}
		behind("j1")
		behind("j2")
		queueUp(t.Context(), l, "senior", granted)
		if first, by := <-granted, <-asked; first != "j1" || by != "j1" {
			t.Errorf("%s had the slot, %s was asked", first, by)
		}
		queueUp(t.Context(), l, "other", granted)
		releases["j1"]()
		order := []string{<-granted}
		l.release()
		order = append(order, <-granted)
		l.release()
		order = append(order, <-granted)
		releases["j2"]()
		if want := []string{"senior", "other", "j2"}; !slices.Equal(order, want) {
			t.Errorf("order %v, want %v", order, want)
		}
		if l.busy != 0 || len(l.behind) != 0 || len(l.spare) != 0 || len(asked) != 0 {
			t.Errorf("left: %d slots, %d waiting, %d at work, %d asked", l.busy, len(l.behind), len(l.spare), len(asked))
		}
	})
}

func TestJuniorLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(Flatten, Limits{Slots: 1, Queue: 100})
		if err := l.acquire(t.Context(), "p"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error)
		go func() {
			_, err := l.acquireBehind(ctx, func() {})
			left <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-left; err == nil {
			t.Error("it was granted a slot that is taken")
		}
		l.release()
		if l.busy != 0 || len(l.behind) != 0 {
			t.Errorf("left: %d slots, %d waiting", l.busy, len(l.behind))
		}
	})
}
