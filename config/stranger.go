package config

import (
	"maps"
	"slices"
	"strings"
)

// strangers warns of everything written that nothing reads: the reference
// ignores it in silence, and a misspelt option is found days later.
func (p *parser) strangers() {
	for _, s := range p.tree.sorted() {
		if t := p.tableOf(s.name); t != nil {
			p.strangeOptions(s, t)
			continue
		}
		_, otherBackend := s.entries["volume_driver"]
		if !otherBackend && !slices.Contains(ignoredSections, fold(s.name)) {
			p.warn(Problem{Section: s.name, Reason: "unknown section", Hint: p.sectionHint(s.name)}.at(s.origin))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.tree.environ)) {
		p.strangeVariable(name)
	}
}

// tableOf returns the options that a section can have, nil when nothing reads
// the section.
func (p *parser) tableOf(section string) *table {
	for name, s := range p.resolve.scopes {
		if fold(name) == fold(section) {
			return s.table
		}
	}
	return nil
}

func (p *parser) sectionHint(name string) string {
	if strings.EqualFold(name, defaultSection) {
		return "write [DEFAULT] in upper case"
	}
	known := slices.Concat(slices.Sorted(maps.Keys(p.resolve.scopes)), ignoredSections)
	return nearHint(name, known)
}

func (p *parser) strangeOptions(s *section, t *table) {
	for _, key := range s.order {
		pr := Problem{Section: s.name, Option: key}.at(s.entries[key][0].origin)
		o := t.find(key)
		switch {
		case o == nil:
			p.unknown(pr, t)
		case o.warn != "":
			pr.Reason, pr.Hint = "has no effect", o.warn
			p.warn(pr)
		case o.own && fold(s.name) == backendDefaults:
			pr.Reason, pr.Hint = "has no effect here", "put it into the section of the backend"
			p.warn(pr)
		case o.kind != ignored && key != o.name:
			pr.Reason, pr.Hint = "is an old name", "write "+o.name
			p.warn(pr)
		}
	}
}

// unknown warns of an option its section does not have, unless it is known to
// be without effect wherever it stands.
func (p *parser) unknown(pr Problem, t *table) {
	for _, other := range append([]*table{&backendTable}, tables...) {
		o := other.find(pr.Option)
		if other == t || o == nil {
			continue
		}
		if o.kind == ignored && o.warn == "" {
			return
		}
		pr.Reason, pr.Hint = "has no effect here", "move it to ["+other.section+"]"
		if other == &backendTable {
			pr.Hint = "move it to the section of the backend"
			if !o.own {
				pr.Hint += ", or to [backend_defaults]"
			}
		}
		p.warn(pr)
		return
	}
	pr.Reason, pr.Hint = "unknown option", nearHint(pr.Option, t.known())
	p.warn(pr)
}

// strangeVariable warns of OS_<GROUP>__<OPTION> where the group is ours and has
// no such option. Variables of other groups belong to other programs.
func (p *parser) strangeVariable(variable string) {
	for name, s := range p.resolve.scopes {
		group := envName(name, "")
		rest, ours := strings.CutPrefix(variable, group)
		known := func(o option) bool {
			return slices.ContainsFunc(o.names(), func(n string) bool { return variable == envName(name, n) })
		}
		if !ours || slices.ContainsFunc(s.table.options, known) {
			continue
		}
		p.warn(Problem{
			Section: name, Option: strings.ToLower(rest), Reason: "unknown option",
			Hint: nearHint(rest, s.table.known()),
		}.at(origin{file: "environment " + variable}))
	}
}
