package metrics

import (
	"context"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/volumed/volumed/supervisor"
)

// Supervisor is what is asked of one: *supervisor.Supervisor is it.
type Supervisor interface {
	Status() []supervisor.ChildStatus
	Alive(ctx context.Context) error
}

// Service are the metrics of a supervisor and of all its workers.
type Service struct {
	supervisor Supervisor
	ask        Ask
	process    *prometheus.Registry
	log        hclog.Logger
}

// NewService returns the metrics of the supervisor and of the workers whose pages
// ask returns.
func NewService(s Supervisor, ask Ask, version string, log hclog.Logger) *Service {
	m := &Service{supervisor: s, ask: ask, process: prometheus.NewRegistry(), log: log}
	registerProcess(m.process, version)
	return m
}

// Gather is prometheus.Gatherer's. It takes as long as the slowest worker, at most
// a second; one that has not answered by then is left out, and volumed_scrape_up
// says so.
func (m *Service) Gather() ([]*dto.MetricFamily, error) {
	now := family{children: m.supervisor.Status()}
	now.answers = scrape(now.children, m.ask)
	own := prometheus.NewRegistry() // of this scrape: what it tells must fit together
	own.MustRegister(facts[family]{familyFacts, func() family { return now }})
	all := prometheus.Gatherers{m.process, own}
	for _, a := range now.answers {
		if a.err != nil {
			m.log.Debug("worker did not tell its metrics", "backend", a.backend, "error", a.err)
			continue
		}
		all = append(all, a)
	}
	families, err := all.Gather()
	if err != nil { // the others are good
		m.log.Warn("metrics are left out", "error", err)
	}
	return families, nil
}

// Alive is Source's: the loop of the supervisor turns.
func (m *Service) Alive(ctx context.Context) error { return m.supervisor.Alive(ctx) }

// Unready is Source's.
func (m *Service) Unready() []string { return unready(m.supervisor.Status()) }
