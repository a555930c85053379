package rpc

import "context"

// MethodMigrateVolume is a method of the service that the volume is at.
const MethodMigrateVolume = "migrate_volume"

// MigrateVolumeRequest asks for a volume at another backend.
type MigrateVolumeRequest struct {
	VolumeID string `json:"volume_id"`
	// Host is the service to move to: host@backend, or host@backend#pool.
	Host string `json:"host"`
	// NewType is the id or the name of a type that the volume gets there; empty keeps
	// the one that it has.
	NewType string `json:"new_type,omitempty"`
	// Verify has the copy read back and compared with the volume, at each snapshot, before
	// the volume leaves: it costs about as much time as the copy once more for each.
	Verify bool `json:"verify,omitempty"`
}

// MigrateVolume moves a volume of the service to another.
func (c *Client) MigrateVolume(ctx context.Context, service string, req MigrateVolumeRequest, o CallOptions) (VolumeReply, error) {
	return invoke[VolumeReply](ctx, c, service, MethodMigrateVolume, req, o)
}
