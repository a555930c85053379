package logs

import (
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
)

// logger is one logger of a Log. What it embeds knows its name and pairs, and
// formats whatever it is given.
type logger struct {
	hclog.Logger
	log   *Log
	level atomic.Pointer[levelOf]
}

// levelOf is what some levels say of one logger.
type levelOf struct {
	by    *levels
	level hclog.Level
}

func (l *Log) wrap(format hclog.Logger) *logger { return &logger{Logger: format, log: l} }

// configured is looked up again only when the levels have changed.
func (l *logger) configured() hclog.Level {
	known, now := l.level.Load(), l.log.levels.Load()
	if known == nil || known.by != now {
		known = &levelOf{now, now.of(l.Name())}
		l.level.Store(known)
	}
	return known.level
}

// Log writes the event if its level is in effect, and keeps it in any case.
func (l *logger) Log(level hclog.Level, msg string, args ...any) {
	if level >= hclog.Debug {
		l.log.recent.add(level, l.Logger, msg, args)
	}
	if l.passes(level) {
		l.Logger.Log(level, msg, l.log.clean(args)...)
	}
}

func (l *logger) passes(level hclog.Level) bool { return level >= l.GetLevel() }

func (l *logger) Trace(msg string, args ...any) { l.Log(hclog.Trace, msg, args...) }
func (l *logger) Debug(msg string, args ...any) { l.Log(hclog.Debug, msg, args...) }
func (l *logger) Info(msg string, args ...any)  { l.Log(hclog.Info, msg, args...) }
func (l *logger) Warn(msg string, args ...any)  { l.Log(hclog.Warn, msg, args...) }
func (l *logger) Error(msg string, args ...any) { l.Log(hclog.Error, msg, args...) }

func (l *logger) IsTrace() bool { return l.passes(hclog.Trace) }
func (l *logger) IsDebug() bool { return l.passes(hclog.Debug) }
func (l *logger) IsInfo() bool  { return l.passes(hclog.Info) }
func (l *logger) IsWarn() bool  { return l.passes(hclog.Warn) }
func (l *logger) IsError() bool { return l.passes(hclog.Error) }

func (l *logger) With(args ...any) hclog.Logger {
	return l.log.wrap(l.Logger.With(l.log.clean(args)...))
}

func (l *logger) Named(name string) hclog.Logger      { return l.log.wrap(l.Logger.Named(name)) }
func (l *logger) ResetNamed(name string) hclog.Logger { return l.log.wrap(l.Logger.ResetNamed(name)) }

// SetLevel is that of the whole log: related loggers share their level.
func (l *logger) SetLevel(level hclog.Level) { l.log.set.Store(int32(level)) }

func (l *logger) GetLevel() hclog.Level { return l.log.level(l.configured()) }
