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
	Own                  // taken over by the supervisor itself
	Births               // given by the supervisor to processes that it starts from then on
	Start                // counts only while the service starts, so nothing has to wait for it
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

// comparison is what the options of a child come to, and of which ones: it is looked
// at after every event, and changes with a reload.
type comparison struct {
	spec, wanted, tuned []Setting
	running             bool
	config              string
	pending             []string
}

// compared returns the digest of the options that the child was started with, and
// those of the configuration that it does not run with.
func (c *child) compared() (config string, pending []string) {
	o := &c.options
	running := c.proc != nil
	if same(o.spec, c.spec.Settings) && same(o.wanted, c.wanted.Settings) && same(o.tuned, c.tuned.Settings) && o.running == running {
		return o.config, o.pending
	}
	*o = comparison{spec: c.spec.Settings, wanted: c.wanted.Settings, tuned: c.tuned.Settings, running: running}
	o.config = digest(o.spec)
	o.pending = changed(o.spec, o.wanted, Backend, Service)
	if running {
		o.pending = append(o.pending, changed(o.tuned, o.wanted, Live)...)
	}
	return o.config, o.pending
}

// same reports whether both are one and the same list, which nobody changes.
func same(a, b []Setting) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}
