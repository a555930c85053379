package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// noise stands between clients and the bus and treats their messages badly, both
// ways: it loses, delays, doubles and swaps them, repeats them long after, and cuts
// the connection in the middle of one. What becomes of a message depends on the
// seed, the request it belongs to and how many of it went that way before, and on
// nothing else: with the same seed and the same request ids it is the same again,
// in whatever order the requests come.
type noise struct {
	seed     uint64
	bus      string // host:port
	listener net.Listener
	pumps    sync.WaitGroup
	held     sync.WaitGroup // one for each message that is still to go out

	mu     sync.Mutex
	quiet  bool
	conns  map[net.Conn]bool
	turns  map[string]int    // messages so far, by direction and request
	asker  map[string]string // request ids by the inbox of the answer
	counts map[mishap]int
}

// mishap is what becomes of a message.
type mishap string

const (
	unharmed mishap = "passed"
	lost     mishap = "lost"
	delayed  mishap = "delayed"
	doubled  mishap = "doubled"
	swapped  mishap = "swapped with the next"
	echoed   mishap = "repeated seconds later"
	cut      mishap = "cut off with the connection"
)

// mishaps are how many messages of a thousand have which; the others pass.
var mishaps = []struct {
	mishap
	permille int
}{{lost, 100}, {delayed, 100}, {doubled, 100}, {swapped, 100}, {echoed, 30}, {cut, 2}}

const (
	// longestDelay is more than a caller waits before he asks again.
	longestDelay = 600 * time.Millisecond
	// longestEcho is more than most volumes of the test live.
	longestEcho = 5 * time.Second
	// swapWithin is how long a message waits for another to go before it.
	swapWithin = 50 * time.Millisecond
)

// newNoise starts a proxy to the bus at address; it ends with the test.
func newNoise(t *testing.T, address string, seed uint64) *noise {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &noise{
		seed: seed, bus: address, listener: listener,
		conns: map[net.Conn]bool{}, turns: map[string]int{}, asker: map[string]string{}, counts: map[mishap]int{},
	}
	n.pumps.Go(n.serve)
	t.Cleanup(n.close)
	return n
}

func (n *noise) address() string { return n.listener.Addr().String() }

// hush lets every message pass from now on, and waits for those that are held.
func (n *noise) hush() {
	n.mu.Lock()
	n.quiet = true
	n.mu.Unlock()
	n.held.Wait()
}

func (n *noise) close() {
	n.listener.Close()
	n.mu.Lock()
	for conn := range n.conns {
		conn.Close()
	}
	n.mu.Unlock()
	n.pumps.Wait()
	n.held.Wait()
}

// String tells what became of the messages.
func (n *noise) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(n.counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", n.counts[what], what))
	}
	return strings.Join(parts, ", ")
}

func (n *noise) serve() {
	for {
		client, err := n.listener.Accept()
		if err != nil {
			return // closed
		}
		server, err := net.Dial("tcp", n.bus)
		if err != nil { // the bus is away, as the client will find
			client.Close()
			continue
		}
		end := n.join(client, server)
		n.pumps.Go(func() { defer end(); n.pump("request", client, &outlet{conn: server}) })
		n.pumps.Go(func() { defer end(); n.pump("answer", server, &outlet{conn: client}) })
	}
}

// join remembers two connections; one does not outlive the other.
func (n *noise) join(conns ...net.Conn) (end func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range conns {
		n.conns[c] = true
	}
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, c := range conns {
			c.Close()
			delete(n.conns, c)
		}
	}
}

// pump carries frames until one of the connections ends.
func (n *noise) pump(direction string, from io.Reader, to *outlet) {
	for r := bufio.NewReader(from); ; {
		f, err := readFrame(r)
		if err != nil {
			return
		}
		what, rng := unharmed, (*rand.Rand)(nil)
		if f.message {
			what, rng = n.decide(direction, n.request(f))
		}
		switch what {
		case lost:
		case delayed:
			n.later(to, f, time.Duration(rng.Int64N(int64(longestDelay))))
		case doubled:
			to.send(f.bytes)
			n.later(to, f, time.Duration(rng.Int64N(int64(swapWithin))))
		case echoed:
			to.send(f.bytes)
			n.later(to, f, time.Second+time.Duration(rng.Int64N(int64(longestEcho-time.Second))))
		case swapped:
			n.swap(to, f)
		case cut:
			to.cut(f.bytes[:rng.IntN(len(f.bytes))])
			return
		default:
			to.send(f.bytes)
		}
	}
}

