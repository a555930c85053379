package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/volumed/volumed/fault"
)

// Problem is one thing to say about one place of the configuration. Its texts
// hold no secrets. As an error its kind is fault.Invalid.
type Problem struct {
	// File is the path as it was given, or "environment NAME", or empty where
	// there is no single place.
	File string `json:"file"`
	// Line counts from 1; 0 means the whole file.
	Line int `json:"line"`
	// Section and Option name what it is about, where that is known.
	Section string `json:"section"`
	Option  string `json:"option"`
	// Reason says what is wrong, Hint what to write instead.
	Reason string `json:"reason"`
	Hint   string `json:"hint"`
	// Warning is true when the load went on without harm.
	Warning bool `json:"warning"`
}

// Error returns "FILE:LINE: [section] option: reason; hint" without the parts
// that are not known.
func (p Problem) Error() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.place() + ": ")
	}
	if p.Section != "" {
		b.WriteString("[" + p.Section + "] ")
	}
	if p.Option != "" {
		b.WriteString(p.Option + ": ")
	}
	b.WriteString(p.Reason)
	if p.Hint != "" {
		b.WriteString("; " + p.Hint)
	}
	return b.String()
}

// Unwrap makes every Problem a fault.Invalid.
func (p Problem) Unwrap() error { return fault.Invalid }

func (p Problem) place() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// at returns p placed where o points.
func (p Problem) at(o origin) Problem {
	p.File, p.Line = o.file, o.line
	return p
}

// join returns the problems as one error, nil when there are none.
func join(problems []Problem) error {
	errs := make([]error, len(problems))
	for i, p := range problems {
		errs[i] = p
	}
	return errors.Join(errs...)
}

// add appends p unless it is there: an option of [backend_defaults] is read
// once for each backend and is still one problem.
func add(list []Problem, p Problem) []Problem {
	if slices.Contains(list, p) {
		return list
	}
	return append(list, p)
}

// origin is where a value was written; the zero origin is a default.
type origin struct {
	file string
	line int
}

func (o origin) String() string {
	switch {
	case o == origin{}:
		return "default"
	case o.line == 0:
		return o.file
	default:
		return fmt.Sprintf("%s:%d", o.file, o.line)
	}
}
