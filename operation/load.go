package operation

import (
	"maps"
	"slices"
	"strings"

	"github.com/volumed/volumed/volume"
)

// LaneLoad is how busy one lane is.
type LaneLoad struct {
	Lane     Lane `json:"lane"`
	Slots    int  `json:"slots"`    // steps that may be at work at once
	Busy     int  `json:"busy"`     // steps at work
	Waiting  int  `json:"waiting"`  // steps that wait for a slot
	Accepted int  `json:"accepted"` // operations accepted and not ended
	Queue    int  `json:"queue"`    // how many those may be
}

// Load returns how busy the lanes are, by name.
func (e *Engine) Load() []LaneLoad {
	all := make([]LaneLoad, 0, len(e.lanes))
	for _, l := range e.lanes {
		all = append(all, l.load())
	}
	slices.SortFunc(all, func(a, b LaneLoad) int { return strings.Compare(string(a.Lane), string(b.Lane)) })
	return all
}

// remembered is how many operations are known after their end.
const remembered = 50

// remember keeps an operation that has ended. e.mu is held.
func (e *Engine) remember(op volume.Operation) {
	if len(e.ended) == remembered {
		e.ended = append(e.ended[:0], e.ended[1:]...)
	}
	e.ended = append(e.ended, op)
}

// Ended returns the last operations that have ended in this engine, at most 50,
// newest first.
func (e *Engine) Ended() []volume.Operation {
	e.mu.Lock()
	defer e.mu.Unlock()
	last := slices.Clone(e.ended)
	slices.Reverse(last)
	return last
}

// Methods returns the names of the methods that operations may have, sorted.
func (e *Engine) Methods() []string { return slices.Sorted(maps.Keys(e.methods)) }

func (l *lane) load() LaneLoad {
	l.mu.Lock()
	defer l.mu.Unlock()
	load := LaneLoad{Lane: l.name, Slots: l.limits.Slots, Busy: l.busy, Accepted: l.accepted, Queue: l.limits.Queue}
	for _, queue := range l.waiting {
		load.Waiting += len(queue)
	}
	load.Waiting += len(l.behind)
	return load
}
