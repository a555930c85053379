package metrics

import (
	"fmt"

	"github.com/volumed/volumed/supervisor"
	"github.com/volumed/volumed/supervisor/lifeline"
)

// family is what the supervisor knows of its children at one moment, with what
// their pages have answered.
type family struct {
	children []supervisor.ChildStatus
	answers  []answer
}

// familyFacts are read from that. The label backend is the name of the child.
var familyFacts = []fact[family]{
	ofChildren(gauge[family], "child_state", "1 for the state that the child is in, 0 for the others.", []string{"state"}, states),
	ofChildren(gauge[family], "child_generation", "How often the child was started.", nil,
		func(c supervisor.ChildStatus, emit emit) { emit(float64(c.Generation)) }),
	ofChildren(counter[family], "child_restarts_total", "Starts of the child that followed a death nobody had asked for.", nil,
		func(c supervisor.ChildStatus, emit emit) { emit(float64(c.Restarts)) }),
	ofChildren(gauge[family], "child_crash_loop", "1 while the child dies again and again before it is ready.", nil,
		func(c supervisor.ChildStatus, emit emit) { emit(truth(c.CrashLoop)) }),
	ofChildren(gauge[family], "child_last_beat_timestamp_seconds", "When the process last said that its inner loops turn; missing before the first time.", nil,
		func(c supervisor.ChildStatus, emit emit) { moment(c.LastBeat, emit) }),
	ofChildren(gauge[family], "child_last_exit_code", "Exit code of the last process that ended, or 128 plus the signal; missing before the first.", nil, exitCode),
	ofChildren(gauge[family], "child_last_exit_timestamp_seconds", "When the last process ended; missing before the first.", nil, exitTime),
	gauge("ready", "1 when every backend is ready: what /readyz says.", nil,
		func(f family, emit emit) { emit(truth(len(unready(f.children)) == 0)) }),
	gauge("scrape_up", "1 when the worker has answered with its metrics in time.", []string{"backend"},
		func(f family, emit emit) {
			for _, a := range f.answers {
				emit(truth(a.err == nil), a.backend)
			}
		}),
	gauge("scrape_duration_seconds", "Time until the worker had answered with its metrics, or was given up.", []string{"backend"},
		func(f family, emit emit) {
			for _, a := range f.answers {
				emit(a.took.Seconds(), a.backend)
			}
		}),
}

// ofChildren is a fact of each child, with the labels that name the child before
// its own.
func ofChildren(kind func(string, string, []string, func(family, emit)) fact[family], name, help string, labels []string,
	read func(supervisor.ChildStatus, emit),
) fact[family] {
	return kind(name, help, append([]string{"backend", "role"}, labels...), func(f family, emit emit) {
		for _, c := range f.children {
			read(c, func(value float64, labels ...string) {
				emit(value, append([]string{c.Name, string(c.Role)}, labels...)...)
			})
		}
	})
}

func states(c supervisor.ChildStatus, emit emit) {
	for _, s := range []supervisor.State{
		supervisor.Starting, supervisor.Blocked, lifeline.Init, lifeline.Warm, lifeline.Ready, lifeline.Degraded, lifeline.Draining,
		supervisor.Backoff, supervisor.Failed, supervisor.Exited, supervisor.Stopped,
	} {
		emit(truth(c.State == s), string(s))
	}
}

// signalled is what shells add to the number of the signal that ended a process.
const signalled = 128

func exitCode(c supervisor.ChildStatus, emit emit) {
	switch e := c.LastExit; {
	case e == nil:
	case e.Signal != 0:
		emit(float64(signalled + int(e.Signal)))
	default:
		emit(float64(e.Code))
	}
}

func exitTime(c supervisor.ChildStatus, emit emit) {
	if c.LastExit != nil {
		moment(c.LastExit.At, emit)
	}
}

// unready names the backends that are not ready, and why.
func unready(children []supervisor.ChildStatus) (all []string) {
	for _, c := range children {
		if c.Role == supervisor.Worker && c.State != lifeline.Ready {
			all = append(all, because(c.Name, string(c.State), c.Reason))
		}
	}
	return all
}

// because is a line of /readyz.
func because(who, state, reason string) string {
	if reason == "" {
		return fmt.Sprintf("%s is %s", who, state)
	}
	return fmt.Sprintf("%s is %s: %s", who, state, reason)
}
