package config

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// scope is a set of options and the sections they are looked up in: that of a
// backend is its own section, then [backend_defaults].
type scope struct {
	name  string
	chain []string
	table *table
}

func (s *scope) sections(o *option) []string {
	if o.own {
		return s.chain[:1]
	}
	return s.chain
}

// ref names one option of one scope.
type ref struct{ scope, option string }

// result is an option as it is in effect.
type result struct {
	value   any    // nil when it is not set and has no default
	text    string // the value printed, for $names in other options
	origin  origin
	written bool // by someone, not a default
}

// resolver reads options: it finds where they are written, puts in what $names
// stand for, and checks types and ranges.
type resolver struct {
	tree   *tree
	scopes map[string]*scope // by exact name
	auto   map[string]string // defaults of [DEFAULT] found at run time
	busy   []ref             // being read now, to see cycles
}

// get reads one option. The error is a Problem with its place.
func (r *resolver) get(s *scope, o *option) (result, error) {
	for _, section := range s.sections(o) {
		raw, from, ok := r.tree.lookup(section, o)
		if !ok {
			continue
		}
		res, err := r.evaluate(s, r.home(s, section), o, raw)
		if err != nil {
			return result{}, problem(section, o, raw, from, err)
		}
		if res.value != nil { // a number set to nothing is not set
			res.origin, res.written = from, true
			return res, nil
		}
	}
	return r.fallback(s, o)
}

// fallback is the option's default.
func (r *resolver) fallback(s *scope, o *option) (result, error) {
	def := o.def
	if o.auto != "" {
		def = escape(r.auto[o.name])
	}
	if o.kind == devices || def == "" && o.kind != text && o.kind != list {
		return result{}, nil
	}
	if def == "" { // unset: no check applies
		return result{value: zeroText(o)}, nil
	}
	res, err := r.evaluate(s, s, o, []string{def})
	if err != nil {
		return result{}, problem(s.name, o, []string{def}, origin{}, err)
	}
	return res, nil
}

func zeroText(o *option) any {
	if o.kind == list {
		return []string(nil)
	}
	return ""
}

// home is the scope in which the $names of a value are looked up first: the
// section it was written in.
func (r *resolver) home(s *scope, section string) *scope {
	if found := r.scopes[section]; found != nil {
		return found
	}
	return s
}

func (r *resolver) evaluate(s, home *scope, o *option, raw []string) (result, error) {
	id := ref{s.name, o.name}
	r.busy = append(r.busy, id)
	defer func() { r.busy = r.busy[:len(r.busy)-1] }()
	expanded := make([]string, len(raw))
	for i, text := range raw {
		var err error
		if expanded[i], err = r.expand(home, o, text); err != nil {
			return result{}, err
		}
	}
	if o.kind == ignored {
		last := expanded[len(expanded)-1]
		return result{value: last, text: last}, nil
	}
	value, err := o.convert(expanded)
	return result{value: value, text: printed(o, value, expanded)}, err
}

// printed is the typed value as text, which is what a $name stands for: 010 is
// 10, yes is True.
func printed(o *option, value any, raw []string) string {
	switch v := value.(type) {
	case bool:
		return map[bool]string{true: "True", false: "False"}[v]
	case int:
		return fmt.Sprint(v)
	case time.Duration:
		if o.kind == seconds {
			return fmt.Sprint(int64(v / time.Second))
		}
	case []string:
		return strings.Join(v, ",")
	case nil:
		return ""
	}
	return raw[len(raw)-1]
}

// problem turns the reason for a bad value into a Problem that shows the value
// where it is no secret. A Problem of another option, met on the way, stays
// what it is: one mistake is reported once, where it was made.
func problem(section string, o *option, raw []string, from origin, err error) Problem {
	var root Problem
	if errors.As(err, &root) {
		return root
	}
	p := Problem{Section: section, Option: o.name, Reason: err.Error()}.at(from)
	var value badValue
	var name badName
	switch {
	case errors.As(err, &name):
		p.Hint = name.hint
	case errors.As(err, &value):
		p.Hint = value.hint
		if !o.secret {
			p.Reason = quoted(raw[len(raw)-1]) + " " + p.Reason
		}
	}
	return p
}

// quoted shows a value, without its passwords and not at any length.
func quoted(value string) string {
	const longest = 80
	value = Mask(value)
	if len(value) > longest {
		value = strings.ToValidUTF8(value[:longest], "") + "…"
	}
	return fmt.Sprintf("%q", value)
}
