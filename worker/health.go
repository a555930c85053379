package worker

import (
	"maps"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/volume"
)

// health is what the worker says of itself: its phase, and what is away. It
// tells the parent and the log when that changes, not while it lasts.
type health struct {
	parent  Parent
	log     hclog.Logger
	changed chan struct{} // holds one token: the row should be written

	mu    sync.Mutex
	phase volume.Phase
	since time.Time         // when the phase that it shows began
	shown volume.Phase      // with what is away taken into account
	away  map[string]string // what is away, and why
}

// backend is what the health calls the cluster.
const backend = "backend"

func newHealth(parent Parent, log hclog.Logger) *health {
	return &health{parent: parent, log: log, changed: make(chan struct{}, 1), phase: volume.Starting, shown: volume.Starting, since: time.Now(), away: map[string]string{}}
}

// set notes that what is away, for the reason, or back, if the reason is empty.
func (h *health) set(what, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.away[what]
	if before == reason {
		return
	}
	switch reason {
	case "":
		delete(h.away, what)
		h.log.Info("back", "what", what)
	default:
		h.away[what] = reason
		if before == "" {
			h.log.Warn("away", "what", what, "error", reason)
		}
	}
	h.show()
	// Another reason can wait for the next heartbeat; some are never twice the same.
	if before == "" || reason == "" {
		h.wake()
	}
}

// reason returns why what is away; empty if it is not.
func (h *health) reason(what string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.away[what]
}

// enter changes the phase.
func (h *health) enter(p volume.Phase) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.phase = p
	h.show()
	h.wake()
}

// show tells the parent, and notes since when the phase is what it is. h.mu is held.
func (h *health) show() {
	phase, reason := h.nowLocked()
	if phase != h.shown {
		h.shown, h.since = phase, time.Now()
	}
	h.parent.Phase(phase, reason)
}

// troubles returns what is away, with the reasons, and since when the phase is what
// it is.
func (h *health) troubles() (away map[string]string, since time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.away), h.since
}

// now returns the phase and the reason why it is not a better one.
func (h *health) now() (volume.Phase, string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.nowLocked()
}

func (h *health) nowLocked() (volume.Phase, string) {
	if len(h.away) == 0 {
		return h.phase, ""
	}
	reasons := make([]string, 0, len(h.away))
	for what, why := range h.away {
		reasons = append(reasons, what+": "+why)
	}
	sort.Strings(reasons)
	phase := h.phase
	if phase == volume.Starting || phase == volume.Ready {
		phase = volume.Degraded
	}
	return phase, strings.Join(reasons, "; ")
}

// wake has the row written soon.
func (h *health) wake() {
	select {
	case h.changed <- struct{}{}:
	default:
	}
}
