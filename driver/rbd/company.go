package rbd

import "time"

// Whether others use the cluster is told by how many operations of clients it counts in
// all its pools, less those that this driver has caused.

const (
	lookEvery = time.Second
	// OSDs report what they have done every 5 s (mgr_stats_period), and the manager tells the
	// monitors as often. In less time than this nobody might seem to do anything.
	lookBack = 7 * time.Second
	// Operations that an object costs which is copied, 12 measured, and a call; more than
	// most: 12 for a create, 100 for a clone. Of calls, there is a limit to what is
	// taken off: what they do for others is the others' work, too.
	opsObject    = 15
	opsCall      = 25
	opsCallsMost = 100 // a second
	// hardly is how many operations a second are nobody's.
	hardly = 20
)

// traffic is what has been done, ever.
type traffic struct {
	operations float64 // of all clients of the cluster, as far as it is told
	objects    int64   // copied by flattens of this driver
	calls      int64   // of this driver
}

// traffic asks the monitors, and counts what is the driver's own.
func (d *Driver) traffic() (traffic, error) {
	var df struct {
		Pools []struct {
			Stats struct {
				Reads  float64 `json:"rd"`
				Writes float64 `json:"wr"`
			}
		}
	}
	if err := d.control.mon(&df, "df", "detail", "detail"); err != nil {
		return traffic{}, err
	}
	t := traffic{objects: d.pace.copied.Load(), calls: d.entered.Load()}
	for _, p := range df.Pools {
		t.operations += p.Stats.Reads + p.Stats.Writes
	}
	return t, nil
}

// presence is whether others use the cluster.
type presence int

const (
	unknown presence = iota
	present
	absent
)

// company remembers what has been done of late.
type company struct {
	looks []look // oldest first; the second one is younger than lookBack
}

type look struct {
	at time.Time
	traffic
}

// look counts once more, and tells of the time since lookBack ago. It does not know
// before it has looked for as long, nor after a count that has failed, or fell: a pool
// was deleted. Where the count does not change though objects were copied nobody counts:
// monitors repeat the last figures that a manager has told.
func (c *company) look(count func() (traffic, error)) presence {
	t, err := count()
	if n := len(c.looks); err != nil || n > 0 && t.operations < c.looks[n-1].operations {
		c.looks = nil
		return unknown
	}
	now := time.Now()
	c.looks = append(c.looks, look{now, t})
	for len(c.looks) > 1 && now.Sub(c.looks[1].at) >= lookBack {
		c.looks = c.looks[1:]
	}
	first := c.looks[0]
	seconds := now.Sub(first.at).Seconds()
	if seconds < lookBack.Seconds() || t.operations == first.operations && t.objects > first.objects {
		return unknown
	}
	own := float64(opsObject*(t.objects-first.objects)) + min(float64(opsCall*(t.calls-first.calls)), opsCallsMost*seconds)
	if t.operations-first.operations-own > hardly*seconds {
		return present
	}
	return absent
}
