package lifeline

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// pipe watches the read end of the lifeline.
type pipe struct {
	file *os.File
	told chan struct{} // closed when the parent has said Begin
	died chan struct{} // closed at end of file
	done chan struct{} // closed when nobody watches any more

	handed atomic.Bool // the last of HandOver and HandBack was HandOver

	grace time.Duration
	exit  func(code int)
	mu    sync.Mutex
	timer *time.Timer
}

// openPipe takes over the inherited descriptor.
func openPipe(fd int, grace time.Duration, exit func(int)) (*pipe, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil || stat.Mode&unix.S_IFMT != unix.S_IFIFO {
		return nil, fmt.Errorf("environment: %s=%d is not an inherited pipe; unset it or start the process by its parent", envPipe, fd)
	}
	unix.CloseOnExec(fd)
	// Only a non-blocking descriptor can be read by the poller, without a thread.
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("lifeline: %w", err)
	}
	p := &pipe{
		file:  os.NewFile(uintptr(fd), "lifeline"),
		told:  make(chan struct{}),
		died:  make(chan struct{}),
		done:  make(chan struct{}),
		grace: grace,
		exit:  exit,
	}
	go p.watch()
	return p, nil
}

func (p *pipe) watch() {
	defer close(p.done)
	buf := make([]byte, 16)
	begin := sync.OnceFunc(func() { close(p.told) })
	for {
		n, err := p.file.Read(buf)
		for _, b := range buf[:n] {
			switch Word(b) {
			case Begin:
				begin()
			case HandOver, HandBack:
				p.handed.Store(Word(b) == HandOver)
			}
		}
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			p.orphaned()
			return
		}
	}
}

// orphaned arms the timer first: whoever hears of the death can rely on it. The
// timer needs no lock and no goroutine of the rest of the process.
func (p *pipe) orphaned() {
	if p.grace > 0 {
		p.mu.Lock()
		p.timer = time.AfterFunc(p.grace, func() { p.exit(ExitError) })
		p.mu.Unlock()
	}
	close(p.died)
}

func (p *pipe) close() {
	p.file.Close()
	<-p.done
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
	}
}
