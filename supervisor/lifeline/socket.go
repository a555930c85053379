package lifeline

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// Socket is the parent's end of the way from one child.
type Socket struct {
	path string
	conn *net.UnixConn
	raw  syscall.RawConn
	from atomic.Int32
}

// Listen binds a datagram socket at path, which must not exist. The directory
// decides who can send, so only the parent should be able to enter it. Finish
// removes the path.
func Listen(path string) (_ *Socket, err error) {
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("listen for a child: %w", err)
	}
	defer func() {
		if err != nil {
			conn.Close()
		}
	}()
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("listen for a child: %w", err)
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
	})
	if err := errors.Join(err, failed); err != nil {
		return nil, fmt.Errorf("ask for credentials of a child: %w", err)
	}
	return &Socket{path: path, conn: conn, raw: raw}, nil
}

// Accept names the only process that is listened to. Messages wait until it has
// been called.
func (s *Socket) Accept(pid int) { s.from.Store(int32(pid)) }

// Receive waits for the next message of the accepted process. It returns
// net.ErrClosed once the socket is closed.
func (s *Socket) Receive() (Message, error) {
	for {
		var d datagram
		var failed error
		err := s.raw.Read(func(fd uintptr) bool {
			d, failed = receive(int(fd))
			return !errors.Is(failed, unix.EAGAIN)
		})
		if err := errors.Join(err, failed); err != nil {
			return Message{}, err
		}
		if d.pid == s.from.Load() {
			return Decode(d.data), nil
		}
	}
}

// Finish closes the socket, removes its path and returns the messages that nobody has received
// yet, in order. A Receive that waits ends with net.ErrClosed. It is called
// after the child is gone, for its last words.
func (s *Socket) Finish() []Message {
	defer os.Remove(s.path)
	defer s.conn.Close()
	var rest []Message
	// Control, other than Read, does not wait for a Receive that is waiting.
	// It fails on a closed socket only, which has nothing left to say.
	_ = s.raw.Control(func(fd uintptr) {
		for {
			d, err := receive(int(fd))
			if err != nil {
				return
			}
			if d.pid == s.from.Load() {
				rest = append(rest, Decode(d.data))
			}
		}
	})
	return rest
}

type datagram struct {
	data []byte
	pid  int32
}

// receive takes one datagram without waiting. Descriptors that somebody attaches
// are closed by the kernel: there is no room for them in the control message.
func receive(fd int) (datagram, error) {
	data := make([]byte, 16<<10)
	control := make([]byte, unix.CmsgSpace(unix.SizeofUcred))
	n, oobn, _, _, err := unix.Recvmsg(fd, data, control, unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return datagram{}, err
	}
	return datagram{data: data[:n], pid: senderPID(control[:oobn])}, nil
}

// senderPID returns the pid in the credentials, 0 when there are none.
func senderPID(control []byte) int32 {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return 0
	}
	for i := range messages {
		if cred, err := unix.ParseUnixCredentials(&messages[i]); err == nil {
			return cred.Pid
		}
	}
	return 0
}
