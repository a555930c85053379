package supervisor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/volumed/volumed/supervisor/lifeline"
)

// errGone is returned for a signal to a process that has ended.
var errGone = os.ErrProcessDone

// childProcess is a real process with what the supervisor holds for it.
type childProcess struct {
	proc  *os.Process
	sock  *lifeline.Socket
	pipe  *os.File // write end of the lifeline
	crash crashFile
	state *stateDir
}

var _ process = (*childProcess)(nil)

func (p *childProcess) PID() int { return p.proc.Pid }

// Signal sends QUIT to the main thread, which is always one of Go's: a thread of
// librados may get what is sent to the process, and there it only kills, without a
// stack. The pid is the child's until it has been waited for.
func (p *childProcess) Signal(sig syscall.Signal) error {
	if sig != syscall.SIGQUIT {
		return p.proc.Signal(sig)
	}
	if err := p.proc.Signal(syscall.Signal(0)); err != nil {
		return err
	}
	err := unix.Tgkill(p.proc.Pid, p.proc.Pid, sig)
	if errors.Is(err, unix.ESRCH) {
		return errGone
	}
	return err
}

func (p *childProcess) HangUp() { p.pipe.Close() }

// Tell cannot block: the pipe has room for more than is ever said.
func (p *childProcess) Tell(w lifeline.Word) error {
	if _, err := p.pipe.Write([]byte{byte(w)}); err != nil {
		return fmt.Errorf("write to lifeline: %w", err)
	}
	return nil
}

// Tune asks the process on its console.
func (p *childProcess) Tune(ctx context.Context, snapshot []byte) error {
	return lifeline.Console(p.state.path, p.proc.Pid).Ask(ctx, http.MethodPost, lifeline.ConsoleConfig, lifeline.Tuning{Snapshot: snapshot}, nil)
}

func (p *childProcess) console() string { return lifeline.ConsolePath(p.state.path, p.proc.Pid) }

func (p *childProcess) Run(hear func(lifeline.Message)) Exit {
	read := make(chan struct{})
	go func() {
		defer close(read)
		for {
			m, err := p.sock.Receive()
			if err != nil {
				return
			}
			hear(m)
		}
	}()
	state, err := p.proc.Wait()
	rest := p.sock.Finish()
	<-read
	for _, m := range rest {
		hear(m)
	}
	p.pipe.Close()
	_ = os.Remove(p.console()) // it is there only if the process was killed
	exit := Exit{Code: -1, Crash: p.crash.keep()}
	if err != nil {
		exit.Reason = "cannot be waited for: " + err.Error()
		return exit
	}
	exit.Code = state.ExitCode()
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		exit.Signal = status.Signal()
	}
	return exit
}

// discard gives back what was prepared for a process that did not start.
func (p *childProcess) discard() {
	if p.sock != nil {
		p.sock.Finish()
	}
	p.pipe.Close()
}
