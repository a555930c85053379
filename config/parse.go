package config

import (
	"errors"
	"reflect"
	"slices"
	"strings"
)

// Parse reads and validates the sources. The Config is never nil: with an error
// it is good for Problems only. The error joins every Problem that fails the
// whole load, kind fault.Invalid; when a file breaks the grammar it joins those
// of the grammar, and options are not looked at. What is wrong with one backend
// is in its Err and fails nothing else. Parse depends on src alone.
func Parse(src Sources) (*Config, error) {
	t, bad := grow(src)
	if len(bad) > 0 {
		c := &Config{problems: bad}
		return c, join(bad)
	}
	p := newParser(t, src)
	names, from := p.enable()
	p.service()
	fatal := slices.Clone(p.config.problems)
	p.backends(names, from)
	p.strangers()
	return p.config, join(fatal)
}

// parser fills a Config from a tree.
type parser struct {
	tree    *tree
	resolve *resolver
	config  *Config
}

func newParser(t *tree, src Sources) *parser {
	r := &resolver{
		tree: t, scopes: map[string]*scope{},
		auto: map[string]string{"host": src.hostname, "my_ip": src.address},
	}
	for _, tab := range tables {
		r.scopes[tab.section] = &scope{tab.section, []string{tab.section}, tab}
	}
	r.scopes[backendDefaults] = &scope{backendDefaults, []string{backendDefaults}, &backendTable}
	return &parser{tree: t, resolve: r, config: &Config{}}
}

// fail notes what fails the whole load, warn what fails nothing.
func (p *parser) fail(pr Problem) { p.config.problems = add(p.config.problems, pr) }

func (p *parser) warn(pr Problem) {
	pr.Warning = true
	p.config.Warnings = add(p.config.Warnings, pr)
}

// bind fills the fields of target that have a conf tag from the options of a
// scope, and returns where each of them came from and what is wrong.
func (p *parser) bind(s *scope, target any) (origins map[string]origin, bad []Problem) {
	origins = map[string]origin{}
	v := reflect.ValueOf(target).Elem()
	for i := range v.NumField() {
		name, ok := v.Type().Field(i).Tag.Lookup("conf")
		if !ok {
			continue
		}
		o := s.table.find(name)
		res, err := p.resolve.get(s, o)
		if err != nil {
			var pr Problem
			errors.As(err, &pr)
			bad = append(bad, pr)
			continue
		}
		if res.value != nil {
			v.Field(i).Set(reflect.ValueOf(res.value).Convert(v.Field(i).Type()))
		}
		if res.written {
			origins[name] = res.origin
		}
		p.config.settings = append(p.config.settings, Setting{s.name, name, shown(o, res), res.origin.String(), s.table.reachOf(o), fingerprint(o, res)})
		p.idle(s, o, res)
		p.inlineComment(s, o, res)
	}
	return origins, bad
}

// shown is a value for people.
func shown(o *option, res result) string {
	if !o.secret {
		return Mask(res.text)
	}
	if res.text == "" {
		return ""
	}
	return masked
}

// fingerprint is the value, where that may be shown.
func fingerprint(o *option, res result) string {
	if plain := shown(o, res); plain == res.text {
		return plain
	}
	return sealed(res.text)
}

// idle warns of a value that differs from the default and changes nothing, so that
// nobody believes in it.
func (p *parser) idle(s *scope, o *option, res result) {
	same := strings.EqualFold(res.text, o.def) || strings.Contains(o.def, "$")
	if o.idle && res.written && !same {
		p.warn(Problem{Section: s.name, Option: o.name, Reason: "has no effect in this version"}.at(res.origin))
	}
}

// inlineComment warns of the commonest surprise of the dialect.
func (p *parser) inlineComment(s *scope, o *option, res result) {
	if o.kind == text && !o.secret && res.written && strings.Contains(res.text, " #") {
		p.warn(Problem{
			Section: s.name, Option: o.name,
			Reason: "the # and what follows it is part of the value",
			Hint:   "put a comment on a line of its own",
		}.at(res.origin))
	}
}
