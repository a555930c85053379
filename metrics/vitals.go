package metrics

import (
	"time"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/volume"
	"github.com/volumed/volumed/worker"
)

// vitalFacts are read from the vitals of a worker. Those of its work are missing
// until it takes requests.
var vitalFacts = []fact[worker.Vitals]{
	gauge("phase", "1 for the phase that the worker is in, 0 for the others.", []string{"phase"}, phases),
	gauge("heartbeat_timestamp_seconds", "When the last heartbeat was written to the database; missing before the first.", nil,
		func(v worker.Vitals, emit emit) { moment(v.Heartbeat, emit) }),
	counter("heartbeat_failures_total", "Heartbeats that could not be written.", nil,
		func(v worker.Vitals, emit emit) { emit(float64(v.HeartbeatFailures)) }),
	gauge("service_down_seconds", "Age of a heartbeat at which others take the service for down, as configured.", nil,
		func(v worker.Vitals, emit emit) { emit(v.ServiceDownTime.Seconds()) }),
	gauge("bus_connected", "1 while the worker is connected to the bus.", nil,
		func(v worker.Vitals, emit emit) { emit(truth(v.BusConnected)) }),

	gauge("operations", "Operations accepted and not ended, by method and status: queued, running, waiting.", []string{"method", "status"},
		func(v worker.Vitals, emit emit) {
			eachGroup(v, func(g group, ops []volume.Operation) { emit(float64(len(ops)), g.method, g.status) })
		}),
	gauge("operations_oldest_age_seconds", "Time since the accept of the oldest of these operations; missing where there are none.", []string{"method", "status"},
		func(v worker.Vitals, emit emit) {
			eachGroup(v, func(g group, ops []volume.Operation) {
				if len(ops) > 0 {
					emit(oldest(ops), g.method, g.status)
				}
			})
		}),

	ofLanes("lane_slots", "Steps of the lane that may be at work at once.", func(l operation.LaneLoad) int { return l.Slots }),
	ofLanes("lane_slots_busy", "Steps of the lane that are at work.", func(l operation.LaneLoad) int { return l.Busy }),
	ofLanes("lane_steps_waiting", "Steps that wait for a slot of the lane.", func(l operation.LaneLoad) int { return l.Waiting }),
	ofLanes("lane_operations", "Operations of the lane accepted and not ended.", func(l operation.LaneLoad) int { return l.Accepted }),
	ofLanes("lane_operations_limit", "How many operations of the lane are accepted; more are refused as overloaded.",
		func(l operation.LaneLoad) int { return l.Queue }),

	gauge("driver_calls", "Calls that are in the driver.", nil,
		func(v worker.Vitals, emit emit) { emit(float64(len(v.Calls))) }),
	gauge("driver_call_oldest_age_seconds", "Time that the oldest of these calls has run, 0 if there is none.", nil,
		func(v worker.Vitals, emit emit) {
			emit(longest(v.Calls, func(f driver.Flight) time.Time { return f.Begun }))
		}),
	gauge("driver_call_longest_silence_seconds", "Time since the begin or the last progress of the most silent of these calls, 0 if there is none.", nil,
		func(v worker.Vitals, emit emit) {
			emit(longest(v.Calls, func(f driver.Flight) time.Time { return f.Sign }))
		}),

	counter("rpc_requests_total", "Requests answered, by the kind of the error; kind ok is success.", []string{"method", "kind"}, requests),
	counter("rpc_request_seconds_total", "Sum of the times from receiving a request to answering it.", []string{"method"},
		func(v worker.Vitals, emit emit) {
			for _, m := range v.Requests {
				emit(m.Seconds, m.Method)
			}
		}),

	capacity("pool_capacity_bytes", "Size of the pool, as last reported; missing while the cluster does not tell.",
		func(c *volume.Capabilities) *float64 { return c.TotalCapacityGB }),
	capacity("pool_free_bytes", "Free space of the pool, as last reported; missing while the cluster does not tell.",
		func(c *volume.Capabilities) *float64 { return c.FreeCapacityGB }),
	capacity("pool_provisioned_bytes", "Sum of the sizes of all images of the pool, as last reported; missing for a pool that holds only our volumes.",
		func(c *volume.Capabilities) *float64 { return float(c.ProvisionedCapacityGB) }),
	capacity("pool_allocated_bytes", "Sum of the sizes of our volumes, as last reported.",
		func(c *volume.Capabilities) *float64 { return float(&c.AllocatedCapacityGB) }),
	counter("image_cache_hits_total", "Volumes that were made of an image in the cache.", nil,
		func(v worker.Vitals, emit emit) { emit(float64(v.ImageCache.Hits)) }),
	counter("image_cache_misses_total", "Images that had to be brought into the cache.", nil,
		func(v worker.Vitals, emit emit) { emit(float64(v.ImageCache.Misses)) }),
	counter("image_cache_evictions_total", "Images that had to leave the cache for others.", nil,
		func(v worker.Vitals, emit emit) { emit(float64(v.ImageCache.Evictions)) }),
	gauge("image_cache_images", "Images in the cache, as last reported.", nil,
		func(v worker.Vitals, emit emit) { emit(float64(v.ImageCache.Images)) }),
	gauge("image_cache_bytes", "Sum of the sizes of the images in the cache, as last reported.", nil,
		func(v worker.Vitals, emit emit) { emit(float64(v.ImageCache.GB) * volume.GiB) }),
	gauge("pool_report_timestamp_seconds", "When the figures of the pool were reported; missing before the first time.", nil,
		func(v worker.Vitals, emit emit) { moment(v.Capabilities.Timestamp, emit) }),
}

