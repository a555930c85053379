package metrics

import (
	"bytes"
	"flag"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/volumed/volumed/supervisor"
	"github.com/volumed/volumed/worker"
)

var update = flag.Bool("update", false, "write docs/metrics.md instead of comparing it")

const docsPath = "../docs/metrics.md"

// documented is a row of docs/metrics.md.
type documented struct{ Name, Type, Labels, Help string }

// chapter is a table there.
type chapter struct {
	Title   string
	Metrics []documented
}

// TestDocs keeps docs/metrics.md in step with the metrics; go generate writes it.
func TestDocs(t *testing.T) {
	tmpl := template.Must(template.ParseFiles("testdata/metrics.md.tmpl"))
	var out bytes.Buffer
	if err := tmpl.Execute(&out, chapters(t)); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(docsPath, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(docsPath)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(out.String(), string(have)); diff != "" {
		t.Errorf("%s is stale, run go generate ./metrics (-want +got):\n%s", docsPath, diff)
	}
}

// chapters tells everything that there is, from processes of which everything is known.
func chapters(t *testing.T) []chapter {
	t.Helper()
	h := newHouse(t)
	c := h.add("rbd0", supervisor.Worker)
	c.LastBeat, c.LastExit = time.Now(), &supervisor.Exit{At: time.Now()}
	return []chapter{
		{"A worker", rows(t, busyWorker("rbd0", func() worker.Vitals { return busy(time.Now()) }))},
		{"The supervisor", rows(t, h.service())},
	}
}

func rows(t *testing.T, g prometheus.Gatherer) (all []documented) {
	t.Helper()
	for name, f := range gather(t, g) {
		if strings.HasPrefix(name, prefix) {
			all = append(all, documented{name, strings.ToLower(f.GetType().String()), labels(f), f.GetHelp()})
		}
	}
	slices.SortFunc(all, func(a, b documented) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func labels(f *dto.MetricFamily) string {
	names := map[string]bool{}
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			names["`"+l.GetName()+"`"] = true
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(names)), ", ")
}

// TestEveryFactIsDocumented shows that the processes of chapters tell all there is.
func TestEveryFactIsDocumented(t *testing.T) {
	have := 0
	for _, c := range chapters(t) {
		have += len(c.Metrics)
	}
	// Counters and histograms of a worker, and build_info of both.
	if want := len(vitalFacts) + len(familyFacts) + 3 + 2; have != want {
		t.Errorf("%d metrics are documented, there are %d", have, want)
	}
}
