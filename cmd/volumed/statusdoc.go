package main

import (
	"time"

	"github.com/volumed/volumed/supervisor"
)

// The documents that volumed status and reload print with -o json. Their fields
// are only ever added to.

// serviceStatus is the whole service on this host.
type serviceStatus struct {
	PID      int           `json:"pid"`
	Version  string        `json:"version"`
	Pending  []string      `json:"pending_restart,omitempty"` // options of the supervisor's own
	Children []childStatus `json:"children"`
}

// childStatus is one process, or one that should be there.
type childStatus struct {
	Name        string           `json:"name"`
	Role        supervisor.Role  `json:"role"`
	State       supervisor.State `json:"state"`
	Since       time.Time        `json:"since"`
	Reason      string           `json:"reason,omitempty"`
	PID         int              `json:"pid,omitempty"`
	Started     time.Time        `json:"started,omitzero"`
	Generation  int              `json:"generation"`
	Restarts    int              `json:"restarts"`
	CrashLoop   bool             `json:"crash_loop,omitempty"`
	LastBeat    time.Time        `json:"last_beat,omitzero"`
	NextStart   time.Time        `json:"next_start,omitzero"`
	Config      string           `json:"config,omitempty"` // equal for equal options
	Pending     []string         `json:"pending_restart,omitempty"`
	LastExit    *exitStatus      `json:"last_exit,omitempty"`
	Replacement *replacement     `json:"replacement,omitempty"`

	// What a worker tells of itself; Silent is why it does not.
	Host         string  `json:"host,omitempty"`
	Epoch        int64   `json:"epoch,omitempty"`
	HeartbeatAge float64 `json:"heartbeat_age,omitempty"` // seconds
	InFlight     int     `json:"in_flight"`
	Waiting      int     `json:"waiting"` // of them, for a slot
	Silent       string  `json:"silent,omitempty"`
}

// exitStatus is how the process before has ended.
type exitStatus struct {
	PID        int       `json:"pid,omitempty"`
	Generation int       `json:"generation"`
	Code       int       `json:"code"`
	Signal     string    `json:"signal,omitempty"`
	Reason     string    `json:"reason"`
	At         time.Time `json:"at"`
	Uptime     float64   `json:"uptime"` // seconds
	Crash      string    `json:"crash,omitempty"`
}

// replacement is a process that is about to take over.
type replacement struct {
	PID        int              `json:"pid"`
	Generation int              `json:"generation"`
	State      supervisor.State `json:"state"`
	Since      time.Time        `json:"since"`
	Reason     string           `json:"reason,omitempty"`
}

func newChildStatus(c supervisor.ChildStatus) childStatus {
	s := childStatus{
		Name: c.Name, Role: c.Role, State: c.State, Since: c.Since, Reason: c.Reason, PID: c.PID, Started: c.Started, Generation: c.Generation,
		Restarts: c.Restarts, CrashLoop: c.CrashLoop, LastBeat: c.LastBeat, Config: c.Config, Pending: c.Pending,
	}
	if c.State == supervisor.Backoff || c.State == supervisor.Blocked {
		s.NextStart = c.NextStart
	}
	if e := c.LastExit; e != nil {
		s.LastExit = &exitStatus{
			PID: e.PID, Generation: e.Generation, Code: e.Code, Reason: e.Reason, At: e.At, Uptime: e.Uptime.Seconds(), Crash: e.Crash,
		}
		if e.Signal != 0 {
			s.LastExit.Signal = e.Signal.String()
		}
	}
	if n := c.Replacement; n != nil {
		s.Replacement = &replacement{PID: n.PID, Generation: n.Generation, State: n.State, Since: n.Since, Reason: n.Reason}
	}
	return s
}

// reloadReply is what has come of a reload.
type reloadReply struct {
	Backends []outcome `json:"backends"`
	Pending  []string  `json:"pending_restart,omitempty"`
}

// outcome is what has become of one backend.
type outcome struct {
	Backend string   `json:"backend"`
	Outcome string   `json:"outcome"`
	Options []string `json:"options,omitempty"`
	Before  int      `json:"pid_before,omitempty"`
	PID     int      `json:"pid,omitempty"`
	Error   string   `json:"error,omitempty"`
}

func newReloadReply(r supervisor.Reloaded) reloadReply {
	reply := reloadReply{Backends: []outcome{}, Pending: r.Pending}
	for _, o := range r.Outcomes {
		reply.Backends = append(reply.Backends, newOutcome(o))
	}
	return reply
}

func newOutcome(o supervisor.Outcome) outcome {
	return outcome{Backend: o.Backend, Outcome: o.What, Options: o.Options, Before: o.Before, PID: o.After, Error: o.Error}
}
