package metrics

import (
	"context"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/supervisor"
)

// Ask returns the page of metrics of a child that has a process. It gives up when
// ctx ends, and so does reading what it returned.
type Ask func(ctx context.Context, c supervisor.ChildStatus) (io.ReadCloser, error)

// answer is what one worker has answered.
type answer struct {
	backend  string
	families map[string]*dto.MetricFamily
	took     time.Duration
	err      error
}

// Gather is prometheus.Gatherer's.
func (a answer) Gather() ([]*dto.MetricFamily, error) {
	return slices.Collect(maps.Values(a.families)), nil
}

// scrapeTimeout is what a worker gets to answer. All are asked at once, so it
// bounds the whole page: Prometheus gives that 10 s by default.
const scrapeTimeout = time.Second

// maxPage bounds the text of one worker; it has some 100 KB.
const maxPage = 16 << 20

// scrape asks all workers at once.
func scrape(children []supervisor.ChildStatus, ask Ask) []answer {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	var answers []answer
	for _, c := range children {
		if c.Role == supervisor.Worker {
			answers = append(answers, answer{backend: c.Name})
		}
	}
	var asked sync.WaitGroup
	next := 0
	for _, c := range children {
		if c.Role != supervisor.Worker {
			continue
		}
		a := &answers[next]
		next++
		asked.Go(func() {
			begun := time.Now()
			a.families, a.err = page(ctx, c, ask)
			a.took = time.Since(begun)
		})
	}
	asked.Wait()
	return answers
}

// page asks one worker.
func page(ctx context.Context, c supervisor.ChildStatus, ask Ask) (map[string]*dto.MetricFamily, error) {
	if c.PID == 0 {
		return nil, fault.New(fault.NotFound, "there is no process")
	}
	text, err := ask(ctx, c)
	if err != nil {
		return nil, err
	}
	defer text.Close()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	return parser.TextToMetricFamilies(io.LimitReader(text, maxPage))
}
