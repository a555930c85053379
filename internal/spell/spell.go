// Package spell tells of a trouble when it begins and when it is over, not each
// time that it shows: a connection that is broken fails every write, and one line
// about it says as much as a million.
package spell

import (
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Log logs troubles. Its methods may be called by any goroutine.
type Log struct {
	log  hclog.Logger
	lull time.Duration

	mu   sync.Mutex
	open map[string]*spell
}

// spell is one trouble that is not over.
type spell struct {
	what        string
	begun, last time.Time
	times       int
	over        *time.Timer // nil if only End ends it
}

// New returns a Log. A trouble is over when it has not shown for the lull; with 0
// it is over only when End says so.
func New(log hclog.Logger, lull time.Duration) *Log {
	return &Log{log: log, lull: lull, open: map[string]*spell{}}
}

// Note logs the event if the trouble with that key begins with it, and counts it
// otherwise. Keys are constants, or names of which there are few.
func (l *Log) Note(key string, level hclog.Level, msg string, args ...any) {
	l.mu.Lock()
	s := l.open[key]
	begins := s == nil
	if begins {
		s = &spell{what: msg, begun: time.Now()}
		l.open[key] = s
		if l.lull > 0 {
			s.over = time.AfterFunc(l.lull, func() { l.calm(key, s) })
		}
	}
	s.times++
	s.last = time.Now()
	l.mu.Unlock()
	if begins {
		l.log.Log(level, msg, args...)
	}
}

// End ends the trouble with that key, if there is one.
func (l *Log) End(key string) {
	l.mu.Lock()
	s := l.open[key]
	delete(l.open, key)
	l.mu.Unlock()
	if s == nil {
		return
	}
	if s.over != nil {
		s.over.Stop()
	}
	l.tell(s)
}

// calm ends a trouble that has not shown for the lull.
func (l *Log) calm(key string, s *spell) {
	l.mu.Lock()
	if l.open[key] != s {
		l.mu.Unlock()
		return
	}
	if left := l.lull - time.Since(s.last); left > 0 {
		s.over.Reset(left)
		l.mu.Unlock()
		return
	}
	delete(l.open, key)
	l.mu.Unlock()
	l.tell(s)
}

// tell logs the end. What showed once has said everything already.
func (l *Log) tell(s *spell) {
	if s.times > 1 {
		l.log.Info("trouble is over", "what", s.what, "times", s.times, "lasted", s.last.Sub(s.begun).Round(time.Millisecond))
	}
}