// request is the id of the request that a message is, or is an answer to.
func (n *noise) request(f frame) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	id := f.header("Volumed-Request-Id")
	if id == "" {
		return n.asker[f.subject]
	}
	n.asker[f.reply] = id
	return id
}

// decide draws what becomes of a message.
func (n *noise) decide(direction, request string) (mishap, *rand.Rand) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if request == "" || n.quiet { // nobody asks for it again
		return unharmed, nil
	}
	key := direction + " " + request
	n.turns[key]++
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %d", key, n.turns[key])
	rng := rand.New(rand.NewPCG(n.seed, h.Sum64()))
	what, roll := unharmed, rng.IntN(1000)
	for _, m := range mishaps {
		if roll < m.permille {
			what = m.mishap
			break
		}
		roll -= m.permille
	}
	n.counts[what]++
	return what, rng
}

// later sends a frame after a time, if there still is somebody to send it to.
func (n *noise) later(to *outlet, f frame, after time.Duration) {
	n.held.Add(1)
	time.AfterFunc(after, func() {
		defer n.held.Done()
		to.send(f.bytes)
	})
}

// swap sends a frame behind the next, or soon.
func (n *noise) swap(to *outlet, f frame) {
	to.hold(f.bytes)
	n.held.Add(1)
	time.AfterFunc(swapWithin, func() {
		defer n.held.Done()
		to.send(nil)
	})
}

// outlet is the end of a connection to which frames go out whole.
type outlet struct {
	mu   sync.Mutex
	conn net.Conn
	held [][]byte
}

// send writes a frame, and behind it those that are held. That the other end is
// gone is seen by whoever reads from it.
func (o *outlet) send(frame []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, f := range append([][]byte{frame}, o.held...) {
		_, _ = o.conn.Write(f)
	}
	o.held = nil
}

// cut writes a part of a frame, and nothing ever after.
func (o *outlet) cut(part []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, _ = o.conn.Write(part)
	o.conn.Close()
}

func (o *outlet) hold(frame []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held = append(o.held, frame)
}

// frame is one unit of the NATS protocol: a line, and in a message its payload.
type frame struct {
	bytes          []byte
	message        bool
	subject, reply string
	headers        string // of a message that has some
}

// readFrame reads the next frame. Of the protocol only the four verbs that carry a
// payload need to be known.
func readFrame(r *bufio.Reader) (f frame, err error) {
	if f.bytes, err = r.ReadBytes('\n'); err != nil {
		return f, err
	}
	words := strings.Fields(string(f.bytes))
	if len(words) == 0 {
		return f, nil
	}
	sizes, sid := 1, 0 // numbers at the end; the id of the subscription after the subject
	switch strings.ToUpper(words[0]) {
	case "PUB":
	case "HPUB":
		sizes = 2
	case "MSG":
		sid = 1
	case "HMSG":
		sizes, sid = 2, 1
	default:
		return f, nil
	}
	if len(words) < 2+sid+sizes {
		return f, errors.New("not a NATS message: " + string(f.bytes))
	}
	f.message, f.subject = true, words[1]
	if len(words) > 2+sid+sizes {
		f.reply = words[2+sid]
	}
	var headers, size int
	if _, err := fmt.Sscan(words[len(words)-1], &size); err != nil {
		return f, err
	}
	if sizes == 2 {
		if _, err := fmt.Sscan(words[len(words)-2], &headers); err != nil {
			return f, err
		}
	}
	if headers > size {
		return f, errors.New("not a NATS message: " + string(f.bytes))
	}
	payload := make([]byte, size+len("\r\n"))
	if _, err := io.ReadFull(r, payload); err != nil {
		return f, err
	}
	f.headers = string(payload[:headers])
	f.bytes = append(f.bytes, payload...)
	return f, nil
}

// header returns a header of the message.
func (f frame) header(name string) string {
	for line := range strings.Lines(f.headers) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
