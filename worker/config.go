package worker

import (
	"context"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/image"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// Config is what a worker is told about itself.
type Config struct {
	Host             string // host@backend
	ClusterName      string // cluster@backend, or empty
	Pool             string // the pool of its volumes, the part of their host behind '#'
	BackendName      string // volume_backend_name, which types may ask for
	AvailabilityZone string
	Version          string // of this program
	// Node tells the machine and its boot. A process before that ran on the same
	// node is dead: its lock has come to this one.
	Node string
	// SharedDatabase tells that other machines use the database, too.
	SharedDatabase bool

	EnableNewServices bool // false: a service that is new begins disabled

	// SharedPool tells that others keep images in the pool, too: an audit finds
	// nothing wrong with those.
	SharedPool bool

	VolumeNameTemplate   string // with one %s for the id
	SnapshotNameTemplate string

	Live         Live          // as it is at the start
	PingInterval time.Duration // between checks that the backend serves
	// LostAfter is how long a call that an outage of the backend met may be silent
	// after the end of that, until it counts as lost and the process is replaced;
	// 0 means for ever.
	LostAfter time.Duration

	// MaxCloneDepth is how many images a volume may depend on, one above the other; with
	// 0 or less volumes depend on nothing.
	MaxCloneDepth int
	// MaxSnapshots is how many snapshots a volume may have, with those that live on for
	// its clones; 0 for no limit.
	MaxSnapshots int
	// FlattenFromSnapshot has every volume that is made from a snapshot flattened
	// afterwards.
	FlattenFromSnapshot bool

	// DeletedKeep is how long a deleted volume can be restored.
	DeletedKeep time.Duration
	// Images says what images may come from and go to, and what they may cost.
	Images image.Config
	// ImageCache is what the backend keeps of images.
	ImageCache ImageCache
	// Lanes bounds the work that is done at once.
	Lanes map[operation.Lane]operation.Limits
	// RPC bounds the requests that are handled at once.
	RPC rpc.Config
}

// ImageCache bounds the images that a backend keeps, so that further volumes are clones
// of them.
type ImageCache struct {
	Enabled  bool
	MaxGB    int64 // of all images together; 0: no limit
	MaxCount int   // 0: no limit
}

// Live is what can be changed while the worker runs, by Tune.
type Live struct {
	ReportInterval  time.Duration // between heartbeats; 0: none
	ServiceDownTime time.Duration // a heartbeat older than this means down
	StatsInterval   time.Duration // between reports of capabilities
	Retention       time.Duration // how long ended operations are remembered
	DrainTimeout    time.Duration // for ending work at a stop; 0 means no limit
}

// Deps is what a worker is given to work with. Each Open is called again, with
// growing delays, for as long as it fails with fault.Unavailable; any other
// error ends the worker.
type Deps struct {
	OpenStore  func(context.Context) (Store, error)
	OpenDriver func(context.Context) (driver.Driver, error)
	Connect    func(context.Context) (*rpc.Conn, error)
	// OpenNeighbour connects to the backend of another service, host@backend#pool, to copy
	// a volume there. The worker closes what it gets.
	OpenNeighbour func(ctx context.Context, host string) (driver.Driver, error)
	Parent        Parent
	// OnEnd is told of every operation that has ended, once, when the end is published;
	// nil means that nobody wants to know. It must return at once. An end that is
	// committed when the process is killed may never be told.
	OnEnd func(volume.Operation)
	Log   hclog.Logger
	// Alarm is called when something has gone wrong that only a report made at once
	// can explain, with what the worker knew at that moment; it returns when the report
	// is made, or after a second. It may be nil.
	Alarm func(what string, v Vitals, d Details)
}

// Parent is whoever started this process. Its methods do not block, but for Go.
type Parent interface {
	Phase(phase volume.Phase, reason string)
	Status(text string)
	Ready()
	Stopping()
	Beat()
	// Replaces is the pid of the process that serves the backend now and will end
	// once this one is Warm; 0 if there is none.
	Replaces() int
	// Warm tells that this process has set itself up to take over.
	Warm()
	// Watchdog is how long the parent does without a Beat; 0 for ever.
	Watchdog() time.Duration
	// HandedOver tells, once this process was asked to end, whether another takes the
	// backend over at once.
	HandedOver() bool
	// Go returns when the backend is this process's to serve.
	Go(ctx context.Context) error
}
