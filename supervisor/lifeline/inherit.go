package lifeline

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Names in the environment of a child. The first three are systemd's.
const (
	envSocket       = "NOTIFY_SOCKET"
	envWatchdog     = "WATCHDOG_USEC"
	envWatchdogPID  = "WATCHDOG_PID"
	envPipe         = "VOLUMED_LIFELINE_FD"
	envSnapshot     = "VOLUMED_SNAPSHOT_FD"
	envLock         = "VOLUMED_LOCK_FD"
	envCrashFile    = "VOLUMED_CRASH_FILE"
	envOrphanGrace  = "VOLUMED_ORPHAN_GRACE"
	envGeneration   = "VOLUMED_GENERATION"
	envReplaces     = "VOLUMED_REPLACES"
	envProcessTitle = "VOLUMED_PROCESS_TITLE"
)

var envNames = []string{
	envSocket, envWatchdog, envWatchdogPID, envPipe, envSnapshot, envLock,
	envCrashFile, envOrphanGrace, envGeneration, envReplaces, envProcessTitle,
}

// firstFD is the number that the first of Inheritance.Files gets in the child.
const firstFD = 3

// Inheritance is what a parent passes on to one child at its start. Zero fields
// are not passed.
type Inheritance struct {
	// Pipe is the read end of the lifeline. The parent keeps the write end
	// open for as long as it lives.
	Pipe *os.File
	// Snapshot is the configuration, made by [Snapshot].
	Snapshot *os.File
	// Lock keeps the flock of the backend until parent and child are gone.
	Lock *os.File
	// Socket is the path that the parent listens on for this child.
	Socket string
	// CrashFile is an existing file that gets the text of a crash.
	CrashFile string
	// Title is what top and ps -o comm show; the kernel keeps 15 bytes.
	Title string
	// Generation counts the starts of this child, from 1.
	Generation int
	// Replaces is the pid of the process that serves the backend now, which the
	// child takes over from when it is told to; 0 if there is none.
	Replaces int
	// Watchdog is how long the child may go without a beat.
	Watchdog time.Duration
	// OrphanGrace is how long the child may outlive its parent.
	OrphanGrace time.Duration
}

// Files returns the open files for the child, to become its descriptors 3 and
// up in this order.
func (i Inheritance) Files() []*os.File {
	return slices.DeleteFunc([]*os.File{i.Pipe, i.Snapshot, i.Lock}, func(f *os.File) bool { return f == nil })
}

// Env returns base without what an earlier parent passed on, and with what
// tells the child of i.
func (i Inheritance) Env(base []string) []string {
	env := slices.DeleteFunc(slices.Clone(base), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.Contains(envNames, name)
	})
	put := func(name, value string) {
		if value != "" && value != "0" {
			env = append(env, name+"="+value)
		}
	}
	fd := firstFD
	putFile := func(name string, f *os.File) {
		if f != nil {
			put(name, strconv.Itoa(fd))
			fd++
		}
	}
	putFile(envPipe, i.Pipe)
	putFile(envSnapshot, i.Snapshot)
	putFile(envLock, i.Lock)
	put(envSocket, i.Socket)
	put(envCrashFile, i.CrashFile)
	put(envProcessTitle, i.Title)
	put(envGeneration, strconv.Itoa(i.Generation))
	put(envReplaces, strconv.Itoa(i.Replaces))
	put(envWatchdog, strconv.FormatInt(i.Watchdog.Microseconds(), 10))
	put(envOrphanGrace, strconv.FormatInt(i.OrphanGrace.Microseconds(), 10))
	return env
}

// environment is what a child reads of its own environment, once.
type environment map[string]string

// takeEnvironment reads the names of the contract and unsets them, so that the
// programs a child runs do not take themselves for it.
func takeEnvironment() environment {
	e := environment{}
	for _, name := range envNames {
		e[name] = os.Getenv(name)
		os.Unsetenv(name)
	}
	return e
}

// number returns the number of the name, 0 when it is not set.
func (e environment) number(name string) (int64, error) {
	if e[name] == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(e[name], 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("environment: %s=%q is not a number; unset it or start the process by its parent", name, e[name])
	}
	return n, nil
}

// duration is number in microseconds.
func (e environment) duration(name string) (time.Duration, error) {
	n, err := e.number(name)
	return time.Duration(n) * time.Microsecond, err
}
