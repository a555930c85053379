package metrics

import "github.com/prometheus/client_golang/prometheus"

// fact is a metric that is read from a T when somebody asks.
type fact[T any] struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(t T, emit emit)
}

// emit gives out one sample, with the values of the labels that desc names.
type emit func(value float64, labels ...string)

// gauge returns a fact that may rise and fall.
func gauge[T any](name, help string, labels []string, read func(T, emit)) fact[T] {
	return fact[T]{describe(name, help, labels), prometheus.GaugeValue, read}
}

// counter returns a fact that only rises.
func counter[T any](name, help string, labels []string, read func(T, emit)) fact[T] {
	return fact[T]{describe(name, help, labels), prometheus.CounterValue, read}
}

func describe(name, help string, labels []string) *prometheus.Desc {
	return prometheus.NewDesc(prefix+name, help, labels, nil)
}

// prefix begins the name of every metric of ours.
const prefix = "volumed_"

// facts is a collector: all facts are read from one T, so that they fit together.
type facts[T any] struct {
	all []fact[T]
	now func() T
}

// Describe is prometheus.Collector's.
func (f facts[T]) Describe(to chan<- *prometheus.Desc) {
	for _, one := range f.all {
		to <- one.desc
	}
}

// Collect is prometheus.Collector's.
func (f facts[T]) Collect(to chan<- prometheus.Metric) {
	now := f.now()
	for _, one := range f.all {
		one.read(now, func(value float64, labels ...string) {
			to <- prometheus.MustNewConstMetric(one.desc, one.kind, value, labels...)
		})
	}
}

// truth is 1 or 0.
func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
