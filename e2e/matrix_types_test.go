package e2e

import (
	"github.com/google/uuid"

	"github.com/volumed/volumed/rpc"
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

// shallowKind is the type of clones, but for those that wait for a shorter chain.
func (a *arena) shallowKind() string {
	if a.depth == "1" {
		return ""
	}
	return a.kind(limited)
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
