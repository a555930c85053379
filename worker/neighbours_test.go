package worker_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/driver/limit"
	"github.com/volumed/volumed/driver/mem"
	"github.com/volumed/volumed/driver/observe"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
	"github.com/volumed/volumed/worker"
)

// heldCopies is a source whose copies hang before their effect until they are released,
// whatever becomes of their ctx, as a call into C does.
type heldCopies struct {
	*mem.Driver
	reach    func()
	reached  chan struct{} // closed when one is there
	release  func()
	released chan struct{}
	pings    atomic.Int64
}

func holdCopies(t *testing.T, w *mem.World) *heldCopies {
	h := &heldCopies{Driver: mem.New(w), reached: make(chan struct{}), released: make(chan struct{})}
	h.reach, h.release = sync.OnceFunc(func() { close(h.reached) }), sync.OnceFunc(func() { close(h.released) })
	t.Cleanup(h.release)
	return h
}

func (h *heldCopies) Ping(ctx context.Context) error {
	h.pings.Add(1)
	return h.Driver.Ping(ctx)
}

func (h *heldCopies) CopyVolume(
	ctx context.Context, v volume.Ref, keep []string, to driver.Driver, name string, progress driver.Progress,
) (volume.Location, error) {
	over, lingers := driver.As[*lingering](to)
	if lingers {
		over.calls.Add(1)
		defer over.calls.Add(-1)
	}
	h.reach()
	<-h.released
	if lingers && over.shut.Load() {
		return volume.Location{}, driver.ErrShutOut
	}
	return h.Driver.CopyVolume(context.WithoutCancel(ctx), v, keep, to, name, progress)
}

// lingering is a connection that cannot be closed under calls.
type lingering struct {
	*mem.Driver
	calls atomic.Int64
	shut  atomic.Bool // out of the cluster
}

func (l *lingering) Unwrap() driver.Driver { return l.Driver }

func (l *lingering) Close() error {
	if n := l.calls.Load(); n > 0 {
		return fault.New(fault.Unavailable, "%d calls hang", n)
	}
	return l.Driver.Close()
}

// shuttingOut is one to a cluster that shuts clients out.
type shuttingOut struct {
	*lingering
	all *sync.Map // connections by address
}

func (f *shuttingOut) Unwrap() driver.Driver { return f.lingering }

func (f *shuttingOut) Fence(_ context.Context, addrs []string) error {
	for _, addr := range addrs {
		if l, found := f.all.Load(addr); found {
			l.(*lingering).shut.Store(true)
		}
	}
	return nil
}

// toBeCopied returns a volume, and a process of the service that it leaves that is still
// to be started, over a driver that holds its copies.
func toBeCopied(t *testing.T) (n *neighbourhood, v volume.Volume, p *process, held *heldCopies) {
	t.Helper()
	n = newNeighbourhood(t)
	v = n.create(rpc.CreateVolumeRequest{Size: 1})
	if err := n.leaves.end(); err != nil {
		t.Fatal(err)
	}
	return n, v, n.another(), holdCopies(t, n.world)
}

// copies has another process of the service that volumes leave begin to copy one, and
// returns its operation.
func (n *neighbourhood) copies(p *process, held *heldCopies, v volume.Volume) volume.Operation {
	n.Helper()
	p.start()
	r := must[rpc.VolumeReply](n)(n.operator().MigrateVolume(n.Context(), n.host,
		rpc.MigrateVolumeRequest{VolumeID: v.ID, Host: n.there.host}, rpc.CallOptions{}))
	receive(n, "the copy", held.reached)
	return *r.Operation
}

// A copy that an outage here has met, and that is silent, is lost; but not while the
// destination does not answer, which it may wait for.
func TestCopyHeldUpByItsDestination(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]bool{"that is away": true, "that answers": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n, v, p, held := toBeCopied(t)
			p.cfg.LostAfter = 500 * time.Millisecond
			p.deps.OpenDriver = func(context.Context) (driver.Driver, error) {
				return observe.New(held, hclog.NewNullLogger(), nil), nil
			}
			op := n.copies(p, held, v)
			if away {
				n.there.world.SetDown("no OSD answers there")
				n.until("it waits for the destination", func() bool {
					now := must[volume.Operation](t)(n.db.Operation(t.Context(), op.ID))
					return now.Status == volume.Waiting && strings.Contains(now.Reason, "there")
				})
			}
			n.world.SetDown("no OSD answers")
			p.awaitPhase(t, volume.Degraded)
			n.world.SetDown("")
			if !away {
				ended := make(chan error, 1)
				go func() { ended <- p.wait() }()
				if err := receive(t, "the end of the process", ended); !errors.Is(err, worker.ErrReplace) {
					t.Errorf("ended by %v", err)
				}
				return
			}
			p.awaitPhase(t, volume.Ready)
			begun := held.pings.Load()
			n.until("the backend has answered for long", func() bool { return held.pings.Load() > begun+20 })
			n.there.world.SetDown("")
			held.release()
			n.wants(op.ID, volume.Succeeded)
		})
	}
}

// A copy that was given up may go on in the driver: a cancelled migration ends when that
// has ended, or can have no effect any more, so that nothing is left at the destination.
func TestCancelledCopyLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, fences := range map[string]bool{"that returns late": false, "that is shut out": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n, v, p, held := toBeCopied(t)
			p.deps.OpenDriver = func(context.Context) (driver.Driver, error) {
				return limit.New(held, limit.Config{}, hclog.NewNullLogger()), nil
			}
			var all sync.Map
			p.deps.OpenNeighbour = func(context.Context, string) (driver.Driver, error) {
				l := &lingering{Driver: mem.New(n.there.world)}
				all.Store(l.Addrs()[0], l)
				if fences {
					return &shuttingOut{l, &all}, nil
				}
				return l, nil
			}
			op := n.copies(p, held, v)
			must[rpc.OperationReply](t)(n.operator().CancelOperation(t.Context(), n.host, rpc.OperationRequest{OperationID: op.ID}, rpc.CallOptions{}))
			if !fences {
				if got := n.wants(op.ID, volume.Waiting); !strings.Contains(got.Reason, "earlier connection") {
					t.Errorf("it waits for %q", got.Reason)
				}
				held.release()
			}
			n.wants(op.ID, volume.Cancelled)
			held.release()
			n.until("the copy has returned", func() bool {
				calls := int64(0)
				all.Range(func(_, l any) bool { calls += l.(*lingering).calls.Load(); return true })
				return calls == 0
			})
			if there := n.there.world.Images(); len(there) > 0 {
				t.Errorf("left at the destination: %v", there)
			}
			if _, err := n.migrate(v); err != nil {
				t.Errorf("the next migration: %v", err)
			}
		})
	}
}
