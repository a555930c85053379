package worker_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/driver/drivertest"
	"github.com/volumed/volumed/driver/mem"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/testenv"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/rpc/rpctest"
	"github.com/volumed/volumed/store"
	"github.com/volumed/volumed/store/storetest"
	"github.com/volumed/volumed/volume"
	"github.com/volumed/volumed/worker"
)

const (
	template         = "volume-%s"
	snapshotTemplate = "snapshot-%s"
	patience         = 30 * time.Second
)

func TestMain(m *testing.M) {
	// A nats-server leaves two goroutines of its package behind for good.
	testenv.Main(m, goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server.init.1.func1"))
}

// site is what outlives the processes of a service: storage, database and bus.
type site struct {
	*testing.T
	host  string
	world *mem.World
	url   string // of the database
	db    *store.DB
	bus   *rpctest.Server
	*rpc.Client
	runs int
	keep time.Duration // how long deleted volumes are kept
	// adopts tells that the driver takes images over, under the fuse.
	adopts bool
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{T: t, host: "node1@mem0", world: mem.NewWorld(), url: storetest.SQLite(t), bus: rpctest.NewServer(t)}
	s.db = storetest.Open(t, s.url)
	s.Client = s.as("p1")
	return s
}

// as returns a client of the project.
func (s *site) as(project string) *rpc.Client {
	return s.client(rpc.Options{Project: project, User: "u1", Timeout: patience})
}

func (s *site) client(o rpc.Options) *rpc.Client {
	return rpc.NewClient(rpctest.Connect(s, s.bus.URL()), o)
}

// renew makes it the site of another service with a storage of its own.
func (s *site) renew() {
	s.runs++
	s.host, s.world = fmt.Sprintf("node1@mem%d", s.runs), mem.NewWorld()
}

// process is one worker in the process of the test.
type process struct {
	*parent
	site     *site
	faulty   *drivertest.Faulty
	recorder *recorder
	cfg      worker.Config
	deps     worker.Deps
	fuse     *fuse
	worker   *worker.Worker // once it runs
	cancel   context.CancelFunc
	end      func() error // stops the worker and returns what Run returned
	wait     func() error // waits until the worker ends by itself, and returns the same
}

// prepare returns a worker of the site that is not running yet.
func (s *site) prepare() *process {
	p := &process{site: s, parent: newParent(), fuse: newFuse()}
	p.faulty = drivertest.NewFaulty(mem.New(s.world))
	p.recorder = &recorder{Driver: p.faulty}
	p.cfg = worker.Config{
		Host: s.host, Pool: "pool", AvailabilityZone: "zone1", Version: "1.2.3", EnableNewServices: true,
		VolumeNameTemplate: template, SnapshotNameTemplate: snapshotTemplate,
		Live: worker.Live{
			ReportInterval: 200 * time.Millisecond, ServiceDownTime: 2 * time.Second, StatsInterval: time.Hour,
			Retention: time.Hour, DrainTimeout: patience,
		},
		MaxCloneDepth: 5, DeletedKeep: s.keep, PingInterval: 50 * time.Millisecond,
		Lanes: map[operation.Lane]operation.Limits{
			operation.Control: {Slots: 20, Queue: 1000},
			operation.Work:    {Slots: 20, Queue: 1000},
			operation.Flatten: {Slots: 10, Queue: 1000},
			operation.Bulk:    {Slots: 10, Queue: 1000},
			operation.Stats:   {Slots: 1, Queue: 1000},
		},
	}
	p.deps = worker.Deps{
		OpenStore: func(ctx context.Context) (worker.Store, error) {
			db, err := store.Open(ctx, s.url, store.Options{})
			if err != nil {
				return nil, err
			}
			return fusedStore{db, p.fuse}, nil
		},
		OpenDriver: func(context.Context) (driver.Driver, error) {
			if s.adopts {
				return fusedAdopter{fusedDriver{p.recorder, p.fuse}}, nil
			}
			return fusedDriver{p.recorder, p.fuse}, nil
		},
		Connect: p.connect,
		Parent:  p.parent,
		Log:     hclog.NewNullLogger(),
	}
	return p
}

func (p *process) connect(ctx context.Context) (*rpc.Conn, error) {
	return rpc.Connect(ctx, rpc.ConnConfig{
		URL: p.site.bus.URL(), Name: p.site.host, ReconnectWait: 20 * time.Millisecond, ReconnectJitter: time.Millisecond,
	}, hclog.NewNullLogger())
}

// run starts the worker and returns at once.
func (p *process) run() *process {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	p.worker = worker.New(p.cfg, p.deps)
	go func() { ended <- p.worker.Run(ctx) }()
	p.cancel = cancel
	p.wait = sync.OnceValue(func() error { return <-ended })
	p.end = func() error {
		cancel()
		return p.wait()
	}
	p.site.Cleanup(func() {
		if err := p.end(); err != nil && !p.fuse.blown() && !errors.Is(err, operation.ErrFenced) && !errors.Is(err, worker.ErrReplace) {
			p.site.Errorf("worker of %s: %v", p.cfg.Host, err)
		}
	})
	return p
}

// start runs the worker and waits until it is ready.
func (p *process) start() *process {
	p.site.Helper()
	p.run().awaitPhase(p.site, volume.Ready)
	return p
}

// start runs a worker of the site and waits until it is ready.
func (s *site) start() *process {
	s.Helper()
	return s.prepare().start()
}

// recorder remembers the names of the snapshots that were asked for, and refuses
// the clones that it is told to.
type recorder struct {
	driver.Driver
	mu        sync.Mutex
	snapshots []string
	refusal   func(volume.Spec) error
}

// refuse sets what decides about clones.
func (r *recorder) refuse(refusal func(volume.Spec) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refusal = refusal
}

func (r *recorder) CreateVolumeFromSnapshot(ctx context.Context, v volume.Spec, from volume.SnapshotRef) (volume.Location, error) {
	r.mu.Lock()
	refusal := r.refusal
	r.mu.Unlock()
	if refusal != nil {
		if err := refusal(v); err != nil {
			return volume.Location{}, err
		}
	}
	return r.Driver.CreateVolumeFromSnapshot(ctx, v, from)
}

func (r *recorder) CreateSnapshot(ctx context.Context, s volume.SnapshotRef) error {
	r.mu.Lock()
	r.snapshots = append(r.snapshots, s.Name)
	r.mu.Unlock()
	return r.Driver.CreateSnapshot(ctx, s)
}

func (r *recorder) Unwrap() driver.Driver { return r.Driver }

func (r *recorder) firstSnapshot() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.snapshots[0]
}

