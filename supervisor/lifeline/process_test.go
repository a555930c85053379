package lifeline

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestChildGetsWhatItsParentPassesOn(t *testing.T) {
	sock, err := Listen(socketPath(t))
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	snapshot, err := Snapshot([]byte("config"))
	if err != nil {
		t.Fatal(err)
	}
	lock, err := TakeLock(filepath.Join(t.TempDir(), "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	cmd := childCommand("tell", Inheritance{
		Pipe: r, Snapshot: snapshot, Lock: lock.File(), Socket: sock.path,
		Title: "volumed:rbd0", Generation: 4, Watchdog: 30 * time.Second,
	})
	out, err := cmd.Output()
	r.Close()
	snapshot.Close()
	if got, want := string(out), "config true <nil> 4 30s true true 0 volumed:rbd0\n"; got != want {
		t.Errorf("child tells %q, want %q", got, want)
	}
	if cmd.ProcessState.ExitCode() != ExitTempFail {
		t.Errorf("child ends with %v", err)
	}
	sock.Accept(cmd.Process.Pid)
	want := []Message{{State: Draining, Reason: "last words"}}
	if diff := cmp.Diff(want, sock.Finish()); diff != "" {
		t.Errorf("last words (-want +got):\n%s", diff)
	}
	if _, err := os.Stat(sock.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

func TestOnlyTheChildIsBelieved(t *testing.T) {
	sock, err := Listen(socketPath(t))
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := net.Dial("unixgram", sock.path)
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	say(t, stranger, Message{Ready: true})
	cmd := childCommand("end", Inheritance{Socket: sock.path})
	_ = cmd.Run() // it ends with a code of its own
	sock.Accept(cmd.Process.Pid)
	m, err := sock.Receive()
	if err != nil || m.Ready || m.State != Draining {
		t.Errorf("received %+v, %v; want the words of the child only", m, err)
	}
	say(t, stranger, Message{Beat: true})
	if rest := sock.Finish(); len(rest) != 0 {
		t.Errorf("a stranger is believed: %+v", rest)
	}
}

func TestFinishEndsReceive(t *testing.T) {
	sock, err := Listen(socketPath(t))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { _, err := sock.Receive(); ended <- err }()
	sock.Finish()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Receive = %v, want net.ErrClosed", err)
	}
}

func TestCrashTextIsKept(t *testing.T) {
	tests := map[string]struct{ role, want string }{
		"panic":   {"panic", "the child breaks on purpose"},
		"SIGQUIT": {"wait", "SIGQUIT: quit"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "crash")
			cmd := childCommand(tc.role, Inheritance{CrashFile: path})
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if tc.role == "wait" {
				if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
					t.Error(err)
				}
				cmd.Process.Signal(syscall.SIGQUIT)
			}
			if _, err := io.Copy(io.Discard, stdout); err != nil {
				t.Error(err)
			}
			cmd.Wait()
			if cmd.ProcessState.ExitCode() != ExitPanic {
				t.Errorf("exit code %d", cmd.ProcessState.ExitCode())
			}
			text, err := os.ReadFile(path)
			if err != nil || !strings.Contains(string(text), tc.want) || !strings.Contains(string(text), "goroutine ") {
				t.Errorf("crash text %q, %v", text, err)
			}
		})
	}
}

func TestOrphanEndsWhateverItsGoroutinesDo(t *testing.T) {
	sock, err := Listen(socketPath(t))
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := childCommand("deaf", Inheritance{Pipe: r, Socket: sock.path, OrphanGrace: 50 * time.Millisecond})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.Close()
	sock.Accept(cmd.Process.Pid)
	if m, err := sock.Receive(); err != nil || !m.Ready {
		t.Fatalf("child says %+v, %v", m, err)
	}
	cmd.Process.Signal(syscall.SIGTERM)
	w.Close() // all that a child sees of the death of its parent
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != ExitError {
		t.Errorf("orphan ends with %v, want exit status %d", cmd.ProcessState, ExitError)
	}
	sock.Finish()
}

func TestLockNamesItsHolderAndOutlivesTheParent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	lock, err := TakeLock(path)
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := childCommand("wait", Inheritance{Pipe: r, Lock: lock.File()})
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	holder := Holder{PID: cmd.Process.Pid, Generation: 2, Supervisor: os.Getpid()}
	if err := lock.Note(holder); err != nil {
		t.Fatal(err)
	}
	lock.Close() // as if the parent were gone; the child still has it

	_, err = TakeLock(path)
	var held *HeldError
	if !errors.As(err, &held) {
		t.Fatalf("second lock: %v, want a HeldError", err)
	}
	if diff := cmp.Diff(holder, held.Holder); diff != "" {
		t.Errorf("holder (-want +got):\n%s", diff)
	}
	cmd.Process.Kill()
	cmd.Wait()
	again, err := TakeLock(path)
	if err != nil {
		t.Fatalf("lock after the child is gone: %v", err)
	}
	again.Close()
}

// say sends a message as a stranger does.
func say(t *testing.T, to io.Writer, m Message) {
	t.Helper()
	if _, err := to.Write(m.Encode()); err != nil {
		t.Error(err)
	}
}
