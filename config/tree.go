package config

import (
	"maps"
	"slices"
	"strings"
)

// tree is all assignments of a load, merged: section names that differ in case
// only are one section, assignments stand in order of precedence, last wins.
type tree struct {
	sections map[string]*section // by fold of the name
	environ  map[string]string
}

type section struct {
	header                      // the first one met
	entries map[string][]*entry // by option name, which is case-sensitive
	order   []string            // option names as they were met
}

// fold is the identity of a section name.
func fold(name string) string {
	if name == defaultSection {
		return name
	}
	return strings.ToLower(name)
}

// grow reads all files into a tree and reports every bad line of them.
func grow(src Sources) (*tree, []Problem) {
	t := &tree{sections: map[string]*section{}, environ: src.environ}
	var problems []Problem
	for _, f := range src.files {
		entries, headers, bad := load(f)
		problems = append(problems, bad...)
		for _, h := range headers {
			if t.section(h.name) == nil {
				t.sections[fold(h.name)] = &section{header: h, entries: map[string][]*entry{}}
			}
		}
		for _, e := range entries {
			s := t.section(e.section)
			if len(s.entries[e.key]) == 0 {
				s.order = append(s.order, e.key)
			}
			s.entries[e.key] = append(s.entries[e.key], e)
		}
	}
	return t, problems
}

func (t *tree) section(name string) *section { return t.sections[fold(name)] }

// lookup returns the values written for one option of one section: by the
// environment (one value), else by the files in order of precedence.
func (t *tree) lookup(section string, o *option) (raw []string, from origin, ok bool) {
	for _, name := range o.names() {
		env := envName(section, name)
		if value, set := t.environ[env]; set {
			return []string{value}, origin{file: "environment " + env}, true
		}
	}
	s := t.section(section)
	if s == nil {
		return nil, origin{}, false
	}
	for _, name := range o.names() {
		if entries := s.entries[name]; len(entries) > 0 {
			for _, e := range entries {
				raw = append(raw, e.value)
			}
			return raw, entries[len(entries)-1].origin, true
		}
	}
	return nil, origin{}, false
}

// envName is the variable that overrides an option.
func envName(section, option string) string {
	return "OS_" + strings.ToUpper(section) + "__" + strings.ToUpper(option)
}

// sorted returns the sections in order of their names, so that reports of one
// configuration are always the same.
func (t *tree) sorted() []*section {
	var list []*section
	for _, name := range slices.Sorted(maps.Keys(t.sections)) {
		list = append(list, t.sections[name])
	}
	return list
}
