//go:build crashpoints

package crashpoint

import (
	"context"
	_ "embed"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Enabled tells whether this build has crash points.
const Enabled = true

type stepKey struct{}

// With returns a context whose points belong to the step of the method.
func With(ctx context.Context, method, step string) context.Context {
	return context.WithValue(ctx, stepKey{}, method+"/"+step)
}

// At passes a point.
func At(method, step, when string) { points.pass(method + "/" + step + "/" + when) }

// Hit passes the point of that name in the step that ctx belongs to; there is none
// outside of a step.
func Hit(ctx context.Context, when string) {
	if step, ok := ctx.Value(stepKey{}).(string); ok {
		points.pass(step + "/" + when)
	}
}

// Around calls f, between the points before/call and after/call.
func Around(ctx context.Context, call string, f func() error) error {
	Hit(ctx, "before/"+call)
	err := f()
	Hit(ctx, "after/"+call)
	return err
}

//go:embed points.txt
var list string

// List returns the names of all points, nil in a build without them.
func List() []string { return strings.Fields(list) }

// points are those of this process. The environment is read before main: what a
// supervisor passes on is unset soon after.
var points = armed(os.Getenv)

// state is what is to happen at which point.
type state struct {
	at   string
	left int // passes of at until the process dies; 0 for never
	dir  string
	out  *os.File // nil: nothing is recorded

	mu   sync.Mutex
	seen map[string]bool
}

func armed(env func(string) string) *state {
	s := &state{dir: env("VOLUMED_CRASH_DIR"), seen: map[string]bool{}}
	if at := env("VOLUMED_CRASH_AT"); at != "" && first(env("VOLUMED_GENERATION")) {
		name, n, counted := strings.Cut(at, ":")
		s.at, s.left = name, 1
		if counted {
			s.left, _ = strconv.Atoi(n) // a bad number arms nothing
		}
	}
	if file := env("VOLUMED_CRASH_RECORD"); file != "" {
		var err error
		if s.out, err = os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err != nil {
			panic(err)
		}
	}
	return s
}

// first reports whether a child of this generation is not the successor of another.
func first(generation string) bool { return generation == "" || generation == "1" }

func (s *state) pass(name string) {
	s.count(name)
	if s.dir == "" {
		return
	}
	file := filepath.Join(s.dir, strings.ReplaceAll(name, "/", "%"))
	action, err := os.ReadFile(file)
	if err != nil {
		return
	}
	switch strings.TrimSpace(string(action)) {
	case "hold":
		hold(file)
	case "parent":
		die(file, true)
	default:
		die(file, false)
	}
}

// count records the point, and dies if VOLUMED_CRASH_AT says so.
func (s *state) count(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out != nil && !s.seen[name] {
		s.seen[name] = true
		if _, err := s.out.WriteString(name + "\n"); err != nil {
			panic(err)
		}
	}
	if name != s.at || s.left <= 0 {
		return
	}
	if s.left--; s.left == 0 {
		kill(false)
	}
}

// die kills the process if it is the one who removes the file.
func die(file string, parent bool) {
	if os.Remove(file) == nil {
		kill(parent)
	}
}

// kill ends the process, or both. It does not return: nothing that comes after the
// point happens.
func kill(parent bool) {
	if ppid := os.Getppid(); parent && ppid > 1 {
		_ = syscall.Kill(ppid, syscall.SIGKILL)
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// hold waits until the file is gone.
func hold(file string) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		if _, err := os.Stat(file); err != nil {
			return
		}
	}
}
