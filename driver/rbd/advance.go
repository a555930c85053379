package rbd

import "github.com/volumed/volumed/driver"

// advance is how far a copy, or a comparison, of some stages has come.
type advance struct {
	progress driver.Progress // may be nil
	stages   []stage
	percent  int
}

// reach tells that the first n stages are done, and a part of the next. No sign may be
// given meanwhile.
func (a *advance) reach(n int, offset uint64) {
	var done, total uint64
	for i, s := range a.stages {
		total += s.size
		if i < n {
			done += s.size
		}
	}
	a.percent = int((done + offset) * 100 / max(total, 1))
	a.sign()
}

// sign is a sign of life, from any goroutine: a chunk is done, and how far all has come
// is told once the others around it are.
func (a *advance) sign() {
	if a.progress != nil {
		a.progress(a.percent)
	}
}
