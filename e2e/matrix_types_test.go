package e2e

import (
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// Types of the volumes in the matrix: what one of them wants, another does not.
const (
	limited   = "limited"
	inherited = "inherited" // by clones of the source, which have to lose it
	shared    = "shared"
)

// kind returns the id of a type, which it makes the first time.
func (a *arena) kind(name string) string {
	a.t.Helper()
	if a.kinds[name] == "" {
		req := map[string]rpc.CreateTypeRequest{
			limited:   {QoS: map[string]string{"total_iops_sec_per_gb": "1000"}},
			inherited: {QoS: map[string]string{"read_bytes_sec": "1000000000"}},
			shared:    {QoS: map[string]string{"write_iops_sec": "1000"}, ExtraSpecs: map[string]string{"multiattach": "<is> True"}},
		}[name]
		a.kinds[name] = a.newKind(&req)
	}
	return a.kinds[name]
}

// newKind makes a type of a new name, and returns its id.
func (a *arena) newKind(like *rpc.CreateTypeRequest) string {
	a.t.Helper()
	req := rpc.CreateTypeRequest{}
	if like != nil {
		req = *like
	}
	req.Name = uuid.NewString()
	reply, err := a.client.CreateType(a.group.Context(), req, rpc.CallOptions{})
	if err != nil {
		a.t.Fatal(err)
	}
	return reply.VolumeType.ID
}

// checkType sees that there is the type with that description, or none without one.
func (c *cell) checkType(description ...string) {
	c.t.Helper()
	if got := c.strings("SELECT description FROM volume_types WHERE id = $1", c.volumeID()); !slices.Equal(got, description) {
		c.t.Errorf("the descriptions of the type are %q, want %q", got, description)
	}
}

// asksToRetype asks for another type of a new volume with a snapshot.
func (a *arena) asksToRetype(from, to string) ask {
	a.t.Helper()
	v := a.createVolume(rpc.CreateVolumeRequest{Size: 1, VolumeType: a.kind(from)})
	a.createSnapshot(v.ID)
	req := rpc.RetypeRequest{VolumeID: v.ID, NewType: a.kind(to)}
	return func(o rpc.CallOptions) (*volume.Operation, error) {
		reply, err := a.client.Retype(a.group.Context(), a.backend(0), req, o)
		return reply.Operation, err
	}
}

// unshare has the opposite asked for: the volume is shared no more.
func (c *cell) unshare() { c.ask = c.asksToRetype(shared, limited) }

// checkMaps sees that no map of the volume is invalid.
func (c *cell) checkMaps() {
	c.t.Helper()
	if info := c.ceph.RBD(c.t, "info", c.service.pools[0]+"/volume-"+c.volumeID()); strings.Contains(info, "invalid") {
		c.t.Errorf("after %s: %s", c.point, info)
	}
}
