package config

import (
	"fmt"
	"strings"
)

// kind is the type of an option: how its text is read and what it becomes.
type kind int

const (
	text     kind = iota // as is: string or Secret
	boolean              // bool
	integer              // int
	seconds              // whole seconds: time.Duration
	duration             // seconds with fraction, or 90s, 1.5h, 7d: time.Duration
	list                 // a, b: []string
	devices              // one dict per line, k:v,k:v: []ReplicationDevice
	object               // JSON object: map[string]any
	ignored              // known, accepted, not even looked at
)

// option describes one option. The tables of options are all that the package
// knows about them.
type option struct {
	name    string
	kind    kind
	def     string   // default in the text of the dialect, with $names; "" is unset
	auto    string   // says in the docs where a default is found at run time
	min     *int64   // least value of a number, in its unit
	max     *int64   // greatest one
	choices []string // exact texts allowed
	unit    string
	secret  bool     // never printed
	idle    bool     // checked, but without effect in this version
	own     bool     // a backend's own section counts, [backend_defaults] does not
	reach   Reach    // of a change while the service runs; that of its table if 0
	old     []string // deprecated names
	check   func(string) (reason, hint string)
	help    string
	// warn, on an ignored option, says why it is dangerous to believe in it.
	warn string
}

// names are all names the option may be written under, the proper one first.
func (o *option) names() []string { return append([]string{o.name}, o.old...) }

// numeric options count as not set when they are set to nothing.
func (o *option) numeric() bool {
	return o.kind == integer || o.kind == seconds || o.kind == duration
}

// typeName is the type as the documentation shows it.
func (o *option) typeName() string {
	name := map[kind]string{
		text: "string", boolean: "bool", integer: "int", seconds: "int", duration: "duration",
		list: "list", devices: "dict, repeatable", object: "JSON object",
	}[o.kind]
	if len(o.choices) > 0 {
		name = strings.Join(o.choices, " or ")
	}
	return name
}

// unitName is the unit of the number that the option is written as.
func (o *option) unitName() string {
	if o.kind == seconds || o.kind == duration {
		return "s"
	}
	return o.unit
}

// bounds says which numbers are allowed, as far as they are bounded.
func (o *option) bounds() string {
	var parts []string
	if o.min != nil {
		parts = append(parts, fmt.Sprintf("min %d", *o.min))
	}
	if o.max != nil {
		parts = append(parts, fmt.Sprintf("max %d", *o.max))
	}
	return strings.Join(parts, ", ")
}

// meaning is the help, with what must be known of an option without effect.
func (o *option) meaning() string {
	if o.idle {
		return o.help + " Without effect in this version."
	}
	return o.help
}

// table is the options of one section, or of one class of sections.
type table struct {
	section string // as in messages and docs
	reach   Reach  // of its options
	options []option
}

// reachOf is how far a change of one of its options reaches.
func (t *table) reachOf(o *option) Reach {
	switch {
	case o.idle:
		return Nowhere
	case o.reach != 0:
		return o.reach
	default:
		return t.reach
	}
}

// find returns the option of that name, by its proper or a deprecated one.
func (t *table) find(name string) *option {
	for i := range t.options {
		o := &t.options[i]
		for _, n := range o.names() {
			if n == name {
				return o
			}
		}
	}
	return nil
}

// known lists the option names that have an effect.
func (t *table) known() []string {
	var names []string
	for _, o := range t.options {
		if o.kind != ignored {
			names = append(names, o.name)
		}
	}
	return names
}

// ptr is the address of a bound of a range.
func ptr(n int64) *int64 { return &n }

// ignore makes options out of names that have no effect in this service.
func ignore(names string) []option {
	var list []option
	for name := range strings.FieldsSeq(names) {
		list = append(list, option{name: name, kind: ignored})
	}
	return list
}
