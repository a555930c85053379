package supervisor

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/volumed/volumed/supervisor/lifeline"
)

func itoa(n int) string { return strconv.Itoa(n) }

// outer is a supervisor in a process, and a process group, of its own.
type outer struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines *bufio.Scanner
	seen  []string
}

// supervise starts a supervisor over children of the roles, which is killed
// after a minute.
func supervise(t *testing.T, state string, env []string, roles ...string) *outer {
	t.Helper()
	return superviseIn(t, &syscall.SysProcAttr{Setpgid: true}, state, env, roles...)
}

func superviseIn(t *testing.T, attr *syscall.SysProcAttr, state string, env []string, roles ...string) *outer {
	t.Helper()
	o := &outer{t: t}
	o.cmd = exec.Command("/proc/self/exe", append([]string{"supervise", state}, roles...)...)
	// It ends with this process, however that ends.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	t.Cleanup(func() { w.Close() })
	inherit := lifeline.Inheritance{Pipe: r, OrphanGrace: 10 * time.Second}
	o.cmd.ExtraFiles = inherit.Files()
	o.cmd.Env = append(inherit.Env(os.Environ()), env...)
	// A file, so that an orphan that holds it does not keep Wait waiting.
	stderr, err := os.Create(filepath.Join(state, "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	o.cmd.Stderr = stderr
	o.cmd.SysProcAttr = attr
	stdout, err := o.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := o.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	o.lines = bufio.NewScanner(stdout)
	limit := time.AfterFunc(time.Minute, func() { o.cmd.Process.Kill() })
	t.Cleanup(func() {
		limit.Stop()
		o.cmd.Process.Kill()
		o.cmd.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(stderr.Name())
			t.Logf("supervisor printed %q and logged:\n%s", o.seen, text)
		}
	})
	return o
}

// pid waits until the child is in the state and returns its pid.
func (o *outer) pid(name string, state State) int {
	o.t.Helper()
	for o.lines.Scan() {
		o.seen = append(o.seen, o.lines.Text())
		var gotName, gotState string
		var pid int
		if _, err := fmt.Sscan(o.lines.Text(), &gotName, &gotState, &pid); err != nil {
			continue // another line
		}
		if gotName == name && State(gotState) == state {
			return pid
		}
	}
	o.t.Fatalf("the supervisor ended before %s was %s", name, state)
	return 0
}

// wait returns the exit code of the supervisor.
func (o *outer) wait() int {
	for o.lines.Scan() {
		o.seen = append(o.seen, o.lines.Text())
	}
	o.cmd.Wait()
	return o.cmd.ProcessState.ExitCode()
}

// handle returns a pidfd, with which the end of any process can be waited for.
func handle(t *testing.T, pid int) int {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatalf("pidfd of %d: %v", pid, err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// gone waits for the end of the process, 15 s at most.
func gone(t *testing.T, pidfd int) bool {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, int(time.Until(deadline).Milliseconds()))
		if err != unix.EINTR {
			return n == 1
		}
	}
}

func TestOuterTermToTheWholeGroupCompletesTheJob(t *testing.T) {
	state := stateDirPath(t)
	fifo := filepath.Join(state, "job")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	o := supervise(t, state, nil, "job "+fifo)
	o.pid("rbd0", lifeline.Ready)
	kill(t, -o.cmd.Process.Pid, syscall.SIGTERM) // the child gets it twice
	o.pid("rbd0", lifeline.Draining)
	job, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	job.Close() // the job is done
	if code := o.wait(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

func TestOuterKilledSupervisorLeavesNoChild(t *testing.T) {
	o := supervise(t, stateDirPath(t), nil, "busy", "ignore", "serve")
	var handles []int
	pids := map[string]int{}
	for len(pids) < 3 && o.lines.Scan() {
		var name, state string
		var pid int
		if _, err := fmt.Sscan(o.lines.Text(), &name, &state, &pid); err != nil {
			continue // another line
		}
		if State(state) == lifeline.Ready {
			pids[name] = pid
			handles = append(handles, handle(t, pid))
		}
	}
	if len(pids) < 3 {
		t.Fatalf("only %v became ready", pids)
	}
	kill(t, o.cmd.Process.Pid, syscall.SIGKILL)
	o.cmd.Wait()
	for i, h := range handles {
		if !gone(t, h) {
			t.Errorf("child %d of %v outlives its parent", i, pids)
		}
	}
}

func TestOuterDeathSignalWakesChildrenUp(t *testing.T) {
	o := supervise(t, stateDirPath(t), []string{"ORPHAN_GRACE=1h"}, "term")
	h := handle(t, o.pid("rbd0", lifeline.Ready))
	kill(t, o.cmd.Process.Pid, syscall.SIGKILL)
	if !gone(t, h) {
		t.Error("the child got no SIGTERM when its parent died")
	}
}

func TestOuterNextSupervisorEndsAStoppedOrphan(t *testing.T) {
	state := stateDirPath(t)
	// In a group of its own the kernel would wake up the stopped orphan, with
	// the HUP and CONT that an orphaned group gets.
	attr := &syscall.SysProcAttr{}
	first := superviseIn(t, attr, state, nil, "serve")
	orphan := first.pid("rbd0", lifeline.Ready)
	h := handle(t, orphan)
	kill(t, orphan, syscall.SIGSTOP) // hears nothing, so only SIGKILL ends it
	kill(t, first.cmd.Process.Pid, syscall.SIGKILL)
	first.cmd.Wait()

	second := superviseIn(t, attr, state, nil, "serve")
	second.pid("rbd0", Blocked)
	if pid := second.pid("rbd0", lifeline.Ready); pid == orphan {
		t.Errorf("ready is the orphan, pid %d", pid)
	}
	if !gone(t, h) {
		t.Error("the orphan runs beside its successor")
	}
	kill(t, second.cmd.Process.Pid, syscall.SIGTERM)
	if code := second.wait(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

func TestOuterTellsSystemd(t *testing.T) {
	state := stateDirPath(t)
	path := filepath.Join(state, "systemd")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	o := supervise(t, state, []string{"NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=2000000"}, "serve", "refuse")
	heard := func(want ...string) {
		t.Helper()
		buf := make([]byte, 16<<10)
		var all strings.Builder
		if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		missing := func(text string) bool { return !strings.Contains(all.String(), text) }
		for slices.ContainsFunc(want, missing) {
			n, err := conn.Read(buf)
			if err != nil {
				t.Fatalf("waiting for %q: %v; heard:\n%s", want, err, all.String())
			}
			all.Write(buf[:n])
		}
	}
	heard("READY=1\n", "STATUS=1/2 ready, rbd1 failed\n")
	heard("WATCHDOG=1\n")
	heard("WATCHDOG=1\n")
	kill(t, o.cmd.Process.Pid, syscall.SIGTERM)
	heard("STOPPING=1\n")
	if code := o.wait(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

func TestOuterCtrlC(t *testing.T) {
	o := supervise(t, stateDirPath(t), nil, "serve", "serve")
	o.pid("rbd1", lifeline.Ready) // rbd0 may not even handle signals yet
	kill(t, -o.cmd.Process.Pid, syscall.SIGINT)
	if code := o.wait(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}
