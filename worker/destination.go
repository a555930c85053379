package worker

import (
	"context"
	"strings"
	"time"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
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

// withNeighbour connects to the backend of the destination, and runs work on it.
func (w *Worker) withNeighbour(ctx context.Context, dest destination, work func(to driver.Driver) error) (err error) {
	to, err := w.deps.OpenNeighbour(ctx, dest.Host)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := to.Close(); err == nil {
			err = cerr
		}
		w.neighbours.forget(to)
	}()
	w.neighbours.add(to)
	copier, err := driver.Ability[driver.Copier](to, "take copies of volumes")
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
	return work(to)
}
