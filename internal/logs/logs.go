package logs

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/fault"
)

// Config says how a process logs.
type Config struct {
	Path  string // of the file; empty means stderr
	JSON  bool
	Level hclog.Level
	// Levels are those of single loggers, as name=LEVEL. A name counts for the
	// loggers below it too: rpc for rpc.client; the longest one that fits counts.
	// The first part of a logger's name, the role, may be left out.
	Levels []string
	// Mask returns a text without the secrets in it; nil means that there are none.
	Mask func(string) string
}

// Log is what all loggers of a process write to.
type Log struct {
	cfg    Config
	out    io.Writer
	file   *file // nil for stderr
	levels atomic.Pointer[levels]
	set    atomic.Int32 // the level set at run time; NoLevel if none is
	recent recent
}

// timeFormat is the same in lines and in reports.
const timeFormat = "2006-01-02T15:04:05.000Z0700"

// Open opens the log. The error is of kind Invalid, if the file cannot be written
// or a level is none.
func Open(cfg Config, stderr io.Writer) (*Log, error) {
	if cfg.Mask == nil {
		cfg.Mask = func(s string) string { return s }
	}
	l := &Log{cfg: cfg, out: stderr, recent: newRecent()}
	if err := l.Configure(cfg.Level, cfg.Levels); err != nil {
		return nil, err
	}
	if cfg.Path != "" {
		f, err := openFile(cfg.Path, stderr)
		if err != nil {
			return nil, fault.New(fault.Invalid, "log_file: %w", err).WithHint("give the user of the service the right to write there")
		}
		l.file, l.out = f, f
	}
	return l, nil
}

// ParseLevel reads a level in our words or in those of Python's logging. The error
// is of kind Invalid.
func ParseLevel(text string) (hclog.Level, error) {
	text = strings.ToLower(strings.TrimSpace(text))
	switch text {
	case "warning":
		return hclog.Warn, nil
	case "critical", "fatal":
		return hclog.Error, nil
	}
	if level := hclog.LevelFromString(text); level != hclog.NoLevel {
		return level, nil
	}
	return hclog.NoLevel, fault.New(fault.Invalid, "%q is no level; give trace, debug, info, warn, error or off", text).WithField("level")
}

// Logger returns the logger of a role. Every line of it and of those made from it
// begins with the pairs.
func (l *Log) Logger(role string, pairs ...any) hclog.Logger {
	return l.wrap(l.format(role, l.out, nil)).With(pairs...)
}

// format returns what formats lines, whatever their level.
func (l *Log) format(name string, out io.Writer, at hclog.TimeFunction) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{
		Name: name, Level: hclog.Trace, Output: out, JSONFormat: l.cfg.JSON, TimeFormat: timeFormat, TimeFn: at,
	})
}

// SetLevel sets the level of every logger, also of those that have one of their
// own, until it is set again; an empty text goes back to what is configured. It
// returns the level that is then in effect for loggers without one of their own.
func (l *Log) SetLevel(text string) (string, error) {
	level := hclog.NoLevel
	if text != "" {
		var err error
		if level, err = ParseLevel(text); err != nil {
			return "", err
		}
	}
	l.set.Store(int32(level))
	return l.Level(), nil
}

// Level returns the level of loggers that have none of their own.
func (l *Log) Level() string { return l.level(l.levels.Load().usual).String() }

// level is what is in effect where the given one is configured.
func (l *Log) level(configured hclog.Level) hclog.Level {
	if set := hclog.Level(l.set.Load()); set != hclog.NoLevel {
		return set
	}
	return configured
}

// levels are the configured ones.
type levels struct {
	usual hclog.Level
	named map[string]hclog.Level
}

// Configure changes what Level and Levels of Config say, for all loggers at once.
// A level that was set at run time stays in effect. The error is of kind Invalid.
func (l *Log) Configure(usual hclog.Level, named []string) error {
	all := &levels{usual: usual, named: map[string]hclog.Level{}}
	for _, entry := range named {
		name, text, _ := strings.Cut(entry, "=")
		level, err := ParseLevel(text)
		if err != nil {
			return fmt.Errorf("level of logger %s: %w", name, err)
		}
		all.named[strings.TrimSpace(name)] = level
	}
	l.levels.Store(all)
	return nil
}

// of returns the configured level of a name.
func (l *levels) of(name string) hclog.Level {
	_, inner, _ := strings.Cut(name, ".")
	for _, full := range []string{name, inner} {
		for part := full; part != ""; part = part[:max(0, strings.LastIndexByte(part, '.'))] {
			if level, ok := l.named[part]; ok {
				return level
			}
		}
	}
	return l.usual
}

// Reopen opens the file anew, after it was moved away. Without a file it does
// nothing. It is not needed for that to be found out, only to have it done at once.
func (l *Log) Reopen() {
	if l.file != nil {
		l.file.reopen()
	}
}

// Close closes the file; lines that come later go to stderr.
func (l *Log) Close() {
	if l.file != nil {
		l.file.close()
	}
}
