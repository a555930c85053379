package operation

import (
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// A backend that does not answer holds operations up in three places: in a call
// that does not return, in front of a lane whose slots such calls have, and
// between two tries. The engine cannot tell a call that hangs from one that takes
// long; whoever owns the engine asks the backend, and tells it.

// stall is an outage of the backend.
type stall struct {
	reason, hint string
	since        time.Time
}

// Bounds of the time between two looks at an outage, as operations tell it: it
// grows as the outage lasts, so that a thousand operations are not written every
// second for hours. The backend itself is asked more often.
const (
	lookSoonest = retryMost
	lookLatest  = time.Minute
)

// nextTry is when an operation that is held up should have been looked at again.
func (s *stall) nextTry() time.Time {
	return now().Add(min(max(time.Since(s.since), lookSoonest), lookLatest).Truncate(time.Microsecond))
}

// goesOn is the outage as it is now: the one before, which may be nil, has lasted since
// it began.
func (s *stall) goesOn(cause error) *stall {
	f := fault.Of(cause)
	next := &stall{reason: f.Message, hint: f.Hint, since: time.Now()}
	if s != nil {
		next.since = s.since
	}
	return next
}

// Stall notes that the backend does not answer, and why, or, with nil, that it
// answers again. It is repeated as long as the outage lasts: each time every operation that is held up, and has given no sign of life for
// tellAfter, becomes waiting for that reason, also while its call does not return.
// The journal has it within flushInterval. At the end they are again what they
// were, and what was waiting for its next try tries at once.
func (e *Engine) Stall(cause error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	last := e.stalled.Load()
	switch {
	case cause != nil:
		e.stalled.Store(last.goesOn(cause))
		for _, t := range e.tasks {
			t.suspend()
		}
	case last != nil:
		e.stalled.Store(nil)
		for _, t := range e.tasks {
			t.resume()
		}
	}
}

// Stall notes that something else than the backend of the service, which the present
// step uses, does not answer, and why, or, with nil, that it answers again. It has the
// effects of Engine.Stall on this operation only, and is repeated as that is.
func (t *Task) Stall(cause error) {
	last := t.stalled.Load()
	switch {
	case cause != nil:
		t.stalled.Store(last.goesOn(cause))
		t.suspend()
	case last != nil:
		t.stalled.Store(nil)
		if t.engine.stalled.Load() == nil {
			t.resume()
		}
	}
}

// outage is what the task is held up by: nil while everything answers.
func (t *Task) outage() *stall {
	if s := t.engine.stalled.Load(); s != nil {
		return s
	}
	return t.stalled.Load()
}

// Late reports whether any step, or wait for a slot, has taken longer than
// tellAfter: whether it is worth asking if the backend answers.
func (e *Engine) Late() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, t := range e.tasks {
		if t.isLate() {
			return true
		}
	}
	return false
}

// trouble tells the owner of the engine that the backend may be away.
func (e *Engine) trouble() {
	if e.cfg.OnTrouble != nil {
		e.cfg.OnTrouble()
	}
}

// holdup is what a task knows of being held up by the backend. The mu of the task
// guards it.
type holdup struct {
	begun time.Time // of the present step or wait for a slot
	sign  time.Time // the last sign of life of it
	// was is what the operation would be if the backend answered, while it is
	// waiting only because that does not; empty otherwise.
	was volume.OperationStatus
	// unanswered tells that the last try ended without an answer.
	unanswered bool
}

// isLate reports whether the present step, or wait for a slot, takes long.
func (t *Task) isLate() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	atWork := t.op.Status == volume.Running || t.op.Status == volume.Queued || t.holdup.was != ""
	return atWork && !t.holdup.begun.IsZero() && time.Since(t.holdup.begun) >= tellAfter
}

// begin notes the begin of a step.
func (h *holdup) begin() {
	h.begun = time.Now()
	h.sign = h.begun
}

// begin notes the begin of the wait for a slot.
func (t *Task) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.holdup.begin()
}

// alive notes a sign of life of the present step. t.mu is held.
func (t *Task) alive() {
	t.holdup.sign = time.Now()
	t.release()
}

// late is called when a step, or a wait for a slot, has taken for tellAfter.
func (t *Task) late() {
	t.suspend()
	t.mu.Lock()
	if t.op.Status == volume.Running {
		t.tell()
	}
	t.mu.Unlock()
	t.engine.trouble()
}

// suspend makes an operation that an outage holds up waiting for its end.
func (t *Task) suspend() {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, status := t.outage(), t.op.Status
	switch {
	case s == nil:
		return
	case t.holdup.was != "":
		if t.op.Reason == s.reason && now().Before(t.op.NextTry) {
			return
		}
	case status != volume.Running && status != volume.Queued, time.Since(t.holdup.sign) < tellAfter:
		return
	default:
		t.holdup.was = status
	}
	t.op.Status, t.op.ETA = volume.Waiting, time.Time{}
	t.unblock()
	t.op.Reason, t.op.Hint, t.op.NextTry = s.reason, s.hint, s.nextTry()
	t.tell()
}

// resume makes the operation what it is without the outage, and has it tried at
// once if it waits for its next try.
func (t *Task) resume() {
	t.mu.Lock()
	t.release()
	unanswered := t.holdup.unanswered
	t.mu.Unlock()
	if !unanswered {
		return
	}
	select {
	case t.woken <- struct{}{}:
	default:
	}
}

// release undoes suspend. t.mu is held.
func (t *Task) release() {
	if t.holdup.was == "" {
		return
	}
	t.op.Status, t.holdup.was = t.holdup.was, ""
	t.unblock()
	t.tell()
}

// stillHeld reports whether a step that begins belongs to an operation which an
// outage holds up already: its call will hang as the last one did, and until it
// does not the operation is waiting. t.mu is held.
func (t *Task) stillHeld() bool {
	if t.outage() == nil || t.holdup.was == "" && !t.holdup.unanswered {
		return false
	}
	t.holdup.was = volume.Running
	return true
}

// unrecorded is the reason of an operation whose outcome the journal does not take.
const unrecorded = "it is done, but the database does not take its outcome"

// recording makes the operation tell that its outcome is not recorded yet, if the
// journal takes long. Only this process can tell: the journal is what is away.
// The returned function ends that.
func (t *Task) recording() (recorded func()) {
	late := time.AfterFunc(tellAfter, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.op.Status.Terminal() {
			return
		}
		t.unblock()
		t.op.Status, t.op.Reason, t.op.NextTry = volume.Waiting, unrecorded, now().Add(retryMost)
	})
	return func() { late.Stop() }
}