func phases(v worker.Vitals, emit emit) {
	for _, p := range []volume.Phase{volume.Starting, volume.Ready, volume.Degraded, volume.Draining, volume.Stopped} {
		emit(truth(v.Phase == p), string(p))
	}
}

// moment gives out a time, unless it has not come.
func moment(t time.Time, emit emit) {
	if !t.IsZero() {
		emit(float64(t.UnixMicro()) / 1e6)
	}
}

// group are the operations of one method in one status.
type group struct{ method, status string }

// eachGroup calls f for all there can be, and for those that a newer version knows.
func eachGroup(v worker.Vitals, f func(group, []volume.Operation)) {
	groups := map[group][]volume.Operation{}
	for _, method := range v.Methods {
		for _, status := range []volume.OperationStatus{volume.Queued, volume.Running, volume.Waiting} {
			groups[group{method, string(status)}] = nil
		}
	}
	for _, op := range v.Operations {
		if !op.Status.Terminal() { // else it is on its way out
			g := group{op.Method, string(op.Status)}
			groups[g] = append(groups[g], op)
		}
	}
	for g, ops := range groups {
		f(g, ops)
	}
}

// oldest is the age of the first, which is the oldest.
func oldest(ops []volume.Operation) float64 {
	return max(0, time.Since(ops[0].CreatedAt).Seconds())
}

// longest is the time since the earliest of the times.
func longest(calls []driver.Flight, at func(driver.Flight) time.Time) (most float64) {
	for _, c := range calls {
		most = max(most, time.Since(at(c)).Seconds())
	}
	return most
}

func ofLanes(name, help string, read func(operation.LaneLoad) int) fact[worker.Vitals] {
	return gauge(name, help, []string{"lane"}, func(v worker.Vitals, emit emit) {
		for _, l := range v.Lanes {
			emit(float64(read(l)), string(l.Lane))
		}
	})
}

func requests(v worker.Vitals, emit emit) {
	for _, m := range v.Requests {
		emit(float64(m.Requests-m.Errors), m.Method, outcomeOf(""))
		for kind, n := range m.ByKind {
			emit(float64(n), m.Method, outcomeOf(kind))
		}
	}
}

// capacity reads GiB and gives out bytes.
func capacity(name, help string, read func(*volume.Capabilities) *float64) fact[worker.Vitals] {
	return gauge(name, help, nil, func(v worker.Vitals, emit emit) {
		if v.Capabilities.Timestamp.IsZero() {
			return
		}
		if gib := read(&v.Capabilities.Capabilities); gib != nil {
			emit(*gib * volume.GiB)
		}
	})
}

func float(n *int64) *float64 {
	if n == nil {
		return nil
	}
	f := float64(*n)
	return &f
}
