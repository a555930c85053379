package worker

import (
	"context"
	"time"
)

// lateBeats is after how many report intervals without a heartbeat something must
// be wrong that its error does not tell.
const lateBeats = 3

// alarm has a report made of what is known now, and of the process.
func (w *Worker) alarm(what string) { w.alarmOf(what, w.Vitals(), w.Details()) }

func (w *Worker) alarmOf(what string, v Vitals, d Details) {
	if w.deps.Alarm != nil {
		w.deps.Alarm(what, v, d)
	}
}

// lateness gives the alarm each time that heartbeats begin to be late. It is no part
// of the loop that writes them, which may be what hangs.
func (w *Worker) lateness(ctx context.Context) {
	late := false
	w.every(ctx, func(l Live) time.Duration { return l.ReportInterval }, func() {
		at, _, _ := w.pulse.last()
		was := late
		late = !at.IsZero() && time.Since(at) > lateBeats*w.live().ReportInterval
		if late && !was {
			w.alarm("heartbeat is late")
		}
	})
}

// drainContext returns the context of a drain that may take for the timeout, where 0
// means no limit. When that is over the alarm is given, about what is unfinished then:
// a moment later it has been left. The drain calls drained at its end, which waits for
// the alarm.
func (w *Worker) drainContext(timeout time.Duration) (ctx context.Context, drained func()) {
	ctx, cancel := context.WithCancel(context.Background())
	if timeout <= 0 {
		return ctx, cancel
	}
	told := make(chan struct{})
	deadline := time.AfterFunc(timeout, func() {
		defer close(told)
		v, d := w.Vitals(), w.Details()
		cancel()
		w.alarmOf("drain deadline exceeded", v, d)
	})
	return ctx, func() {
		if !deadline.Stop() {
			<-told
		}
		cancel()
	}
}
