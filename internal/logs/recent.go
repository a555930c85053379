package logs

import (
	"bytes"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// How many events are kept: of all, of those that matter, of those that tell of
// something wrong. A flood of one kind leaves the others what they hold.
const (
	keptDebug = 1000
	keptInfo  = 200
	keptWarn  = 50
)

// recent are the last events.
type recent struct {
	mu    sync.Mutex
	rings [3]ring
}

func newRecent() recent {
	return recent{rings: [3]ring{newRing(hclog.Debug, keptDebug), newRing(hclog.Info, keptInfo), newRing(hclog.Warn, keptWarn)}}
}

// event is a line that was not formatted yet.
type event struct {
	at    time.Time
	level hclog.Level
	log   hclog.Logger // has its name and pairs
	msg   string
	args  []any
}

// ring holds the last events of a level or a higher one.
type ring struct {
	least  hclog.Level
	events []event // filled up to its capacity, then written round
	next   int
}

func newRing(least hclog.Level, size int) ring {
	return ring{least: least, events: make([]event, 0, size)}
}

// add keeps an event. Its arguments are copied, since their slice is the caller's.
func (r *recent) add(level hclog.Level, log hclog.Logger, msg string, args []any) {
	at := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.rings {
		if level >= r.rings[i].least {
			r.rings[i].put(at, level, log, msg, args)
		}
	}
}

func (r *ring) put(at time.Time, level hclog.Level, log hclog.Logger, msg string, args []any) {
	if len(r.events) < cap(r.events) {
		r.events = append(r.events, event{})
	}
	e := &r.events[r.next]
	r.next = (r.next + 1) % cap(r.events)
	e.at, e.level, e.log, e.msg = at, level, log, msg
	clear(e.args) // what was longer is not held on to
	e.args = e.args[:0]
	for _, arg := range args {
		e.args = append(e.args, freeze(arg))
	}
}

// list returns copies of the events, oldest first.
func (r *ring) list() []event {
	all := make([]event, 0, len(r.events))
	for i := range r.events {
		e := r.events[(r.next+i)%len(r.events)]
		e.args = append([]any(nil), e.args...)
		all = append(all, e)
	}
	return all
}

// Recent are the last lines, oldest first, as they were written or would have been.
type Recent struct {
	Debug []string // 1000 at most, of every level from debug
	Info  []string // 200 at most, of every level from info
	Warn  []string // 50 at most, of warnings and errors
}

// Recent returns the last lines, those below the level in effect too.
func (l *Log) Recent() Recent {
	l.recent.mu.Lock()
	var all [3][]event
	for i := range l.recent.rings {
		all[i] = l.recent.rings[i].list()
	}
	l.recent.mu.Unlock()
	return Recent{Debug: l.lines(all[0]), Info: l.lines(all[1]), Warn: l.lines(all[2])}
}

// lines formats events as the log itself does.
func (l *Log) lines(events []event) []string {
	lines := make([]string, len(events))
	var b bytes.Buffer
	for i, e := range events {
		b.Reset()
		format := l.format(e.log.Name(), &b, func() time.Time { return e.at })
		format.With(e.log.ImpliedArgs()...).Log(e.level, e.msg, l.clean(e.args)...)
		lines[i] = string(bytes.TrimRight(b.Bytes(), "\n"))
	}
	return lines
}
