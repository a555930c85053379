package rbd

import (
	"context"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// InitializeConnection returns the fields that os-brick, libvirt and Nova read
// of an RBD volume. A key is never among them: hosts have their own. Kinds:
// NotFound, Conflict for an image with another id, Unavailable.
func (d *Driver) InitializeConnection(ctx context.Context, v volume.Ref, volumeID string, _ map[string]any) (info volume.ConnectionInfo, err error) {
	defer fault.Wrap(&err, "connect to %s", v.Name)
	leave, err := d.enter(ctx)
	if err != nil {
		return info, err
	}
	defer leave()
	if err := driver.CheckName(v.Name); err != nil {
		return info, err
	}
	id, err := d.control.imageID(v.Name)
	if err != nil {
		return info, err
	}
	if id == "" {
		return info, fault.New(fault.NotFound, "no image of that name")
	}
	if err := sameImage(v, id); err != nil {
		return info, err
	}
	hosts, ports, err := d.monitors.get(d.control)
	if err != nil {
		return info, err
	}
	return volume.ConnectionInfo{DriverVolumeType: "rbd", Data: d.connection(v.Name, volumeID, hosts, ports)}, nil
}

func (d *Driver) connection(name, volumeID string, hosts, ports []string) map[string]any {
	var user any // null without a user, as in Cinder
	if d.cfg.User != "" {
		user = d.cfg.User
	}
	return map[string]any{
		"name":          d.cfg.Pool + "/" + name,
		"hosts":         hosts,
		"ports":         ports,
		"cluster_name":  d.cfg.Cluster,
		"auth_enabled":  d.cfg.User != "",
		"auth_username": user,
		"secret_type":   "ceph",
		"secret_uuid":   d.cfg.SecretUUID,
		"volume_id":     volumeID,
		"discard":       true,
	}
}

// TerminateConnection does nothing: attaching left nothing on the cluster.
func (d *Driver) TerminateConnection(ctx context.Context, _ volume.Ref, _ map[string]any) error {
	return ctx.Err()
}
