package rbd

import (
	"context"
	"math"
	"strings"

	"github.com/ceph/go-ceph/rbd"
	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// capacityTrouble is the key of monitors that do not tell the capacity.
const capacityTrouble = "capacity"

// Stats reads the capacity of the pool. A cluster that does not answer within
// the timeout of the control connection is down; one whose monitors answer
// without figures is up, with unknown capacities.
func (d *Driver) Stats(ctx context.Context) (volume.Capabilities, error) {
	c := d.facts()
	if err := ctx.Err(); err != nil {
		return c, err
	}
	if err := d.measure(ctx, &c); err != nil {
		c.TotalCapacityGB, c.FreeCapacityGB, c.ProvisionedCapacityGB = nil, nil, nil
		c.BackendState, c.Reason = volume.Down, err.Error()
	}
	return c, nil
}

// facts are the capabilities that need no cluster.
func (d *Driver) facts() volume.Capabilities {
	user := d.cfg.User
	setDefault(&user, "None") // what other services compare it with
	_, minor, _ := rbd.Version()
	return volume.Capabilities{
		VolumeBackendName:        d.cfg.Name,
		VendorName:               "Open Source",
		DriverVersion:            "1.3.0",
		StorageProtocol:          "ceph",
		LocationInfo:             strings.Join([]string{d.cfg.Cluster, d.cfg.ConfFile, d.fsid, user, d.cfg.Pool}, ":"),
		PoolName:                 d.cfg.Pool,
		ReservedPercentage:       d.cfg.ReservedPercentage,
		MaxOverSubscriptionRatio: d.cfg.MaxOverSubscriptionRatio,
		ThinProvisioningSupport:  true,
		Multiattach:              true,
		QoSSupport:               minor >= 15, // of the version of the API
		BackendState:             volume.Up,
	}
}

// measure fills in what the cluster knows, or returns why it does not answer.
func (d *Driver) measure(ctx context.Context, c *volume.Capabilities) error {
	leave, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := d.control.read(); err != nil {
		return err
	}
	u, err := d.usage()
	switch {
	case err == nil:
		total, free := u.capacity(d.cfg.DynamicCapacity)
		c.TotalCapacityGB, c.FreeCapacityGB = &total, &free
		d.told.End(capacityTrouble)
	case fault.KindOf(err) == fault.Unavailable:
		return err
	default:
		d.told.Note(capacityTrouble, hclog.Warn, "capacity is unknown", "error", err)
	}
	if d.cfg.ExclusivePool {
		return nil
	}
	stats, err := rbd.GetAllPoolStats(d.control.io)
	if err != nil {
		return classify(err, "sum up the images")
	}
	provisioned := int64((stats[rbd.PoolStatOptionImageProvisionedBytes] + volume.GiB - 1) / volume.GiB)
	c.ProvisionedCapacityGB = &provisioned
	return nil
}

// usage is what the cluster tells about the pool, in bytes.
type usage struct {
	cluster   float64 // size of the whole cluster
	used      float64 // by the pool, replicas not counted
	available float64 // to the pool
	objects   float64 // in the pool
	quota     struct {
		Bytes   float64 `json:"quota_max_bytes"`   // 0 = none
		Objects float64 `json:"quota_max_objects"` // 0 = none
	}
}

// usage asks the monitors. Its errors are Unavailable when they do not answer.
func (d *Driver) usage() (u usage, err error) {
	var df struct {
		Stats struct {
			Total float64 `json:"total_bytes"`
		}
		Pools []struct {
			Name  string
			Stats struct {
				Stored    *float64 // since Nautilus
				Used      float64  `json:"bytes_used"`
				Available float64  `json:"max_avail"`
				Objects   float64
			}
		}
	}
	if err := d.control.mon(&df, "df"); err != nil {
		return u, err
	}
	if err := d.control.mon(&u.quota, "osd pool get-quota", "pool", d.cfg.Pool); err != nil {
		return u, err
	}
	for _, p := range df.Pools {
		if p.Name != d.cfg.Pool {
			continue
		}
		u.cluster, u.available, u.objects, u.used = df.Stats.Total, p.Stats.Available, p.Stats.Objects, p.Stats.Used
		if p.Stats.Stored != nil {
			u.used = *p.Stats.Stored
		}
		return u, nil
	}
	return u, fault.New(fault.NotFound, "the monitors list no pool %s", d.cfg.Pool)
}

// capacity returns the total and the free capacity in GiB, rounded to two
// decimals, by Cinder's formulae; but a pool at its quota of objects has none
// free, since it takes no more data.
func (u usage) capacity(dynamic bool) (total, free float64) {
	total, free = u.cluster, u.available
	if u.quota.Bytes > 0 {
		total, free = u.quota.Bytes, max(min(u.quota.Bytes-u.used, u.available), 0)
	}
	if u.quota.Objects > 0 && u.objects >= u.quota.Objects {
		free = 0
	}
	if dynamic {
		total = free + u.used
	}
	return gib(total), gib(free)
}

func gib(bytes float64) float64 { return math.Round(bytes/volume.GiB*100) / 100 }
