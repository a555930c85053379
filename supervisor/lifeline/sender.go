package lifeline

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// sendTimeout bounds one attempt to send to a parent that does not read, and so
// how long Close waits for the last message.
const sendTimeout = time.Second

// sender sends messages to a datagram socket from a goroutine of its own.
type sender struct {
	addr *net.UnixAddr
	wake chan struct{} // holds a token while something is pending
	quit chan struct{}
	done chan struct{}

	mu      sync.Mutex
	pending Message
}

func startSender(socket string) *sender {
	s := &sender{
		addr: &net.UnixAddr{Name: socket, Net: "unixgram"},
		wake: make(chan struct{}, 1),
		quit: make(chan struct{}),
		done: make(chan struct{}),
	}
	go s.run()
	return s
}

// put never blocks. Without a socket it does nothing.
func (s *sender) put(m Message) {
	if s == nil {
		return
	}
	s.mu.Lock()
	s.pending = s.pending.merge(m)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// stop makes one last attempt to send what is pending.
func (s *sender) stop() {
	if s == nil {
		return
	}
	close(s.quit)
	<-s.done
}

func (s *sender) run() {
	defer close(s.done)
	for {
		select {
		case <-s.wake:
			s.flush()
		case <-s.quit:
			s.flush()
			return
		}
	}
}

func (s *sender) flush() {
	s.mu.Lock()
	m := s.pending
	s.pending = Message{}
	s.mu.Unlock()
	if m == (Message{}) {
		return
	}
	// The parent may be slow, and then the message waits for its next turn; it
	// may be gone, and then nobody is interested any more.
	if err := s.send(m); errors.Is(err, os.ErrDeadlineExceeded) {
		s.mu.Lock()
		s.pending = m.merge(s.pending)
		s.mu.Unlock()
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// send opens a socket for each message, as systemd's own clients do: the socket
// of the other side may have been replaced since the last one.
func (s *sender) send(m Message) error {
	conn, err := net.DialUnix("unixgram", nil, s.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return err
	}
	_, err = conn.Write(m.Encode())
	return err
}
