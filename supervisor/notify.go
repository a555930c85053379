package supervisor

import (
	"fmt"
	"strings"
	"time"

	"github.com/volumed/volumed/supervisor/lifeline"
)

const (
	// extendEvery is how often the parent is asked for more time, extendBy how
	// much is asked for.
	extendEvery = 10 * time.Second
	extendBy    = 30 * time.Second
)

// upward is what the supervisor still has to tell its own parent, systemd.
type upward struct {
	ready    bool
	readyBy  time.Time // when some ready backends have to do
	extendAt time.Time // the next request for more time
	beat     time.Duration
	beatAt   time.Time // the next beat, zero if nobody watches
	status   string    // the last one told
}

func (u *upward) begin(cfg Config, now time.Time) {
	u.readyBy = now.Add(cfg.Policy.ReadyTimeout)
	u.extendAt = now.Add(extendEvery)
	if u.beat = cfg.Parent.Watchdog() / 2; u.beat > 0 {
		u.beatAt = now
	}
}

func (u *upward) alarms(a *alarm, now time.Time) {
	a.set(u.beatAt)
	a.set(u.extendAt)
	if !u.ready && now.Before(u.readyBy) {
		a.set(u.readyBy)
	}
}

// tellParent tells what is news.
func (s *Supervisor) tellParent(now time.Time) {
	u := &s.up
	if status := s.summary(); status != u.status {
		u.status = status
		s.cfg.Parent.Status(status)
	}
	if !u.ready && s.phase == running {
		s.checkReady(now)
	}
	s.askForTime(now)
	if !u.beatAt.IsZero() && !now.Before(u.beatAt) {
		u.beatAt = now.Add(u.beat)
		s.cfg.Parent.Beat()
	}
}

// checkReady tells that the service is up, once it is.
func (s *Supervisor) checkReady(now time.Time) {
	up, settled := 0, true
	for _, c := range s.children {
		if c.Role == Worker {
			if c.up() {
				up++
			}
			settled = settled && (c.up() || c.State == Failed)
		}
	}
	if up == 0 || !settled && now.Before(s.up.readyBy) {
		return
	}
	s.up.ready = true
	s.cfg.Parent.Ready()
	s.log.Info("service is up", "backends", s.up.status)
	close(s.settled)
}

// askForTime keeps systemd from losing patience while the service comes up, and
// while it drains for as long as it was told it may.
func (s *Supervisor) askForTime(now time.Time) {
	u := &s.up
	if s.phase == running && u.ready {
		u.extendAt = time.Time{}
		return
	}
	if u.extendAt.IsZero() {
		u.extendAt = now // the stop has begun
	}
	if !now.Before(u.extendAt) {
		u.extendAt = now.Add(extendEvery)
		s.cfg.Parent.ExtendTimeout(extendBy)
	}
}

// summary is one line such as "3/4 ready, ceph2 backoff 16s".
func (s *Supervisor) summary() string {
	var rest []string
	ready, workers := 0, 0
	for _, c := range s.children {
		if c.Role == Worker {
			workers++
		}
		switch {
		case c.Role == Worker && c.State == lifeline.Ready:
			ready++
		case c.State == Backoff && c.NextStart.After(c.Since):
			delay := c.NextStart.Sub(c.LastExit.At).Round(time.Second)
			rest = append(rest, fmt.Sprintf("%s %s %v", c.Name, c.State, delay))
		case c.Role == Worker || c.State == Failed:
			rest = append(rest, fmt.Sprintf("%s %s", c.Name, c.State))
		}
	}
	return strings.Join(append([]string{fmt.Sprintf("%d/%d ready", ready, workers)}, rest...), ", ")
}
