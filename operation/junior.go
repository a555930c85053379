package operation

import (
	"context"
	"slices"
)

// junior is a step that nobody waits for. It gets a slot when nobody else wants one,
// and is asked to give it back when somebody does.
type junior struct {
	granted chan struct{}
	aside   func() // asks it to end soon; it is called at most once
}

// acquireBehind waits for a slot behind everybody who calls acquire. The caller gives
// it back with release, also soon after aside was called.
func (l *lane) acquireBehind(ctx context.Context, aside func()) (release func(), err error) {
	if err := l.standBack(ctx); err != nil {
		return nil, err
	}
	j := &junior{granted: make(chan struct{}), aside: aside}
	l.mu.Lock()
	l.behind = append(l.behind, j)
	if l.busy < l.limits.Slots && len(l.turns) == 0 {
		l.busy++
		l.admitJunior()
	}
	l.mu.Unlock()
	select {
	case <-j.granted:
	case <-ctx.Done():
		l.leaveBehind(j)
		return nil, context.Cause(ctx)
	}
	return func() { l.releaseJunior(j) }, nil
}

// admitJunior passes a slot that is taken and not used to the next junior, and reports
// whether there was one. l.mu is held.
func (l *lane) admitJunior() bool {
	if len(l.behind) == 0 {
		return false
	}
	j := l.behind[0]
	l.behind = l.behind[1:]
	l.spare[j] = true
	close(j.granted)
	return true
}

// leaveBehind takes a junior back; a slot that it was granted meanwhile goes on.
func (l *lane) leaveBehind(j *junior) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.behind, j); i >= 0 {
		l.behind = slices.Delete(l.behind, i, i+1)
		return
	}
	delete(l.spare, j)
	l.releaseLocked()
}

func (l *lane) releaseJunior(j *junior) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.spare, j)
	l.releaseLocked()
}

// displace asks one junior for its slot. l.mu is held.
func (l *lane) displace() {
	for j := range l.spare {
		delete(l.spare, j)
		j.aside()
		return
	}
}
