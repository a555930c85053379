package worker

import (
	"context"
	"errors"
	"time"
)

// lateBeats is after how many report intervals without a heartbeat something must
// be wrong that its error does not tell.
const lateBeats = 3

// alarm has a report made, while that what is wrong can be seen.
func (w *Worker) alarm(what string) {
	if w.deps.Alarm != nil {
		w.deps.Alarm(what)
	}
}

// lateness gives the alarm each time that heartbeats begin to be late. It is no part
// of the loop that writes them, which may be what hangs.
func (w *Worker) lateness(ctx context.Context) {
	if w.cfg.ReportInterval <= 0 {
		return
	}
	late := false
	every(ctx, w.cfg.ReportInterval, func() {
		at, _ := w.pulse.last()
		was := late
		late = !at.IsZero() && time.Since(at) > lateBeats*w.cfg.ReportInterval
		if late && !was {
			w.alarm("heartbeat is late")
		}
	})
}

// alarmAtDeadline gives the alarm when ctx, which bounds the drain, ends before the
// drain does: what is unfinished then can still be seen. The returned function ends
// that, or waits for it.
func (w *Worker) alarmAtDeadline(ctx context.Context) (drained func()) {
	told := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(told)
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			w.alarm("drain deadline exceeded")
		}
	})
	return func() {
		if !stop() {
			<-told
		}
	}
}
