package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/volumed/volumed/internal/testenv"
)

// observed is a service whose page is looked at.
type observed struct {
	*service
	page string // URL
}

// newObserved writes the configuration of a service with a page.
func newObserved(t *testing.T, o options) *observed {
	t.Helper()
	o.metrics = fmt.Sprintf("127.0.0.1:%d", testenv.FreePort(t))
	o.defaults += "backend_stats_polling_interval = 3\n"
	return &observed{newService(t, o), "http://" + o.metrics}
}

// get returns what the page answers.
func (o *observed) get(path string) (status int, body string, err error) {
	r, err := http.Get(o.page + path)
	if err != nil {
		return 0, "", err
	}
	defer r.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	text, err := io.ReadAll(r.Body)
	return r.StatusCode, string(text), err
}

// scrape returns the page of metrics, once it is served.
func (o *observed) scrape() (page string) {
	o.t.Helper()
	o.eventually("the page is served", func() error {
		status, body, err := o.get("/metrics")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("status %d: %s", status, body)
		}
		page = body
		return err
	})
	return page
}

// sample returns the value of a metric of rbd0, or of backend= in the labels; of a
// histogram how many it has counted.
func sample(page, name string, labels ...string) (float64, error) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(page))
	if err != nil {
		return 0, err
	}
	for _, m := range families[name].GetMetric() {
		if labelled(m, labels) {
			return m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount()), nil
		}
	}
	return 0, fmt.Errorf("there is no %s %v", name, labels)
}

func labelled(m *dto.Metric, labels []string) bool {
	found := 0
	for _, l := range m.GetLabel() {
		for _, want := range labels {
			if want == l.GetName()+"="+l.GetValue() {
				found++
			}
		}
	}
	return found == len(labels)
}

// shows waits until a scrape shows the value.
func (o *observed) shows(want float64, name string, labels ...string) {
	o.t.Helper()
	o.eventually(fmt.Sprintf("%s %v is %v", name, labels, want), func() error {
		_, page, err := o.get("/metrics")
		if err != nil {
			return err
		}
		got, err := sample(page, name, labels...)
		if err == nil && got != want {
			err = fmt.Errorf("it is %v", got)
		}
		return err
	})
}

// pss is the memory of the supervisor, its part of what is shared included.
func (o *observed) pss() int {
	o.t.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(o.cmd.Process.Pid), "smaps_rollup"))
	if err != nil {
		o.t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^Pss: +(\d+) kB$`).FindSubmatch(text)
	if m == nil {
		o.t.Fatalf("no Pss in %s", text)
	}
	kib, _ := strconv.Atoi(string(m[1]))
	return kib << 10
}
