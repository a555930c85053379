package image

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"

	"github.com/volumed/volumed/fault"
)

// child is one run of qemu-img.
type child struct {
	args  []string
	file  *os.File // inherited
	cpu   time.Duration
	size  int64                         // bytes that it goes through
	tells func(percent int)             // nil: nobody is told
	out   io.Writer                     // nil: only the progress is read
	kind  func(words string) fault.Kind // of a failure, by what it says; nil: Invalid
}

// Bounds of a child beside those of the configuration.
const (
	// stuckAfter is how long a child may go without progress, beside the time that a
	// percent of the size takes at leastRate, since it tells whole percents. What it waits
	// for may be the cluster; the operation fails then.
	stuckAfter = 10 * time.Minute
	leastRate  = 8 << 20 // bytes in a second
	// waitDelay is how long its pipes may outlive it.
	waitDelay = 5 * time.Second
	keptWords = 2 << 10 // of what it says on stderr
)

// patience is how long the child may go without progress.
func (c child) patience() time.Duration {
	return stuckAfter + time.Duration(c.size/100/leastRate)*time.Second
}

// tool finds qemu-img. Kind: Unsupported.
func tool() (string, error) {
	path, err := exec.LookPath("qemu-img")
	if err != nil {
		return "", fault.New(fault.Unsupported, "there is no qemu-img on this host (%w)", err).
			WithHint("install qemu-utils and qemu-block-extra")
	}
	return path, nil
}

// run runs a child to its end.
func (g *Gate) run(ctx context.Context, c child) error {
	program, err := tool()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	patience := c.patience()
	stuck := time.AfterFunc(patience, func() { cancel(fault.New(fault.Busy, "qemu-img has made no progress for %s", patience)) })
	defer stuck.Stop()
	words := &tail{}
	cmd := exec.CommandContext(ctx, "prlimit", append(g.limits(c), append([]string{program}, c.args...)...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	cmd.ExtraFiles = []*os.File{c.file}
	cmd.Stderr = words
	cmd.Stdout = c.out
	if c.out == nil {
		cmd.Stdout = &meter{tell: func(percent int) {
			stuck.Reset(patience)
			if c.tells != nil {
				c.tells(percent)
			}
		}}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = waitDelay
	err = onOneThread(cmd.Run)
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return c.judge(err, words.String())
}

// limits are the arguments of prlimit.
func (g *Gate) limits(c child) []string {
	args := []string{"--core=0"}
	if g.cfg.Memory > 0 {
		args = append(args, "--as="+strconv.FormatInt(g.cfg.Memory, 10))
	}
	if c.cpu > 0 {
		args = append(args, "--cpu="+strconv.FormatInt(int64((c.cpu+time.Second-1)/time.Second), 10))
	}
	return append(args, "--")
}

// onOneThread runs f on a thread that lives until f has returned: with the thread that
// made it, the kernel ends a child with a death signal.
func onOneThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		done <- f()
	}()
	return <-done
}

// judge gives the end of a child its kind.
func (c child) judge(err error, words string) error {
	if err == nil {
		return nil
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return fault.New(fault.Internal, "run qemu-img: %w", err)
	}
	status, _ := exit.Sys().(syscall.WaitStatus)
	if words == "" {
		words = exit.String()
	}
	if status.Signaled() {
		return fault.New(fault.Exhausted, "qemu-img %s was ended by %s: %s", c.args[0], status.Signal(), words).
			WithHint("it may take more memory or time: image_conversion_address_space_limit, image_conversion_cpu_limit")
	}
	kind := fault.Invalid
	switch {
	case strings.Contains(words, "No space left on device"), strings.Contains(words, "Disk quota exceeded"):
		kind = fault.Exhausted
	case c.kind != nil:
		kind = c.kind(words)
	}
	failed := fault.New(kind, "qemu-img %s: %s", c.args[0], words)
	if kind == fault.Invalid {
		return failed.WithField("image")
	}
	return failed
}

// tail keeps the end of what a child says, without what does not print.
type tail struct {
	mu   sync.Mutex
	text []byte
}

// Write takes everything.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if over := len(t.text) - keptWords; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(p), nil
}

// String returns it in one line.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	line := strings.Join(strings.Fields(strings.ToValidUTF8(string(t.text), "?")), " ")
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, line)
}

// meter reads the progress that qemu-img prints.
type meter struct {
	line []byte
	last int
	tell func(percent int)
}

var progressText = regexp.MustCompile(`\((\d+)\.\d+/100%\)`)

// Write takes everything.
func (m *meter) Write(p []byte) (int, error) {
	m.line = append(m.line, p...)
	if end := bytes.LastIndexByte(m.line, '\r'); end >= 0 {
		if found := progressText.FindAllSubmatch(m.line[:end], -1); len(found) > 0 {
			if percent, err := strconv.Atoi(string(found[len(found)-1][1])); err == nil && percent != m.last {
				m.last = percent
				m.tell(percent)
			}
		}
		m.line = m.line[end+1:]
	}
	if len(m.line) > keptWords {
		m.line = m.line[:0]
	}
	return len(p), nil
}
