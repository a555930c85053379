package metrics

import (
	"errors"
	"maps"
	"slices"

	dto "github.com/prometheus/client_model/go"

	"github.com/volumed/volumed/fault"
)

// merge returns the families of all pages, each once, sorted by name. A family
// that an earlier page has with another type is left out, and named in the error:
// two versions of the service may disagree, and the page must stay readable.
func merge(pages ...map[string]*dto.MetricFamily) ([]*dto.MetricFamily, error) {
	merged := map[string]*dto.MetricFamily{}
	var conflicts []error
	for _, page := range pages {
		for name, more := range page {
			there := merged[name]
			switch {
			case there == nil:
				merged[name] = more
			case there.GetType() != more.GetType():
				conflicts = append(conflicts, fault.New(fault.Conflict, "metric %s is a %s here and a %s there", name, there.GetType(), more.GetType()))
			default:
				there.Metric = append(there.Metric, more.Metric...)
			}
		}
	}
	sorted := make([]*dto.MetricFamily, 0, len(merged))
	for _, name := range slices.Sorted(maps.Keys(merged)) {
		sorted = append(sorted, merged[name])
	}
	return sorted, errors.Join(conflicts...)
}

// byName makes a page of what a registry has gathered.
func byName(families []*dto.MetricFamily) map[string]*dto.MetricFamily {
	page := make(map[string]*dto.MetricFamily, len(families))
	for _, f := range families {
		page[f.GetName()] = f
	}
	return page
}
