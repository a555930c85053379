package report

import (
	"context"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxStacks bounds the text of all stacks, and with it the time for which the
// process stands still while it is taken.
const maxStacks = 64 << 20

// Goroutines returns the source of what all goroutines of this process are at, equal
// stacks together, those that have waited longest first.
func Goroutines() Source {
	return Source{"Goroutines", func(context.Context) (Section, error) {
		text, cut := stacks(maxStacks)
		return goroutines(text, cut), nil
	}}
}

// stacks returns the stacks of all goroutines, and whether there were more than fit.
func stacks(most int) (text string, cut bool) {
	for size := 1 << 20; ; size *= 4 {
		buf := make([]byte, min(size, most))
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			return string(buf[:n]), false
		}
		if len(buf) == most {
			return string(buf), true
		}
	}
}

// group is goroutines with the same stack.
type group struct {
	state  string // chan receive, syscall, …
	stack  string // without what differs between them
	ids    []string
	waited time.Duration // by the one that has waited longest
	inC    bool
}

var (
	headLine = regexp.MustCompile(`^goroutine (\d+)(?: gp=\S+)?(?: m=\S+)?(?: mp=\S+)? \[([^]]*)\]`)
	waited   = regexp.MustCompile(`^(\d+) minutes$`)
	argument = regexp.MustCompile(`\((?:0x[0-9a-f]+|\{|\}|\.\.\.|, |[?])*\)$`)
	offset   = regexp.MustCompile(` \+0x[0-9a-f]+$`)
	creator  = regexp.MustCompile(` in goroutine \d+$`)
)

func goroutines(text string, cut bool) Section {
	groups := map[string]*group{}
	total := 0
	for block := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		id, g := parse(block)
		if g == nil {
			continue
		}
		total++
		key := g.state + "\n" + g.stack
		if groups[key] == nil {
			groups[key] = g
		}
		groups[key].ids = append(groups[key].ids, id)
		groups[key].waited = max(groups[key].waited, g.waited)
	}
	var all []*group
	inC := 0
	for _, g := range groups {
		all = append(all, g)
		if g.inC {
			inC += len(g.ids)
		}
	}
	slices.SortFunc(all, func(a, b *group) int {
		switch {
		case a.waited != b.waited:
			return int(b.waited - a.waited)
		case len(a.ids) != len(b.ids):
			return len(b.ids) - len(a.ids)
		default:
			return strings.Compare(a.stack, b.stack)
		}
	})
	var s Section
	s.Add("goroutines", total)
	s.Add("in C", inC)
	s.Add("different stacks", len(all))
	if cut {
		s.Add("note", fmt.Sprintf("cut off after %d MiB of stacks", maxStacks>>20))
	}
	var b strings.Builder
	for _, g := range all {
		g.write(&b)
	}
	s.Text = b.String()
	return s
}

// parse reads the stack of one goroutine.
func parse(block string) (id string, _ *group) {
	head, stack, _ := strings.Cut(block, "\n")
	m := headLine.FindStringSubmatch(head)
	if m == nil {
		return "", nil
	}
	g := &group{}
	var state []string
	for part := range strings.SplitSeq(m[2], ", ") {
		if w := waited.FindStringSubmatch(part); w != nil {
			minutes, _ := strconv.Atoi(w[1])
			g.waited = time.Duration(minutes) * time.Minute
			continue
		}
		state = append(state, part)
	}
	g.state = strings.Join(state, ", ")
	var b strings.Builder
	for line := range strings.SplitSeq(stack, "\n") {
		if strings.HasPrefix(line, "\t") {
			line = offset.ReplaceAllString(line, "")
		} else {
			line = creator.ReplaceAllString(argument.ReplaceAllString(line, "()"), "")
		}
		g.inC = g.inC || strings.Contains(line, "._Cfunc_")
		b.WriteString(line + "\n")
	}
	g.stack = b.String()
	return m[1], g
}

// shownIDs is how many goroutines of a group are named.
const shownIDs = 10

func (g *group) write(b *strings.Builder) {
	noun := "goroutine"
	if len(g.ids) > 1 {
		noun = "goroutines"
	}
	fmt.Fprintf(b, "%d %s [%s]", len(g.ids), noun, g.state)
	if g.inC {
		b.WriteString(" IN C")
	}
	if g.waited > 0 {
		fmt.Fprintf(b, ", waiting for %d minutes", g.waited/time.Minute)
	}
	fmt.Fprintf(b, ": %s", strings.Join(g.ids[:min(len(g.ids), shownIDs)], " "))
	if len(g.ids) > shownIDs {
		b.WriteString(" …")
	}
	b.WriteString("\n" + g.stack + "\n")
}
