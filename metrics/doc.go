// Package metrics tells Prometheus and health probes how the service is: each
// worker has a page of its own, and the supervisor's page shows those of all
// workers beside what it knows itself.
//
// A worker counts what ends (operations, calls of the driver) by two callbacks,
// and reads everything else from its vitals at the moment it is asked, so that
// nobody who does not ask pays for it. Every metric is in docs/metrics.md, which
// a test generates from these registries.
package metrics

//go:generate go test . -run TestDocs -update
