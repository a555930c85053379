package supervisor

import (
	"errors"
	"path/filepath"
	"strings"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/supervisor/lifeline"
)

// Config says what to run. The zero values of the optional fields are defaults
// that work.
type Config struct {
	// Executable is started for every child, with "volumed" as its name. The
	// default, /proc/self/exe, stays the running version even after the file on
	// disk was replaced.
	Executable string
	// StatePath is an absolute directory that belongs to this supervisor alone;
	// it is created. It may have up to 80 bytes, for the sockets below it.
	StatePath string
	// Once run to success before the workers start, one after another.
	Once []Spec
	// Bus has to be ready before the workers start; nil means none.
	Bus *Spec
	// Workers are the backends, at least one.
	Workers []Spec
	// GracefulTimeout is what workers get to finish their work after SIGTERM; 0
	// means for ever.
	GracefulTimeout time.Duration
	// Policy holds the other numbers.
	Policy Policy
	// Settings are the options that the supervisor itself depends on. A reload
	// applies GracefulTimeout and Policy; all that is among Settings waits for a
	// restart of the service.
	Settings []Setting
	// Reread returns what to run by the configuration as it is now, for a reload;
	// an error of it changes nothing. nil means that there is no reload. Executable,
	// Parent, OnChange and Reread of what it returns do not count.
	Reread func() (Config, error)
	// Applied, in what Reread returns, is called by the loop when a reload begins
	// to bring it into effect; it must return soon.
	Applied func()
	// Parent is who started the supervisor, to be told of readiness; nil means
	// nobody.
	Parent *lifeline.Parent
	// OnChange is told what has become of a child, after each event that changed
	// it; a state that lasts no time, such as the backoff before a start at once,
	// is not seen. It is called by the loop, so it must return soon.
	OnChange func(ChildStatus)
}

// Spec is one child.
type Spec struct {
	// Name is unique: the name of the backend, "bus", "db-sync".
	Name string
	// Args are the arguments, without the program's name.
	Args []string
	// Env are additions to the environment, as NAME=value.
	Env []string
	// Snapshot is the configuration for the child; nil means that it gets none.
	Snapshot []byte
	// LockPath is the file whose lock keeps this child from running twice on
	// this machine, beside any other supervisor's; "" means no lock.
	LockPath string
	// Settings are the options that the child depends on: a reload compares them.
	Settings []Setting
	// Err is why this child cannot be started, such as errors in its section of
	// the configuration. It is reported as failed, the others run.
	Err error
}

func (c Config) withDefaults() Config {
	def(&c.Executable, "/proc/self/exe")
	if c.Parent == nil {
		c.Parent = &lifeline.Parent{}
	}
	c.Policy = c.Policy.withDefaults()
	return c
}

// Validate returns everything that is wrong with c, as one error of kind Invalid.
func (c Config) Validate() error {
	var problems []error
	wrong := func(format string, args ...any) {
		problems = append(problems, fault.New(fault.Invalid, format, args...))
	}
	if !filepath.IsAbs(c.StatePath) || len(c.StatePath) > maxStatePath {
		wrong("state path %q: give an absolute directory of at most %d bytes", c.StatePath, maxStatePath)
	}
	if len(c.Workers) == 0 {
		wrong("no backend is enabled: name at least one in enabled_backends")
	}
	if c.GracefulTimeout < 0 {
		wrong("graceful timeout %v: give 0 (for ever) or more", c.GracefulTimeout)
	}
	seen := map[string]bool{}
	for _, spec := range c.specs() {
		if spec.Name == "" || len(spec.Name) > maxName || strings.ContainsAny(spec.Name, "/\x00") {
			wrong("name of child %q: give 1 to %d bytes without a slash", spec.Name, maxName)
		}
		if seen[spec.Name] {
			wrong("name of child %q: it is used twice", spec.Name)
		}
		seen[spec.Name] = true
	}
	return errors.Join(problems...)
}

// maxName fits a file name with our suffixes.
const maxName = 200

func (c Config) specs() []Spec {
	specs := append([]Spec{}, c.Once...)
	if c.Bus != nil {
		specs = append(specs, *c.Bus)
	}
	return append(specs, c.Workers...)
}
