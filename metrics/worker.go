package metrics

import (
	"context"
	"net/http"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"

	"github.com/volumed/volumed/driver/observe"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
	"github.com/volumed/volumed/worker"
)

// Worker are the metrics of one worker. It counts from the moment it is made.
type Worker struct {
	registry *prometheus.Registry
	own      prometheus.Registerer // adds the label backend
	ended    *prometheus.CounterVec
	took     *prometheus.HistogramVec
	calls    *prometheus.HistogramVec
	vitals   func() worker.Vitals
}

// buckets are seconds: from a call that only asks the monitors to the flatten of a
// large volume.
var buckets = []float64{
	.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600,
}

// NewWorker returns the metrics of the worker of that backend, which is the value
// of their label backend.
func NewWorker(backend, version string) *Worker {
	m := &Worker{
		registry: prometheus.NewRegistry(),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: prefix + "operations_ended_total",
			Help: "Operations that have ended, by method and outcome: succeeded, failed, cancelled.",
		}, []string{"method", "outcome"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: prefix + "operation_duration_seconds", Buckets: buckets,
			Help: "Time from the accept of an operation to its end, all waiting included.",
		}, []string{"method", "outcome"}),
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: prefix + "driver_call_duration_seconds", Buckets: buckets,
			Help: "Time of a call into the driver, by the kind of its error; kind ok is success.",
		}, []string{"method", "kind"}),
	}
	m.own = prometheus.WrapRegistererWith(prometheus.Labels{"backend": backend}, m.registry)
	m.own.MustRegister(m.ended, m.took, m.calls)
	registerProcess(m.own, version)
	return m
}

// registerProcess adds what every process tells of itself.
func registerProcess(to prometheus.Registerer, version string) {
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: prefix + "build_info", Help: "Always 1; the labels tell which program runs.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	})
	build.Set(1)
	to.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
}

// OperationEnded counts an operation that has ended. It is made for
// worker.Deps.OnEnd.
func (m *Worker) OperationEnded(op volume.Operation) {
	outcome := string(op.Status)
	m.ended.WithLabelValues(op.Method, outcome).Inc()
	m.took.WithLabelValues(op.Method, outcome).Observe(op.FinishedAt.Sub(op.CreatedAt).Seconds())
}

// CallEnded counts a call of the driver that has returned. It is made for
// observe.New.
func (m *Worker) CallEnded(c observe.Call) {
	m.calls.WithLabelValues(c.Method, outcomeOf(c.Kind)).Observe(c.Took.Seconds())
}

// outcomeOf is the value of the label kind.
func outcomeOf(k fault.Kind) string {
	if k == "" {
		return "ok"
	}
	return string(k)
}

// Watch adds what the vitals tell. It is called once, before anybody asks.
func (m *Worker) Watch(vitals func() worker.Vitals) {
	m.vitals = vitals
	m.own.MustRegister(facts[worker.Vitals]{vitalFacts, vitals})
}

// expect shows a zero for what has not happened yet: an increase from nothing is
// none to Prometheus.
func (m *Worker) expect(methods []string) {
	for _, method := range methods {
		for _, outcome := range []volume.OperationStatus{volume.Succeeded, volume.Failed, volume.Cancelled} {
			m.ended.WithLabelValues(method, string(outcome))
		}
	}
}

// Gather is prometheus.Gatherer's.
func (m *Worker) Gather() ([]*dto.MetricFamily, error) {
	if m.vitals != nil { // before the collectors run, which is side by side
		m.expect(m.vitals().Methods)
	}
	return m.registry.Gather()
}

// Metrics serves the metrics as text.
func (m *Worker) Metrics() http.Handler { return exposition(m) }

// Alive is Source's. The vitals come from the inner parts of the worker: one that
// is stuck there does not answer.
func (m *Worker) Alive(context.Context) error {
	m.vitals()
	return nil
}

// Unready is Source's.
func (m *Worker) Unready() []string {
	v := m.vitals()
	if v.Phase == volume.Ready {
		return nil
	}
	return []string{because(v.Host, string(v.Phase), v.Reason)}
}
