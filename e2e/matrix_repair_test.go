package e2e

import (
	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// asksForRepairs audits, and asks to carry out what is planned.
func (a *arena) asksForRepairs() ask {
	a.t.Helper()
	audit, err := a.client.AuditBackend(a.t.Context(), a.backend(0), rpc.AuditBackendRequest{Deep: true}, wait)
	a.succeeded("audit_backend", audit.Operation, err)
	req := rpc.ApplyRepairsRequest{AuditID: audit.Audit.ID}
	return func(o rpc.CallOptions) (*volume.Operation, error) {
		reply, err := a.client.ApplyRepairs(a.group.Context(), a.backend(0), req, o)
		return reply.Operation, err
	}
}

// checkRepaired sees that nothing differs any more.
func (c *cell) checkRepaired() {
	c.t.Helper()
	audit, err := c.client.AuditBackend(c.t.Context(), c.backend(0), rpc.AuditBackendRequest{Deep: true}, wait)
	c.succeeded("audit_backend", audit.Operation, err)
	if audit.Audit == nil || audit.Audit.Drift != 0 {
		c.t.Errorf("after the repair: %+v", audit.Audit)
	}
}

// differ makes a volume and has f make its image differ; then it asks for a plan of
// what is to be repaired now.
func (c *cell) differ(f func(v volume.Volume)) {
	c.t.Helper()
	f(c.createVolume(rpc.CreateVolumeRequest{Size: 2}))
	c.ask = c.asksForRepairs()
}

// misname gives the image of a volume another name.
func (c *cell) misname() {
	c.differ(func(v volume.Volume) {
		c.must(rbd.GetImage(c.pool.io, "volume-"+v.ID).Rename("lost-" + v.ID))
	})
}

// misset sets what the volume does not want.
func (c *cell) misset() {
	c.differ(func(v volume.Volume) {
		c.pool.change(c.t, v.ID, func(img *rbd.Image) error { return img.SetMetadata("conf_rbd_qos_iops_limit", "100") })
	})
}

// mislock leaves a lock by hand.
func (c *cell) mislock() {
	c.differ(func(v volume.Volume) {
		c.pool.change(c.t, v.ID, func(img *rbd.Image) error { return img.LockExclusive("by-hand") })
	})
}

// missize shrinks the image of a volume.
func (c *cell) missize() {
	c.differ(func(v volume.Volume) {
		c.pool.change(c.t, v.ID, func(img *rbd.Image) error { return img.Resize(volume.GiB) })
	})
}

// misplace has the image of a deleted volume back in the pool.
func (c *cell) misplace() {
	c.differ(func(v volume.Volume) {
		c.deleteVolume(v.ID)
		c.quiet()
		opts := rbd.NewRbdImageOptions()
		defer opts.Destroy()
		c.must(rbd.CreateImage(c.pool.io, "volume-"+v.ID, volume.GiB, opts))
		_, err := c.tables.Exec("UPDATE volumes SET image_id = $1 WHERE id = $2", c.pool.images(c.t)["volume-"+v.ID], v.ID)
		c.must(err)
	})
}
