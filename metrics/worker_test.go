package metrics

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/driver/observe"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/testenv"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
	"github.com/volumed/volumed/worker"
)

// busy are the vitals of a worker of which everything can be told.
func busy(now time.Time) worker.Vitals {
	total, free, provisioned := 100.0, 12.5, int64(70)
	accepted := func(method string, status volume.OperationStatus, age time.Duration) volume.Operation {
		return volume.Operation{Method: method, Status: status, CreatedAt: now.Add(-age)}
	}
	return worker.Vitals{
		Host: "node1@rbd0", Phase: volume.Degraded, Reason: "database: away", Epoch: 3,
		Heartbeat: now.Add(-20 * time.Second), HeartbeatFailures: 2, ServiceDownTime: time.Minute, BusConnected: true,
		Methods: []string{"create_volume", "purge_volume"},
		Lanes:   []operation.LaneLoad{{Lane: operation.Work, Slots: 17, Busy: 2, Waiting: 1, Accepted: 3, Queue: 1000}},
		Operations: []volume.Operation{
			accepted("create_volume", volume.Running, 30*time.Second), accepted("create_volume", volume.Running, 10*time.Second),
			accepted("create_volume", volume.Succeeded, 10*time.Second), accepted("new_method", volume.Waiting, time.Second),
		},
		Calls: []driver.Flight{
			{Method: "FlattenVolume", Begun: now.Add(-time.Hour), Sign: now.Add(-time.Second)},
			{Method: "CreateVolume", Begun: now.Add(-30 * time.Second), Sign: now.Add(-30 * time.Second)},
		},
		ImageCache: worker.CacheCounts{Hits: 5, Misses: 2, Evictions: 1, Images: 3, GB: 4},
		Requests: []rpc.MethodStats{{
			Method: "create_volume", Requests: 10, Errors: 3, Seconds: 4.5,
			ByKind: map[fault.Kind]int64{fault.Busy: 2, fault.Invalid: 1},
		}},
		Capabilities: rpc.CapabilitiesReply{Timestamp: now.Add(-5 * time.Second), Capabilities: volume.Capabilities{
			TotalCapacityGB: &total, FreeCapacityGB: &free, ProvisionedCapacityGB: &provisioned, AllocatedCapacityGB: 60,
		}},
	}
}

// busyWorker has the vitals of busy, and has counted.
func busyWorker(backend string, vitals func() worker.Vitals) *Worker {
	m := NewWorker(backend, "1.2.3")
	at := time.Now()
	for _, took := range []time.Duration{3 * time.Millisecond, 20 * time.Second} {
		m.OperationEnded(volume.Operation{Method: "create_volume", Status: volume.Succeeded, CreatedAt: at, FinishedAt: at.Add(took)})
	}
	m.CallEnded(observe.Call{Method: "CreateVolume", Took: time.Millisecond})
	m.CallEnded(observe.Call{Method: "CreateVolume", Took: time.Second, Kind: fault.Exists})
	m.Watch(vitals)
	return m
}

func TestWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // for the ages
		now := time.Now()
		page := gather(t, busyWorker("rbd0", func() worker.Vitals { return busy(now) }))
		want := func(value float64, name string, labels ...string) {
			t.Helper()
			wantValue(t, page, value, name, append(labels, "backend=rbd0")...)
		}
		want(2, "operations_ended_total", "method=create_volume", "outcome=succeeded")
		want(0, "operations_ended_total", "method=purge_volume", "outcome=failed") // told before it happens
		want(2, "operation_duration_seconds", "method=create_volume", "outcome=succeeded")
		want(1, "driver_call_duration_seconds", "method=CreateVolume", "kind=ok")
		want(1, "driver_call_duration_seconds", "method=CreateVolume", "kind=exists")
		want(1, "phase", "phase=degraded")
		want(0, "phase", "phase=ready")
		want(float64(now.Unix()-20), "heartbeat_timestamp_seconds")
		want(2, "heartbeat_failures_total")
		want(60, "service_down_seconds")
		want(1, "bus_connected")
		want(2, "operations", "method=create_volume", "status=running")
		want(0, "operations", "method=purge_volume", "status=waiting")
		want(1, "operations", "method=new_method", "status=waiting")
		want(30, "operations_oldest_age_seconds", "method=create_volume", "status=running")
		want(17, "lane_slots", "lane=work")
		want(2, "lane_slots_busy", "lane=work")
		want(1, "lane_steps_waiting", "lane=work")
		want(3, "lane_operations", "lane=work")
		want(1000, "lane_operations_limit", "lane=work")
		want(2, "driver_calls")
		want(3600, "driver_call_oldest_age_seconds")
		want(30, "driver_call_longest_silence_seconds")
		want(7, "rpc_requests_total", "method=create_volume", "kind=ok")
		want(2, "rpc_requests_total", "method=create_volume", "kind=busy")
		want(4.5, "rpc_request_seconds_total", "method=create_volume")
		want(100<<30, "pool_capacity_bytes")
		want(12.5*(1<<30), "pool_free_bytes")
		want(70<<30, "pool_provisioned_bytes")
		want(60<<30, "pool_allocated_bytes")
		want(5, "image_cache_hits_total")
		want(2, "image_cache_misses_total")
		want(1, "image_cache_evictions_total")
		want(3, "image_cache_images")
		want(4<<30, "image_cache_bytes")
		want(float64(now.Unix()-5), "pool_report_timestamp_seconds")
		want(1, "build_info", "version=1.2.3")
	})
}

// What is not known yet is missing, and is not told as zero.
func TestNewWorkerTellsNoPool(t *testing.T) {
	m := NewWorker("rbd0", "1.2.3")
	m.Watch(func() worker.Vitals { return worker.Vitals{Phase: volume.Starting} })
	page := gather(t, m)
	for _, name := range []string{"heartbeat_timestamp_seconds", "pool_free_bytes", "pool_allocated_bytes", "pool_report_timestamp_seconds"} {
		if page[prefix+name] != nil {
			t.Errorf("%s is told", name)
		}
	}
	wantValue(t, page, 1, "phase", "phase=starting")
}

func TestPromtoolAcceptsAWorker(t *testing.T) {
	m := busyWorker("rbd0", func() worker.Vitals { return busy(time.Now()) })
	if said := testenv.Promtool(t, text(t, m), "check", "metrics"); said != "" {
		t.Error(said)
	}
}

func BenchmarkOperationEnded(b *testing.B) {
	m := NewWorker("rbd0", "1.2.3")
	at := time.Now()
	op := volume.Operation{Method: "create_volume", Status: volume.Succeeded, CreatedAt: at, FinishedAt: at.Add(time.Second)}
	b.ReportAllocs()
	for b.Loop() {
		m.OperationEnded(op)
	}
}

func TestUnreadyWorker(t *testing.T) {
	v := busy(time.Now())
	m := busyWorker("rbd0", func() worker.Vitals { return v })
	if got := m.Unready(); !slices.Equal(got, []string{"node1@rbd0 is degraded: database: away"}) {
		t.Errorf("unready: %q", got)
	}
	v.Phase, v.Reason = volume.Ready, ""
	if got := m.Unready(); len(got) != 0 {
		t.Errorf("unready: %q", got)
	}
}
