package lifeline

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// inherited returns the number of a fresh descriptor on f, as a child gets it.
func inherited(t *testing.T, f *os.File) string {
	t.Helper()
	fd, err := unix.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(fd)
}

// child returns the parent as a child with this environment sees it, and the parent's end
// of the pipe between them.
func child(t *testing.T, env environment, exit func(int)) (p *Parent, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	env[envPipe] = inherited(t, r)
	if p, err = fromEnvironment(env, exit); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p, w
}

func TestNobodyIsAParentToo(t *testing.T) {
	p, err := FromEnv()
	if err != nil {
		t.Fatal(err)
	}
	p.Ready()
	p.Beat()
	p.Stopping()
	if err := p.Go(t.Context()); err != nil {
		t.Errorf("Go = %v, want nil at once", err)
	}
	if _, ok, err := p.Snapshot(); ok || err != nil {
		t.Errorf("Snapshot = %v, %v; want none", ok, err)
	}
	if p.Died() != nil || p.HandedOver() || p.Supervised() || p.Locked() || p.Watchdog() != 0 {
		t.Error("nobody is taken for somebody")
	}
	p.Close()
}

func TestGoWaitsForTheByteAndDiedForTheEnd(t *testing.T) {
	exited := make(chan int, 1)
	p, w := child(t, environment{envOrphanGrace: "1"}, func(code int) { exited <- code })

	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(io.ErrNoProgress)
	if err := p.Go(ctx); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("Go before the byte = %v, want the cause of the context", err)
	}
	if _, err := w.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	if err := p.Go(t.Context()); err != nil {
		t.Errorf("Go after the byte = %v", err)
	}
	select {
	case <-p.Died():
		t.Error("the parent is taken for dead while its pipe is open")
	default:
	}
	w.Close()
	<-p.Died()
	if code := <-exited; code != ExitError {
		t.Errorf("orphan exits with %d, want %d", code, ExitError)
	}
	if err := p.Go(ctx); err != nil {
		t.Errorf("Go after the byte and the death = %v, want nil", err)
	}
}

func TestHandedOverFollowsTheLastWord(t *testing.T) {
	p, w := child(t, environment{}, nil)
	if _, err := w.Write([]byte{byte(HandOver), byte(Begin)}); err != nil {
		t.Fatal(err)
	}
	if err := p.Go(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !p.HandedOver() {
		t.Error("not handed over")
	}
	if _, err := w.Write([]byte{byte(HandBack)}); err != nil {
		t.Fatal(err)
	}
	w.Close()
	<-p.Died()
	if p.HandedOver() {
		t.Error("handed over although that was taken back")
	}
}

func TestGoEndsWhenTheParentDiesFirst(t *testing.T) {
	p, w := child(t, environment{}, nil)
	w.Close()
	if err := p.Go(t.Context()); !errors.Is(err, ErrParentDied) {
		t.Errorf("Go = %v, want ErrParentDied", err)
	}
}

func TestBadEnvironmentIsRefused(t *testing.T) {
	tests := map[string]environment{
		"not a number":       {envPipe: "three"},
		"minus":              {envSnapshot: "-3"},
		"closed descriptor":  {envPipe: "900"},
		"not a pipe":         {envPipe: "devnull"},
		"bad watchdog":       {envWatchdog: "often"},
		"no such crash file": {envCrashFile: "/nonexistent/dir/crash"},
	}
	for name, env := range tests {
		t.Run(name, func(t *testing.T) {
			if env[envPipe] == "devnull" {
				null, err := os.Open(os.DevNull)
				if err != nil {
					t.Fatal(err)
				}
				defer null.Close()
				env[envPipe] = strconv.Itoa(int(null.Fd()))
			}
			if _, err := fromEnvironment(env, nil); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestWatchdogOfSomebodyElseIsIgnored(t *testing.T) {
	for pid, want := range map[string]time.Duration{"": time.Second, strconv.Itoa(os.Getpid()): time.Second, "1": 0} {
		p, err := fromEnvironment(environment{envWatchdog: "1000000", envWatchdogPID: pid}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if p.Watchdog() != want {
			t.Errorf("watchdog for pid %q = %v, want %v", pid, p.Watchdog(), want)
		}
	}
}

func TestSnapshotIsSealedAndRepeatable(t *testing.T) {
	f, err := Snapshot([]byte("[DEFAULT]\n"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("x"), 0); err == nil {
		t.Error("a sealed snapshot was written to")
	}
	for range 2 {
		p, err := fromEnvironment(environment{envSnapshot: inherited(t, f)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		data, ok, err := p.Snapshot()
		if string(data) != "[DEFAULT]\n" || !ok || err != nil {
			t.Errorf("Snapshot = %q, %v, %v", data, ok, err)
		}
		p.Close()
	}
	unsealed, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer unsealed.Close()
	p, err := fromEnvironment(environment{envSnapshot: inherited(t, unsealed)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, ok, err := p.Snapshot(); ok || err == nil {
		t.Error("an ordinary file was taken for a snapshot")
	}
}

func TestSenderNeverBlocksAndTellsTheNewest(t *testing.T) {
	path := socketPath(t)
	// A parent that does not read: its queue is full after a dozen datagrams.
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p, err := fromEnvironment(environment{envSocket: path}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.Ready()
	for i := range 10_000 {
		p.Status(strconv.Itoa(i))
	}
	p.State(Draining, "the end")

	var got Message
	buf := make([]byte, 16<<10)
	for got.State != Draining || got.Status != "9999" {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		got = got.merge(Decode(buf[:n]))
	}
	p.Close()
	want := Message{Ready: true, State: Draining, Reason: "the end", Status: "9999"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

func TestSenderOutlivesItsParent(t *testing.T) {
	p, err := fromEnvironment(environment{envSocket: filepath.Join(t.TempDir(), "gone")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.Ready()
	p.Close() // must return
	p.Beat()  // must do nothing
}

func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "life") // short: a socket path has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func TestEnvReplacesThatOfAnEarlierParent(t *testing.T) {
	env := Inheritance{Socket: "/new"}.Env([]string{"PATH=/bin", envSocket + "=/old", envLock + "=9"})
	if got := strings.Join(env, " "); got != "PATH=/bin NOTIFY_SOCKET=/new" {
		t.Errorf("environment = %s", got)
	}
}
