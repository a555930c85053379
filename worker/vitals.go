package worker

import (
	"slices"
	"sync"
	"time"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// Vitals are what a worker knows of itself at one moment, for operators.
type Vitals struct {
	Host   string       `json:"host"`
	Phase  volume.Phase `json:"phase"`
	Reason string       `json:"reason,omitempty"`
	Epoch  int64        `json:"epoch,omitempty"` // 0 until the service is taken over
	// Heartbeat is when the last heartbeat was written, zero before the first;
	// HeartbeatError is why the one after it was not.
	Heartbeat      time.Time `json:"heartbeat,omitzero"`
	HeartbeatError string    `json:"heartbeat_error,omitempty"`
	// HeartbeatFailures counts those that were not written.
	HeartbeatFailures int `json:"heartbeat_failures,omitempty"`
	// ServiceDownTime is the age of a heartbeat at which the service counts as down.
	ServiceDownTime time.Duration `json:"-"`

	// The rest is empty until the worker takes requests.
	BusConnected bool                  `json:"bus_connected"`
	Methods      []string              `json:"-"` // that operations may have
	Lanes        []operation.LaneLoad  `json:"lanes,omitempty"`
	Operations   []volume.Operation    `json:"operations,omitempty"` // at work, oldest first
	Calls        []driver.Flight       `json:"calls,omitempty"`      // in the driver, oldest first
	Requests     []rpc.MethodStats     `json:"requests,omitempty"`
	Capabilities rpc.CapabilitiesReply `json:"capabilities,omitzero"` // as last reported
	ImageCache   CacheCounts           `json:"image_cache,omitzero"`
}

// CacheCounts tell of the image cache since the process began.
type CacheCounts struct {
	Hits      int64 `json:"hits"`      // volumes that were made of an image in the cache
	Misses    int64 `json:"misses"`    // images that had to be brought there
	Evictions int64 `json:"evictions"` // images that had to make room
	// Images and GB are what the cache has, as last reported with the capabilities.
	Images int64 `json:"images"`
	GB     int64 `json:"gb"`
}

// Vitals returns what the worker knows of itself. It may be called by any
// goroutine at any time, and waits for nothing outside of the process.
func (w *Worker) Vitals() Vitals {
	v := Vitals{Host: w.cfg.Host, ServiceDownTime: w.live().ServiceDownTime}
	v.Phase, v.Reason = w.health.now()
	v.Heartbeat, v.HeartbeatError, v.HeartbeatFailures = w.pulse.last()
	select {
	case <-w.opened:
	default:
		return v
	}
	v.Epoch = w.fence.Epoch
	v.BusConnected = w.conn.Connected()
	v.Methods = w.engine.Methods()
	v.Lanes, v.Operations, v.Requests = w.engine.Load(), w.engine.InFlight(), w.server.Stats()
	v.Capabilities, v.ImageCache = w.stats.get(), w.cacheStats.read()
	if tracker, able := driver.As[driver.Tracker](w.driver); able {
		v.Calls = tracker.Flights()
		slices.SortFunc(v.Calls, func(a, b driver.Flight) int { return a.Begun.Compare(b.Begun) })
	}
	return v
}

// Details are what a worker knows beside its Vitals, for reports.
type Details struct {
	Since time.Time         // of the phase
	Away  map[string]string // what does not answer, and why
	// The rest is empty until the worker takes requests.
	Database string // its id
	Schema   string // its engine and the version of its schema
	Bus      string // its address
	Addrs    []string
	Slots    Slots              // of the driver
	Pending  []rpc.Pending      // requests, oldest first
	Ended    []volume.Operation // the last ones, newest first
}

// Slots are those of a driver that bounds its calls.
type Slots struct {
	Busy      int // taken by calls in the driver
	Abandoned int // by calls among them that nobody waits for any more
}

// bounded is such a driver.
type bounded interface {
	Busy() int
	Abandoned() int
}

// Details returns them, under the terms of Vitals.
func (w *Worker) Details() Details {
	var d Details
	d.Away, d.Since = w.health.troubles()
	select {
	case <-w.opened:
	default:
		return d
	}
	d.Database, d.Bus, d.Addrs = w.store.ID(), w.conn.Server(), w.driver.Addrs()
	d.Schema = w.store.Schema()
	if b, able := driver.As[bounded](w.driver); able {
		d.Slots = Slots{b.Busy(), b.Abandoned()}
	}
	d.Pending, d.Ended = w.server.Pending(), w.engine.Ended()
	return d
}

// pulse keeps how the last heartbeats went.
type pulse struct {
	mu       sync.Mutex
	at       time.Time
	err      string
	failures int
	attempt  time.Time
}

func (p *pulse) note(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.attempt = time.Now()
	if err != nil {
		p.err = err.Error()
		p.failures++
		return
	}
	p.at, p.err = time.Now(), ""
}

// tried returns when a heartbeat was last tried to be written, with or without
// success.
func (p *pulse) tried() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.attempt
}

func (p *pulse) last() (at time.Time, err string, failures int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at, p.err, p.failures
}
