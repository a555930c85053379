package metrics

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/volumed/volumed/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// gather returns what a scrape shows, by name.
func gather(t *testing.T, g prometheus.Gatherer) map[string]*dto.MetricFamily {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	page := map[string]*dto.MetricFamily{}
	for _, f := range families {
		page[f.GetName()] = f
	}
	return page
}

// text is the exposition of what g gathers.
func text(t *testing.T, g prometheus.Gatherer) string {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&out, f); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

// value returns the sample of the metric with the labels, given as name=value: of a
// histogram how many it has counted.
func value(page map[string]*dto.MetricFamily, name string, labels ...string) (float64, error) {
	for _, m := range page[prefix+name].GetMetric() {
		if has(m, labels) {
			return m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount()), nil
		}
	}
	return 0, fmt.Errorf("there is no %s %v", name, labels)
}

func has(m *dto.Metric, labels []string) bool {
	all := map[string]bool{}
	for _, l := range m.GetLabel() {
		all[l.GetName()+"="+l.GetValue()] = true
	}
	for _, want := range labels {
		if !all[want] {
			return false
		}
	}
	return true
}

// wantValue checks one sample.
func wantValue(t *testing.T, page map[string]*dto.MetricFamily, want float64, name string, labels ...string) {
	t.Helper()
	if got, err := value(page, name, labels...); err != nil || got != want {
		t.Errorf("%s %v is %v, %v; want %v", name, labels, got, err, want)
	}
}
