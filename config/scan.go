package config

import (
	"bytes"
	"strings"
	"unicode"
)

// defaultSection is the one section whose name is case-sensitive.
const defaultSection = "DEFAULT"

// entry is one assignment as it stands in a file.
type entry struct {
	origin
	section string // as written
	key     string
	value   string // continuation lines joined by \n
}

// header is one section header as it stands in a file.
type header struct {
	origin
	name string
}

// scanner reads one file by the grammar, line by line. It goes on after a
// refused line, so that one load reports them all.
type scanner struct {
	path     string
	line     int
	section  string
	seen     bool   // a section header came by, good or bad
	open     bool   // a continuation line may follow
	current  *entry // the open assignment; nil when it was refused
	quoted   bool   // the open value was in quotes
	entries  []*entry
	headers  []header
	problems []Problem
}

// scan returns the assignments and section headers of a file, or what is wrong
// with its lines: with the grammar, or with what ini.v1 would make of them.
func scan(path string, data []byte) ([]*entry, []header, []Problem) {
	s := scanner{path: path}
	if p, bad := refuseBytes(data); bad {
		return nil, nil, []Problem{p.at(origin{path, 1})}
	}
	for raw := range bytes.SplitSeq(data, []byte("\n")) {
		s.line++
		s.scanLine(strings.TrimSuffix(string(raw), "\r"))
	}
	s.refuseEmptyDuplicates()
	return s.entries, s.headers, s.problems
}

func (s *scanner) scanLine(raw string) {
	if reason, hint := refuseText(raw); reason != "" {
		s.open, s.current = true, nil // what continues it is refused with it
		s.refuse("", reason, hint)
		return
	}
	line := strings.TrimRightFunc(raw, unicode.IsSpace)
	switch {
	case line == "":
		s.open = false
	case line[0] == ' ' || line[0] == '\t':
		s.continuation(line)
	case line[0] == '[':
		s.header(line)
	case line[0] == '#' || line[0] == ';':
		s.open = false
	default:
		s.assignment(line)
	}
}

func (s *scanner) continuation(line string) {
	switch {
	case !s.open:
		s.refuse("", "unexpected continuation line: it is indented, but there is no value to continue",
			"start it in the first column, or put it directly below the value")
	case s.current == nil: // its first line was refused, that is enough
	case s.quoted:
		s.refuse(s.current.key, "a value in quotes cannot be continued on the next line", "leave the quotes out")
	default:
		s.current.value += "\n" + strings.TrimSpace(line)
	}
}

func (s *scanner) header(line string) {
	s.open, s.seen = false, true
	s.section = ""
	name, closed := strings.CutSuffix(line[1:], "]")
	switch {
	case !closed:
		s.refuse("", "a section header must end with ]", "put a comment on a line of its own")
	case name == "":
		s.refuse("", "the section has no name", "write [DEFAULT] or the name of a backend")
	default:
		s.section = name
		s.headers = append(s.headers, header{origin{s.path, s.line}, name})
	}
}

func (s *scanner) assignment(line string) {
	s.open, s.current, s.quoted = true, nil, false
	i := strings.IndexAny(line, "=:")
	if i < 0 {
		s.refuse("", "there is neither = nor : in the line", "write option = value, or # before a comment")
		return
	}
	key, value := strings.TrimSpace(line[:i]), strings.TrimSpace(line[i+1:])
	if key == "" {
		s.refuse("", "there is no option name before "+line[i:i+1], "write option = value")
		return
	}
	if reason, hint := refuseKey(key); reason != "" {
		s.refuse(key, reason, hint)
		return
	}
	if !s.seen {
		s.refuse(key, "the option stands before the first section", "put [DEFAULT] above it")
		return
	}
	if reason, hint := refuseValue(value); reason != "" {
		s.refuse(key, reason, hint)
		return
	}
	if s.section == "" { // its header was refused, that is enough
		return
	}
	value, s.quoted = unquote(value)
	s.current = &entry{origin{s.path, s.line}, s.section, key, value}
	s.entries = append(s.entries, s.current)
}

func (s *scanner) refuse(key, reason, hint string) {
	p := Problem{Section: s.section, Option: key, Reason: reason, Hint: hint}
	s.problems = append(s.problems, p.at(origin{s.path, s.line}))
}

// unquote removes one pair of equal quotes around a value. There are no escapes.
func unquote(value string) (string, bool) {
	if len(value) >= 2 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0] {
		return value[1 : len(value)-1], true
	}
	return value, false
}
