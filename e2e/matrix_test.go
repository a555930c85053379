package e2e

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os/exec"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/volumed/volumed/internal/testenv"
)

// point is a crash point: <method>/<step>/<when>, and when may name a call.
type point string

// method is what the point belongs to.
func (p point) method() string { return strings.Split(string(p), "/")[0] }

// kills are the deaths to be tried at the point: a successor that cannot come there
// is not killed there.
func (p point) kills() []string {
	once := []string{"service/*/*", "service/*/*/*", "*/accept/*", "*/progress/*", "*/cancel/*", "*/finish/after", "*/reply/*"}
	if slices.ContainsFunc(once, p.is) {
		return []string{killWorker, killSupervisor}
	}
	return []string{killWorker, killSupervisor, killTwice}
}

// is reports whether the point fits a pattern, in which a * stands for one part.
func (p point) is(pattern string) bool {
	fits, _ := path.Match(pattern, string(p))
	return fits
}

// What dies at a point.
const (
	killWorker     = "worker"
	killSupervisor = "supervisor" // and the worker with it
	killTwice      = "twice"      // the worker, and its successor if it comes there again
)

// The promise itself: whatever dies, whenever. Every method is run and killed at
// every point on its path: the worker alone, the worker with its supervisor, and the
// worker with its successor. The list of points is the binary's own, and it is complete: what was
// passed must be in it, and what is in it must be passed.
//
// VOLUMED_TEST_MATRIX says how many of the three deaths are tried at each point on each
// way, drawn by VOLUMED_TEST_SEED; one by itself.
// One cell again: VOLUMED_TEST_MATRIX=3 go test ./e2e -run 'TestMatrix/<method>/<point>/<kill>$'
func TestMatrix(t *testing.T) {
	binary := testenv.QuickBinary(t, "crashpoints")
	points := listedPoints(t, binary)
	sum := &summary{recorded: map[point]bool{}}
	groups := arenas(points)
	draw(groups, extent(t, "VOLUMED_TEST_MATRIX", 1), rand.New(rand.NewPCG(seed(t), 0)))
	slots := make(chan struct{}, sideBySide)
	var all sync.WaitGroup
	for _, name := range slices.SortedFunc(maps.Keys(groups), func(a, b string) int { return len(groups[b]) - len(groups[a]) }) {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			t.Run(name, func(t *testing.T) { sum.add(runArena(t, binary, groups[name])) })
		})
	}
	all.Wait()
	sum.report(t)
	for _, p := range sum.unlisted(points) {
		t.Errorf("%s was passed and is not in internal/crashpoint/points.txt: add it, and its counterpart", p)
	}
}

// sideBySide is how many services are killed at the same time. Most of the time
// each waits: for a process to start, for a commit, for a caller to ask again.
const sideBySide = 6

// listedPoints asks the binary for its points.
func listedPoints(t *testing.T, binary string) (points []point) {
	t.Helper()
	out, err := exec.Command(binary, "crash-points").Output()
	if err != nil {
		t.Fatalf("volumed crash-points: %v", err)
	}
	for name := range strings.Lines(string(out)) {
		points = append(points, point(strings.TrimSpace(name)))
	}
	if len(points) == 0 {
		t.Fatal("the list of crash points is empty")
	}
	return points
}

// arenas deals the points to services that are killed side by side: one for each
// method, and one more where clones of format 1 are needed.
func arenas(points []point) map[string][]goal {
	groups := map[string][]goal{}
	for _, p := range points {
		for _, w := range waysTo(p) {
			name := w.target
			if w.format == 1 {
				name += "-format1"
			}
			if w.depth != "" {
				name += "-depth" + w.depth
			}
			groups[name] = append(groups[name], goal{p, w, p.kills()})
		}
	}
	return groups
}

// goal is a point, a way to it, and the deaths to be tried there.
type goal struct {
	point
	way    way
	deaths []string
}

// draw leaves n deaths for each goal.
func draw(groups map[string][]goal, n int, rng *rand.Rand) {
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		for i := range groups[name] {
			g := &groups[name][i]
			rng.Shuffle(len(g.deaths), func(i, j int) { g.deaths[i], g.deaths[j] = g.deaths[j], g.deaths[i] })
			g.deaths = g.deaths[:min(n, len(g.deaths))]
		}
	}
}

// runArena kills one service at all the points, again and again.
func runArena(t *testing.T, binary string, goals []goal) *summary {
	sum := &summary{recorded: map[point]bool{}}
	var a *arena
	for _, g := range goals {
		for _, kill := range g.deaths {
			passed := t.Run(string(g.point)+"/"+kill, func(cell *testing.T) {
				if a == nil {
					a = newArena(t, binary, g.way)
				}
				sum.tried++
				sum.note(cell.Name(), a.try(cell, g, kill))
			})
			if passed {
				continue
			}
			sum.failed = append(sum.failed, t.Name()+"/"+string(g.point)+"/"+kill)
			if a != nil {
				sum.keep(a.abandon())
				a = nil // what it left says nothing about the next cell
			}
		}
	}
	if a != nil {
		a.empty()
		sum.keep(a.recorded())
	}
	return sum
}

// summary is what became of some cells.
type summary struct {
	mu       sync.Mutex
	tried    int
	failed   []string
	worst    time.Duration // from a death to the end of everything that was unfinished
	where    string
	recorded map[point]bool
}

func (s *summary) note(cell string, took time.Duration) {
	if took > s.worst {
		s.worst, s.where = took, cell
	}
}

func (s *summary) keep(points []point) {
	for _, p := range points {
		s.recorded[p] = true
	}
}

func (s *summary) add(o *summary) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried += o.tried
	s.failed = append(s.failed, o.failed...)
	if o.worst > s.worst {
		s.worst, s.where = o.worst, o.where
	}
	for p := range o.recorded {
		s.recorded[p] = true
	}
}

func (s *summary) report(t *testing.T) {
	slices.Sort(s.failed)
	text := fmt.Sprintf("%d cells tried, %d failed; the longest way from a death to rest took %s (%s)",
		s.tried, len(s.failed), s.worst.Round(time.Millisecond), s.where)
	for _, f := range s.failed {
		text += "\n  failed: " + f
	}
	t.Log(text)
	fmt.Println("matrix:", text) // also where nothing failed
}

// unlisted returns what was passed and is not in the list.
func (s *summary) unlisted(listed []point) (names []point) {
	for p := range s.recorded {
		if !slices.Contains(listed, p) {
			names = append(names, p)
		}
	}
	slices.Sort(names)
	return names
}
