package worker

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// destination is another service, as it said of itself.
type destination struct {
	Host        string `json:"host"` // host@backend#pool
	Pool        string `json:"pool"`
	Cluster     string `json:"cluster"` // id
	Zone        string `json:"zone"`
	BackendName string `json:"backend_name"`
	// Most is how many GiB its pool may promise in all, nil where that is not known.
	Most *float64 `json:"most,omitempty"`
	// Same tells that its volumes are where ours are: there is nothing to copy.
	Same bool `json:"same,omitempty"`
}

// answerWithin bounds the wait for another service.
const answerWithin = 5 * time.Second

// locate asks the service what it is. That it answers shows that it lives.
func (w *Worker) locate(ctx context.Context, host string) (dest destination, err error) {
	asked := volume.ParseHost(host)
	services, _, err := w.store.Services(ctx, volume.ServiceFilter{Host: asked.Service()})
	if err != nil {
		return dest, err
	}
	if len(services) != 1 || services[0].Host != asked.Service() {
		return dest, fault.New(fault.NotFound, "there is no service %s", asked.Service()).WithField("host")
	}
	if info := w.serviceInfo(services[0]); info.State == volume.Down || services[0].Disabled {
		return dest, fault.New(fault.Unavailable, "the service %s is %s and %s: a volume that goes there would have nobody", asked.Service(), info.State, info.Status).
			WithField("host")
	}
	bounded, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	reply, err := rpc.NewClient(w.conn, rpc.Options{}).GetCapabilities(bounded, asked.Service(), rpc.CapabilitiesRequest{})
	if err != nil {
		return dest, fault.New(fault.Unavailable, "the service %s does not answer: %w", asked.Service(), err).WithField("host")
	}
	c := reply.Capabilities
	if asked.Pool != "" && asked.Pool != c.PoolName {
		return dest, fault.New(fault.Invalid, "the pool of %s is %s, not %s", asked.Service(), c.PoolName, asked.Pool).WithField("host")
	}
	dest = destination{
		Host: asked.WithPool(c.PoolName).String(), Pool: c.PoolName, Cluster: clusterIn(c.LocationInfo),
		Zone: services[0].AvailabilityZone, BackendName: c.VolumeBackendName, Most: promisable(c),
	}
	if copier, able := driver.As[driver.Copier](w.driver); able {
		cluster, pool := copier.Place()
		dest.Same = cluster == dest.Cluster && pool == dest.Pool
	}
	return dest, nil
}

// clusterIn returns the id of the cluster in a location_info. Only its first two fields,
// a name and a path, may hold a colon.
func clusterIn(location string) string {
	fields := strings.Split(location, ":")
	if len(fields) < 5 {
		return ""
	}
	return fields[len(fields)-3]
}

// withNeighbour connects to the backend of the destination, and runs work on it. While
// that backend does not answer, the operation says so.
func (w *Worker) withNeighbour(ctx context.Context, t *operation.Task, m *migration, work func(ctx context.Context, to driver.Driver) error) (err error) {
	dest := m.Dest
	opened, err := w.deps.OpenNeighbour(ctx, dest.Host)
	if err != nil {
		return err
	}
	to := w.neighbours.add(opened, m.Image.Name)
	defer func() {
		closed := to.Close()
		if closed == nil { // else calls are left in it, for endLeft
			w.neighbours.forget(to)
		}
		if err == nil {
			err = closed
		}
	}()
	copier, err := driver.Ability[driver.Copier](opened, "take copies of volumes")
	if err != nil {
		return err
	}
	if cluster, pool := copier.Place(); cluster != dest.Cluster || pool != dest.Pool {
		return fault.New(fault.Conflict, "what this service knows of %s leads to pool %s of cluster %s, and that service uses pool %s of cluster %s",
			dest.Host, pool, cluster, dest.Pool, dest.Cluster).
			WithHint("to another cluster, this service needs the section of that backend in its own configuration")
	}
	if err := w.beat(ctx); err != nil { // whoever comes after us must know what else to fence
		return err
	}
	if err := w.fenceThere(ctx, t.Operation().ID, opened); err != nil {
		return err
	}
	if err := w.endLeft(ctx, to); err != nil {
		return err
	}
	return w.watched(ctx, t, to, work)
}

// watched runs work, and asks the backend meanwhile whether it answers. While it does
// not, the operation is waiting and says why; calls that hang go on when it is back.
// A connection that is lost for good ends the work, for another try.
func (w *Worker) watched(ctx context.Context, t *operation.Task, to *neighbour, work func(ctx context.Context, to driver.Driver) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	var watch sync.WaitGroup
	defer func() {
		stop(nil)
		watch.Wait()
		t.Stall(nil)
	}()
	watch.Go(func() {
		tick := time.NewTicker(lookAgain)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			err := to.Ping(ctx)
			if ctx.Err() != nil {
				return
			}
			w.neighbours.note(to, err == nil)
			t.Stall(err)
			if errors.Is(err, driver.ErrShutOut) {
				stop(err)
			}
		}
	})
	err := work(ctx, to.Driver)
	if lost := context.Cause(ctx); err != nil && errors.Is(lost, driver.ErrShutOut) {
		return lost
	}
	return err
}
