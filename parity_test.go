package volumed_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/volumed/volumed/config"
	"github.com/volumed/volumed/rpc"
)

// parityRow is a row of docs/parity.md.
type parityRow struct{ name, state, text string }

// States of a row.
const (
	works        = "works"
	different    = "different"
	doesNotApply = "does not apply"
	notYet       = "not yet"
)

// The page of parity has a row for each of Cinder's names and for no other, says of each
// what is true by the tables of methods and options, and names tests that exist.
func TestParity(t *testing.T) {
	rows, others := readParity(t)
	methods, options := rpcMethods(), effectiveOptions()
	for name, kind := range cinderNames(t) {
		row, there := rows[name]
		switch {
		case !there:
			t.Errorf("%s %s has no row in docs/parity.md", kind, name)
		case kind == "method":
			checkState(t, row, methods[name], "registered")
		default:
			checkState(t, row, options(name), "an option with an effect")
		}
		delete(rows, name)
		delete(methods, name)
	}
	for name := range rows {
		t.Errorf("%s has a row, and Cinder has no such name", name)
	}
	for name := range methods {
		if !others[name] {
			t.Errorf("the method %s is neither Cinder's nor told as one that is only here", name)
		}
		delete(others, name)
	}
	for name := range others {
		t.Errorf("the method %s is told as one that is only here, and is not there", name)
	}
}

// checkState compares what a row says with whether the thing is there.
func checkState(t *testing.T, row parityRow, there bool, as string) {
	t.Helper()
	tests := testNames.FindAllStringSubmatch(row.text, -1)
	for _, m := range tests {
		if !hasTest(t, m[1], m[2], m[3]) {
			t.Errorf("%s: %s is named and is not there", row.name, m[0])
		}
	}
	switch row.state {
	case works:
		if !there || len(tests) == 0 {
			t.Errorf("%s works, it says: %s: %v, tests: %d", row.name, as, there, len(tests))
		}
	case different:
	case doesNotApply, notYet:
		if there {
			t.Errorf("%s is %s: %s, it says; but it is %s", row.name, row.state, row.text, as)
		}
	default:
		t.Errorf("%s has the state %q", row.name, row.state)
	}
	if row.text == "" {
		t.Errorf("%s says nothing more than %q", row.name, row.state)
	}
}

var (
	// testNames are tests as the pages name them: package.Test, a case after a slash.
	testNames = regexp.MustCompile("`([a-z0-9/]+)\\.(Test[A-Za-z0-9]+)(?:/([a-z_]+))?`")
	rowNames  = regexp.MustCompile("`([a-z_*]+)`")
)

// readParity returns the rows about Cinder's names, and the methods that are only here.
func readParity(t *testing.T) (rows map[string]parityRow, others map[string]bool) {
	t.Helper()
	page, err := os.ReadFile("docs/parity.md")
	if err != nil {
		t.Fatal(err)
	}
	rows, others = map[string]parityRow{}, map[string]bool{}
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if !strings.HasPrefix(line, "| `") || len(cells) < 2 {
			continue
		}
		names := rowNames.FindAllStringSubmatch(cells[0], -1)
		if len(cells) == 2 {
			for _, m := range names {
				others[m[1]] = true
			}
			continue
		}
		name := names[0][1]
		if _, twice := rows[name]; twice {
			t.Errorf("%s has two rows", name)
		}
		rows[name] = parityRow{name, strings.TrimSpace(cells[1]), strings.TrimSpace(strings.Join(cells[2:], "|"))}
	}
	return rows, others
}

// cinderNames returns the names of Cinder, and whether each is a method or an option.
func cinderNames(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("testdata/cinder_names.txt")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if kind, name, ok := strings.Cut(strings.TrimSpace(line), " "); ok && kind != "#" {
			names[name] = kind
		}
	}
	return names
}

// rpcMethods returns the names of the methods that can be called.
func rpcMethods() map[string]bool {
	names := map[string]bool{}
	for _, m := range rpc.Methods() {
		names[m.Name] = true
	}
	return names
}

// effectiveOptions returns what tells whether an option, or any that begins so, has an
// effect.
func effectiveOptions() func(name string) bool {
	effective := map[string]bool{}
	for _, s := range config.Describe() {
		for _, o := range s.Options {
			if !strings.HasSuffix(o.Meaning, "Without effect in this version.") {
				effective[o.Name] = true
			}
		}
	}
	return func(name string) bool {
		begin, pattern := strings.CutSuffix(name, "*")
		if !pattern {
			return effective[name]
		}
		for o := range effective {
			if strings.HasPrefix(o, begin) {
				return true
			}
		}
		return false
	}
}
