package worker

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
)

// neighbours are the connections to other backends that volumes are copied to.
type neighbours struct {
	mu  sync.Mutex
	all []*neighbour
}

// neighbour is one of them.
type neighbour struct {
	driver.Driver
	image string // name, of what is copied there

	// The mu of neighbours guards these. away tells that it did not answer the last time;
	// back is when it did again, after it had not. Zero if it always has.
	away bool
	back time.Time
}

func (n *neighbours) add(d driver.Driver, image string) *neighbour {
	n.mu.Lock()
	defer n.mu.Unlock()
	one := &neighbour{Driver: d, image: image}
	n.all = append(n.all, one)
	return one
}

func (n *neighbours) forget(one *neighbour) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = slices.DeleteFunc(n.all, func(other *neighbour) bool { return other == one })
}

// note takes in whether a neighbour answers.
func (n *neighbours) note(one *neighbour, answers bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if answers && one.away {
		one.back = time.Now()
	}
	one.away = !answers
}

// holdUp reports whether a neighbour that the image is copied to does not answer, or has
// not for as long as limit since it did not.
func (n *neighbours) holdUp(image string, limit time.Duration) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.ContainsFunc(n.all, func(one *neighbour) bool {
		return one.image == image && (one.away || !one.back.IsZero() && time.Since(one.back) < limit)
	})
}

// before returns the other connections for the same image: those that could not be closed.
func (n *neighbours) before(one *neighbour) []*neighbour {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(n.all), func(other *neighbour) bool { return other == one || other.image != one.image })
}

// endLeft ends what calls still do that earlier connections for the same image were left
// with: else they could make the copy after it has been removed. They are shut out, which
// ends those that hang, and given the time of a Close to return; where they cannot be shut
// out they have to return.
func (w *Worker) endLeft(ctx context.Context, to *neighbour) error {
	for _, old := range w.neighbours.before(to) {
		fencer, refused := driver.Ability[driver.Fencer](to.Driver, "shut clients out")
		if refused == nil {
			refused = fencer.Fence(ctx, old.Addrs())
		}
		closed := old.Close()
		if closed == nil {
			w.neighbours.forget(old)
			continue
		}
		if refused != nil {
			return fault.New(fault.Unavailable, "an earlier connection to the destination is still at work (%v), and cannot be shut out: %w", closed, refused)
		}
		w.log.Warn("calls of an earlier connection to a destination do not return; it is shut out there", "addrs", old.Addrs(), "error", closed)
	}
	return nil
}

// addrs returns the addresses of the connections.
func (n *neighbours) addrs() (addrs []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, d := range n.all {
		addrs = append(addrs, d.Addrs()...)
	}
	return addrs
}

// addrs returns the addresses under which clusters know this process.
func (w *Worker) addrs() []string {
	addrs := []string{}
	if w.driver != nil { // it is not connected before its cluster answers
		addrs = append(addrs, w.driver.Addrs()...)
	}
	return append(addrs, w.neighbours.addrs()...)
}
