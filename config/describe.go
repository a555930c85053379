package config

import "cmp"

// Section describes a section of the configuration to people.
type Section struct {
	// Name is without brackets. Of the backends' own sections there is one
	// description, under the name of [backend_defaults].
	Name    string
	Options []Option
}

// Option describes one option to people. Texts are empty where there is nothing
// to say; words between backticks are literal.
type Option struct {
	Name string
	// Type is in the words of docs/config.md, Unit that of a number.
	Type, Unit string
	// Default is the text of the default, or says where it is found at run time.
	Default string
	// Range is such as "min 0, max 100".
	Range string
	// Secret values are shown in no message.
	Secret  bool
	Meaning string
}

// Describe returns every section with the options that have a meaning, in the
// order of the documentation.
func Describe() []Section {
	var all []Section
	for _, t := range append(append([]*table{}, tables...), &table{backendDefaults, OfBackend, backendTable.options}) {
		s := Section{Name: t.section}
		for i := range t.options {
			if o := &t.options[i]; o.kind != ignored {
				s.Options = append(s.Options, Option{
					Name: o.name, Type: o.typeName(), Unit: o.unitName(), Default: cmp.Or(o.def, o.auto),
					Range: o.bounds(), Secret: o.secret, Meaning: o.meaning(),
				})
			}
		}
		all = append(all, s)
	}
	return all
}
