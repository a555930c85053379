package rpc

import (
	"context"
	"iter"

	"github.com/volumed/volumed/volume"
)

// Methods about volume types: retype is a service's, the others any worker's.
const (
	MethodRetype     = "retype"
	MethodListTypes  = "list_volume_types"
	MethodGetType    = "get_volume_type"
	MethodCreateType = "create_volume_type"
	MethodUpdateType = "update_volume_type"
	MethodDeleteType = "delete_volume_type"
)

// CreateTypeRequest asks for a volume type.
type CreateTypeRequest struct {
	Name        string `json:"name"` // of which there is only one
	Description string `json:"description,omitempty"`
	// ExtraSpecs: volume_backend_name lets a volume be made only by backends of that
	// name, multiattach = "<is> True" lets several hosts write to it. Others are for
	// schedulers.
	ExtraSpecs map[string]string `json:"extra_specs,omitempty"`
	// QoS are limits by Cinder's names: total_, read_ or write_, iops_sec or bytes_sec,
	// and to each _max, _per_gb and _per_gb_min.
	QoS map[string]string `json:"qos_specs,omitempty"`
	// Consumer is who enforces them: back-end (the default), front-end, or both.
	Consumer volume.Consumer `json:"qos_consumer,omitempty"`
}

// UpdateTypeRequest asks for a volume type to be changed. What is absent stays as it is,
// keys of extra specs and limits too.
type UpdateTypeRequest struct {
	VolumeType  string            `json:"volume_type"` // id or name
	Name        *string           `json:"name,omitempty"`
	Description *string           `json:"description,omitempty"`
	ExtraSpecs  map[string]string `json:"extra_specs,omitempty"`
	QoS         map[string]string `json:"qos_specs,omitempty"`
	Consumer    *volume.Consumer  `json:"qos_consumer,omitempty"`
	// Unset are keys of extra specs and limits that are to go.
	Unset []string `json:"unset,omitempty"`
}

// TypeRequest names a volume type.
type TypeRequest struct {
	VolumeType string `json:"volume_type"` // id or name
}

// TypeReply carries a volume type, and the operation that changed it where there is one.
// Of a type that was deleted it is what there was.
type TypeReply struct {
	Operation  *volume.Operation `json:"operation,omitempty"`
	VolumeType volume.Type       `json:"volume_type"`
}

// ListTypesRequest asks for volume types, newest first.
type ListTypesRequest struct {
	Page
	Name string `json:"name,omitempty"`
}

// TypesReply is a page of volume types.
type TypesReply struct {
	VolumeTypes []volume.Type `json:"volume_types"`
	Next        string        `json:"next,omitempty"`
}

// RetypeRequest asks for another type of a volume.
type RetypeRequest struct {
	VolumeID string `json:"volume_id"`
	// NewType is the id or the name of the type. That which the volume has is applied
	// anew.
	NewType string `json:"new_type"`
	// MigrationPolicy is never (the default), which refuses a type that this backend
	// cannot have, or on-demand, which moves the volume to Host for it.
	MigrationPolicy string `json:"migration_policy,omitempty"`
	// Host is where an on-demand migration may go to: host@backend.
	Host string `json:"host,omitempty"`
}

// Migration policies of a retype.
const (
	MigrateNever    = "never"
	MigrateOnDemand = "on-demand"
)

// Retype gives a volume of the service another type.
func (c *Client) Retype(ctx context.Context, service string, req RetypeRequest, o CallOptions) (VolumeReply, error) {
	return invoke[VolumeReply](ctx, c, service, MethodRetype, req, o)
}

// CreateType makes a volume type.
func (c *Client) CreateType(ctx context.Context, req CreateTypeRequest, o CallOptions) (TypeReply, error) {
	return invoke[TypeReply](ctx, c, "", MethodCreateType, req, o)
}

// UpdateType changes a volume type.
func (c *Client) UpdateType(ctx context.Context, req UpdateTypeRequest, o CallOptions) (TypeReply, error) {
	return invoke[TypeReply](ctx, c, "", MethodUpdateType, req, o)
}

// DeleteType deletes a volume type.
func (c *Client) DeleteType(ctx context.Context, req TypeRequest, o CallOptions) (TypeReply, error) {
	return invoke[TypeReply](ctx, c, "", MethodDeleteType, req, o)
}

// GetType returns a volume type.
func (c *Client) GetType(ctx context.Context, req TypeRequest) (TypeReply, error) {
	return invoke[TypeReply](ctx, c, "", MethodGetType, req, CallOptions{})
}

// ListTypes returns one page of volume types.
func (c *Client) ListTypes(ctx context.Context, req ListTypesRequest) (TypesReply, error) {
	return invoke[TypesReply](ctx, c, "", MethodListTypes, req, CallOptions{})
}

// Types returns all volume types that fit the request; see Services.
func (c *Client) Types(ctx context.Context, req ListTypesRequest) iter.Seq2[volume.Type, error] {
	return pages(&req.Marker, func() ([]volume.Type, string, error) {
		r, err := c.ListTypes(ctx, req)
		return r.VolumeTypes, r.Next, err
	})
}