// parent is a parent that remembers what it was told.
type parent struct {
	mu      sync.Mutex
	told    []volume.Phase
	reason  string
	beats   int
	changed chan struct{} // closed at every change, and replaced

	replaces int           // pid of the process before, which has to end
	warm     chan struct{} // closed when this one is set up
	turn     chan struct{} // closed when the other one is gone
	handed   atomic.Bool   // this one has a replacement, which is warm
}

func newParent() *parent {
	return &parent{changed: make(chan struct{}), warm: make(chan struct{}), turn: make(chan struct{})}
}

func (p *parent) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *parent) Phase(phase volume.Phase, reason string) {
	p.change(func() { p.told, p.reason = append(p.told, phase), reason })
}
func (p *parent) Status(string)           {}
func (p *parent) Ready()                  {}
func (p *parent) Stopping()               {}
func (p *parent) Beat()                   { p.change(func() { p.beats++ }) }
func (p *parent) Watchdog() time.Duration { return time.Minute }
func (p *parent) Replaces() int           { return p.replaces }
func (p *parent) Warm()                   { close(p.warm) }
func (p *parent) HandedOver() bool        { return p.handed.Load() }
func (p *parent) Go(ctx context.Context) error {
	if p.replaces == 0 {
		return nil
	}
	select {
	case <-p.turn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// awaitPhase waits until the worker is in the phase and returns the reason.
func (p *parent) awaitPhase(t testing.TB, want volume.Phase) string {
	t.Helper()
	limit := time.After(patience)
	for {
		p.mu.Lock()
		changed, reason := p.changed, p.reason
		is := len(p.told) > 0 && p.told[len(p.told)-1] == want
		p.mu.Unlock()
		if is {
			return reason
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("the worker did not become %s; it was told %v, %s", want, p.told, reason)
		}
	}
}

// until waits until what holds, which can only be seen by looking.
func (s *site) until(what string, holds func() bool) {
	s.Helper()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for end := time.Now().Add(patience); !holds(); <-look.C {
		if time.Now().After(end) {
			s.Fatalf("never: %s", what)
		}
	}
}

// receive returns what comes out of the channel.
func receive[T any](t testing.TB, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("never: %s", what)
	}
	return v
}

// must returns the value of a call that has to succeed.
func must[T any](t testing.TB) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatalf("%v (%s)", err, fault.KindOf(err))
		}
		return v
	}
}

