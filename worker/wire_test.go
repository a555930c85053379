package worker_test

import (
	"net"
	"net/url"
	"sync"
	"testing"
)

// wire stands between a client and its server, and can be stopped or cut.
type wire struct {
	listener net.Listener
	server   string

	mu     sync.Mutex
	opened *sync.Cond // nothing passes while it is stopped
	still  bool
	cut    bool
	conns  map[net.Conn]bool
	work   sync.WaitGroup
}

// newWire returns a wire to the server of the URL, and the URL by which it is reached.
func newWire(t testing.TB, server string) (*wire, string) {
	t.Helper()
	address := must[*url.URL](t)(url.Parse(server))
	w := &wire{server: address.Host, conns: map[net.Conn]bool{}}
	w.listener = must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	w.opened = sync.NewCond(&w.mu)
	w.work.Go(w.accept)
	t.Cleanup(func() {
		_ = w.listener.Close()
		w.set(false, true)
		w.work.Wait()
	})
	address.Host = w.listener.Addr().String()
	return w, address.String()
}

// set stops what passes, or lets it go on; and cuts all connections, and those to
// come, or lets new ones be made.
func (w *wire) set(still, cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.still, w.cut = still, cut
	if cut {
		for c := range w.conns {
			_ = c.Close()
		}
	}
	w.opened.Broadcast()
}

func (w *wire) accept() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		w.work.Go(func() {
			server, err := net.Dial("tcp", w.server)
			if err != nil || !w.keep(client, server) {
				_ = client.Close()
				return
			}
			w.work.Go(func() { w.copy(client, server) })
			w.copy(server, client)
		})
	}
}

// keep notes a connection, unless the wire is cut.
func (w *wire) keep(ends ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range ends {
		if w.cut {
			_ = c.Close()
		}
		w.conns[c] = true
	}
	return !w.cut
}

func (w *wire) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		w.mu.Lock()
		for w.still && !w.cut {
			w.opened.Wait()
		}
		w.mu.Unlock()
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}
