package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// dollar matches $$, \$, $name and ${name}. Everything else with a $ is plain
// text: $5, a $ at the end.
var dollar = regexp.MustCompile(`\$\$|\\\$|\$[A-Za-z_][A-Za-z0-9_.]*|\$\{[A-Za-z_][A-Za-z0-9_.]*\}`)

// badName says what is wrong with a $name in a value.
type badName struct{ reason, hint string }

func (e badName) Error() string { return e.reason }

// escape makes a text of which expand gives the text back.
func escape(text string) string { return strings.ReplaceAll(text, "$", "$$") }

// expand puts in what the $names in a value stand for. home is the scope in
// which the value was written.
func (r *resolver) expand(home *scope, o *option, text string) (string, error) {
	var b strings.Builder
	done := 0
	for _, m := range dollar.FindAllStringIndex(text, -1) {
		b.WriteString(text[done:m[0]])
		done = m[1]
		token := text[m[0]:m[1]]
		if token == "$$" || token == `\$` {
			b.WriteByte('$')
			continue
		}
		shown := token
		if o.secret { // the name may be a piece of a password
			shown = fmt.Sprintf("$name at character %d", m[0]+1)
		}
		value, err := r.reference(home, o, strings.Trim(token, "${}"), shown)
		if err != nil {
			return "", err
		}
		b.WriteString(value)
	}
	b.WriteString(text[done:])
	return b.String(), nil
}

// reference is the value of a $name: an option of the same scope, else of
// [DEFAULT]; or group.option. The dots belong to the name.
func (r *resolver) reference(home *scope, from *option, name, shown string) (string, error) {
	target, o := r.locate(home, name)
	switch {
	case o == nil:
		return "", badName{shown + " names no option", r.nameHint(home, from, name)}
	case o.secret && !from.secret:
		return "", badName{shown + " is a secret and this option is not", "write the value itself"}
	}
	if i := slices.Index(r.busy, ref{target.name, o.name}); i >= 0 {
		var path strings.Builder
		for _, step := range r.busy[i:] {
			path.WriteString(step.option + " -> ")
		}
		return "", badName{"refers to itself: " + path.String() + o.name, "write one of them without $"}
	}
	res, err := r.get(target, o)
	return res.text, err // the Problem of the other option says it best
}

func (r *resolver) nameHint(home *scope, from *option, name string) string {
	const hint = "write $$ for a $ that is meant as itself"
	first, rest, dotted := strings.Cut(name, ".")
	if !dotted || from.secret {
		return hint
	}
	if _, o := r.locate(home, first); o == nil {
		return hint
	}
	return fmt.Sprintf("%s, or ${%s}.%s if the dot is not part of the name", hint, first, rest)
}

func (r *resolver) locate(home *scope, name string) (*scope, *option) {
	if group, option, dotted := strings.Cut(name, "."); dotted {
		if s := r.scopes[group]; s != nil {
			return s, s.table.find(option)
		}
		return nil, nil
	}
	if o := home.table.find(name); o != nil {
		return home, o
	}
	return r.scopes[defaultSection], defaultTable.find(name)
}
