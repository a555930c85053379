package supervisor

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
)

// Scope is how far a change of an option reaches.
type Scope int

// The scopes.
const (
	Live    Scope = iota // taken over by the running process
	Backend              // needs another process for the backend
	Service              // needs a restart of the whole service
)

// Setting is one option with its value, which is only ever compared.
type Setting struct {
	Name  string // as people know it: [rbd0] rbd_pool
	Value string
	Scope Scope
}

// changed returns the names of the options of these scopes whose values differ,
// or that only one side has, sorted.
func changed(before, after []Setting, scopes ...Scope) []string {
	values := func(all []Setting) map[string]string {
		m := map[string]string{}
		for _, s := range all {
			if slices.Contains(scopes, s.Scope) {
				m[s.Name] = s.Value
			}
		}
		return m
	}
	var names []string
	was, is := values(before), values(after)
	for name, value := range is {
		if old, there := was[name]; !there || old != value {
			names = append(names, name)
		}
	}
	for name := range was {
		if _, there := is[name]; !there {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// digest is short and the same for the same settings.
func digest(settings []Setting) string {
	if len(settings) == 0 {
		return ""
	}
	h := sha256.New()
	for _, s := range settings {
		fmt.Fprintf(h, "%q=%q\n", s.Name, s.Value)
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}
