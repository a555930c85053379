package worker

import (
	"slices"
	"sync"

	"github.com/volumed/volumed/driver"
)

// neighbours are the connections to other backends that volumes are copied to.
type neighbours struct {
	mu  sync.Mutex
	all []driver.Driver
}

func (n *neighbours) add(d driver.Driver) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, d)
}

func (n *neighbours) forget(d driver.Driver) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = slices.DeleteFunc(n.all, func(one driver.Driver) bool { return one == d })
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