// wait are the terms of a call that is answered when the operation has ended.
func wait() rpc.CallOptions { return rpc.CallOptions{Wait: patience} }

// create makes a volume and waits for it.
func (s *site) create(r rpc.CreateVolumeRequest) volume.Volume {
	s.Helper()
	v := must[rpc.VolumeReply](s)(s.CreateVolume(s.Context(), s.host, r, wait())).Volume
	if v.Status != volume.Available {
		s.Fatalf("volume %s is %s", v.ID, v.Status)
	}
	return v
}

// clone makes a clone of the volume.
func (s *site) clone(of volume.Volume) volume.Volume {
	s.Helper()
	return s.create(rpc.CreateVolumeRequest{SourceVolID: of.ID})
}

// snapshot takes a snapshot of the volume.
func (s *site) snapshot(of volume.Volume) volume.Snapshot {
	s.Helper()
	r := must[rpc.SnapshotReply](s)(s.CreateSnapshot(s.Context(), s.host, rpc.CreateSnapshotRequest{VolumeID: of.ID}, wait()))
	if r.Snapshot.Status != volume.Available {
		s.Fatalf("snapshot %s is %s", r.Snapshot.ID, r.Snapshot.Status)
	}
	return r.Snapshot
}

// remove deletes the volume.
func (s *site) remove(v volume.Volume) {
	s.Helper()
	must[rpc.VolumeReply](s)(s.DeleteVolume(s.Context(), s.host, rpc.DeleteVolumeRequest{VolumeID: v.ID}, wait()))
}

// status is the status of the volume in its row.
func (s *site) status(id string) volume.Status {
	s.Helper()
	return must[volume.Volume](s)(s.db.VolumeRecord(s.Context(), id)).Status
}

// operations returns the operations of the service that the filter selects.
func (s *site) operations(f volume.OperationFilter) []volume.Operation {
	s.Helper()
	f.Backend, f.Limit = s.host, 1000
	ops, _, err := s.db.Operations(context.WithoutCancel(s.Context()), f)
	if err != nil {
		s.Fatal(err)
	}
	return ops
}

// image is the name of the volume's image.
func image(v volume.Volume) string { return v.Ref(template).Name }

// wantKind checks the kind of an error and the field that it names.
func wantKind(t testing.TB, err error, kind fault.Kind, field string) *fault.Error {
	t.Helper()
	f := fault.Of(err)
	if f == nil || f.Kind != kind || f.Field != field {
		t.Fatalf("error %v of kind %s, field %q; want %s, %q", err, fault.KindOf(err), fieldOf(f), kind, field)
	}
	return f
}

func fieldOf(f *fault.Error) string {
	if f == nil {
		return ""
	}
	return f.Field
}
