package rpc

import (
	"sync"
	"time"

	"github.com/volumed/volumed/fault"
)

// MethodStats counts the requests of one method since the start of the server.
// They are the data of each endpoint in nats micro stats, whose own figures
// count messages only.
type MethodStats struct {
	Method   string `json:"method"`
	Requests int64  `json:"requests"` // answered, errors included
	Errors   int64  `json:"errors"`
	// ByKind counts the errors by their kind.
	ByKind map[fault.Kind]int64 `json:"errors_by_kind,omitempty"`
	// Seconds is the sum of the times from receiving to answering.
	Seconds   float64 `json:"seconds"`
	LastError string  `json:"last_error,omitempty"`
}

// counters are the figures of one method.
type counters struct {
	mu        sync.Mutex
	requests  int64
	errors    map[fault.Kind]int64
	took      time.Duration
	lastError string
}

func (c *counters) count(err error, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests++
	c.took += took
	if err == nil {
		return
	}
	if c.errors == nil {
		c.errors = map[fault.Kind]int64{}
	}
	c.errors[fault.KindOf(err)]++
	c.lastError = err.Error()
}

func (e *endpoint) snapshot() MethodStats {
	e.mu.Lock()
	defer e.mu.Unlock()
	stats := MethodStats{Method: e.Name, Requests: e.requests, Seconds: e.took.Seconds(), LastError: e.lastError}
	for kind, n := range e.errors {
		if stats.ByKind == nil {
			stats.ByKind = map[fault.Kind]int64{}
		}
		stats.ByKind[kind] = n
		stats.Errors += n
	}
	return stats
}

// Stats returns the figures of all methods.
func (s *Server) Stats() []MethodStats {
	all := make([]MethodStats, 0, len(s.endpoints))
	for _, e := range s.endpoints {
		all = append(all, e.snapshot())
	}
	return all
}

// Pending returns the requests at work, oldest first: also those that only wait for
// the end of an operation.
func (s *Server) Pending() []Pending { return s.requests.list() }

// stats returns the figures of the method with the subject, for micro.
func (s *Server) stats(subject string) any {
	for _, e := range s.endpoints {
		if e.subject == subject {
			return e.snapshot()
		}
	}
	return nil
}
