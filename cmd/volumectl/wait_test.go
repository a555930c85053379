package main

import (
	"bytes"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/volumed/volumed/volume"
)

// openTerminal returns the two ends of a pseudo terminal.
func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		t.Fatal(err)
	}
	return master, slave
}

// On a terminal an operation that lasts shows what it does; stdout stays clean.
func TestProgressBar(t *testing.T) {
	f := newFake(t)
	master, slave := openTerminal(t)
	shown := make(chan string)
	go func() {
		var all bytes.Buffer
		_, _ = io.Copy(&all, master) // ends with EIO when the slave is closed
		shown <- all.String()
	}()
	var stdout bytes.Buffer
	a := &app{stdout: &stdout, stderr: slave, getenv: func(string) string { return "" }}
	code := a.run(t.Context(), []string{"--nats", f.url, "operation", "wait", opRun, "--wait", "700ms", "-o", "json"})
	if err := slave.Close(); err != nil {
		t.Fatal(err)
	}
	text := <-shown
	_ = master.Close()
	if code != exitRunning || !inOrder(text, []string{"flatten_volume [", "] 40% flatten"}) {
		t.Errorf("exit %d, terminal: %q", code, text)
	}
	if !strings.HasPrefix(stdout.String(), "{") {
		t.Errorf("stdout: %q", stdout.String())
	}
}

func TestCaption(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := map[string]struct {
		op   volume.Operation
		want string
	}{
		"queued":  {volume.Operation{Status: volume.Queued}, "0% queued"},
		"step":    {volume.Operation{Status: volume.Running, Step: "flatten"}, "0% flatten"},
		"eta":     {volume.Operation{Status: volume.Running, Step: "flatten", ETA: now.Add(90 * time.Second)}, "0% flatten, 1m30s left"},
		"past":    {volume.Operation{Status: volume.Running, Step: "flatten", ETA: now.Add(-time.Second)}, "0% flatten"},
		"waiting": {volume.Operation{Status: volume.Waiting, Step: "flatten", Reason: "no quorum\x07"}, `0% waiting: no quorum\a`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := caption(tc.op, now); got != tc.want {
				t.Errorf("caption = %q, want %q", got, tc.want)
			}
		})
	}
}

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		"plain name": "plain name", "übung – 音": "übung – 音", "a\x1b[2Jb": `a\x1b[2Jb`, "\n\t": `\n\t`, "\u202eabc": `\u202eabc`, "\xff": "\ufffd",
	} {
		if got := escape(in); got != want {
			t.Errorf("escape(%q) = %q, want %q", in, got, want)
		}
	}
}
