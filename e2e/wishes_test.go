package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// wish is something to ask for.
type wish struct {
	method string // of the operation
	of     string // the volume, the snapshot or the type
	at     string // the service that is asked
	ask    ask
}

// Methods that no caller names: what a request for another becomes.
const (
	fromSnapshot     = "create_volume_from_snapshot"
	fromVolume       = "create_cloned_volume"
	fromImage        = "create_volume_from_image"
	unmanage         = "unmanage_volume"
	unmanageSnapshot = "unmanage_snapshot"
)

// wishes are what the crowd asks for, and how often: in shares of all that is possible
// at the moment. What makes volumes is left out while there are many.
var wishes = []struct {
	method string
	share  int
	grows  bool
	// make makes the wish, unless there is nothing that it could be about.
	make func(c *crowd, rng *rand.Rand) (w wish, possible bool)
}{
	{method: rpc.MethodCreateVolume, share: 12, grows: true, make: func(c *crowd, rng *rand.Rand) (wish, bool) {
		req := rpc.CreateVolumeRequest{Size: 1}
		if rng.IntN(2) == 0 {
			req.VolumeType = c.anyKind(rng)
		}
		return c.creates(rng, req), true
	}},
	{method: fromImage, share: 5, grows: true, make: func(c *crowd, rng *rand.Rand) (wish, bool) {
		req := rpc.CreateVolumeRequest{Size: 1, Image: &rpc.ImageSource{URL: c.imageSource(rng, original)}}
		return c.creates(rng, req), true
	}},
	{method: fromSnapshot, share: 8, grows: true, make: ofSnapshot(func(c *crowd, s, at string) ask {
		return asksOf(c, at, c.client.CreateVolume, rpc.CreateVolumeRequest{SnapshotID: s})
	})},
	{method: fromVolume, share: 8, grows: true, make: ofVolume(func(c *crowd, _ *rand.Rand, v, at string) ask {
		return asksOf(c, at, c.client.CreateVolume, rpc.CreateVolumeRequest{SourceVolID: v})
	})},
	{method: rpc.MethodManageExisting, share: 8, make: func(c *crowd, rng *rand.Rand) (wish, bool) {
		if v := pick(rng, c.loose); v != "" {
			return c.manages(v), true
		}
		return wish{}, false
	}},
	{method: rpc.MethodManageExistingSnapshot, share: 8, make: func(c *crowd, rng *rand.Rand) (wish, bool) {
		if s := pick(rng, c.looseSnapshots); s != "" {
			return c.managesSnapshot(s), true
		}
		return wish{}, false
	}},
	{method: rpc.MethodDeleteVolume, share: 16, make: ofVolume(func(c *crowd, _ *rand.Rand, v, at string) ask {
		return asksOf(c, at, c.client.DeleteVolume, rpc.DeleteVolumeRequest{VolumeID: v})
	})},
	{method: unmanage, share: 5, make: ofVolume(func(c *crowd, _ *rand.Rand, v, at string) ask {
		return asksOf(c, at, c.client.DeleteVolume, rpc.DeleteVolumeRequest{VolumeID: v, UnmanageOnly: true, Cascade: true})
	})},
	{method: rpc.MethodDeleteSnapshot, share: 10, make: ofSnapshot(func(c *crowd, s, at string) ask {
		return asksOfSnapshot(c, at, c.client.DeleteSnapshot, rpc.DeleteSnapshotRequest{SnapshotID: s})
	})},
	{method: unmanageSnapshot, share: 3, make: ofSnapshot(func(c *crowd, s, at string) ask {
		return asksOfSnapshot(c, at, c.client.DeleteSnapshot, rpc.DeleteSnapshotRequest{SnapshotID: s, UnmanageOnly: true})
	})},
	{method: rpc.MethodExtendVolume, share: 5, make: ofVolume(func(c *crowd, rng *rand.Rand, v, at string) ask {
		return asksOf(c, at, c.client.ExtendVolume, rpc.ExtendVolumeRequest{VolumeID: v, NewSize: 2 + rng.Int64N(6)})
	})},
	{method: rpc.MethodFlattenVolume, share: 5, make: ofVolume(func(c *crowd, _ *rand.Rand, v, at string) ask {
		c.flattened = append(c.flattened, v)
		return asksOf(c, at, c.client.FlattenVolume, rpc.FlattenVolumeRequest{VolumeID: v})
	})},
	{method: rpc.MethodCreateSnapshot, share: 12, make: ofVolume(func(c *crowd, _ *rand.Rand, v, at string) ask {
		return asksOfSnapshot(c, at, c.client.CreateSnapshot, rpc.CreateSnapshotRequest{VolumeID: v})
	})},
	{method: rpc.MethodRevertToSnapshot, share: 5, make: ofSnapshot(func(c *crowd, s, at string) ask {
		return asksOf(c, at, c.client.RevertToSnapshot, rpc.RevertToSnapshotRequest{VolumeID: c.home[s], SnapshotID: s})
	})},
	{method: rpc.MethodReimage, share: 5, make: ofVolume(func(c *crowd, rng *rand.Rand, v, at string) ask {
		return asksOf(c, at, c.client.Reimage, rpc.ReimageRequest{VolumeID: v, Image: rpc.ImageSource{URL: c.imageSource(rng, other)}})
	})},
	{method: rpc.MethodCopyVolumeToImage, share: 4, make: ofVolume(func(c *crowd, rng *rand.Rand, v, at string) ask {
		format := []string{"raw", "qcow2"}[rng.IntN(2)]
		return func(o rpc.CallOptions) (*volume.Operation, error) { // to a place that the request is known by
			target := rpc.ImageTarget{URL: "file://" + c.copyOf(o.RequestID), Format: format}
			return asksOf(c, at, c.client.CopyVolumeToImage, rpc.CopyVolumeToImageRequest{VolumeID: v, Image: target})(o)
		}
	})},
	{method: rpc.MethodRetype, share: 5, make: ofVolume(func(c *crowd, rng *rand.Rand, v, at string) ask {
		return asksOf(c, at, c.client.Retype, rpc.RetypeRequest{VolumeID: v, NewType: c.anyKind(rng)})
	})},
	{method: rpc.MethodMigrateVolume, share: 5, make: ofVolume(func(c *crowd, rng *rand.Rand, v, at string) ask {
		to := c.backend(0)
		if to == at {
			to = c.backend(1)
		}
		if rng.IntN(2) == 0 {
			return asksOf(c, at, c.client.MigrateVolume, rpc.MigrateVolumeRequest{VolumeID: v, Host: to})
		}
		return asksOf(c, at, c.client.Retype, rpc.RetypeRequest{
			VolumeID: v, NewType: c.anyKind(rng), MigrationPolicy: rpc.MigrateOnDemand, Host: to,
		})
	})},
	{method: rpc.MethodUpdateVolume, share: 5, make: ofVolume(func(c *crowd, _ *rand.Rand, v, at string) ask {
		return func(o rpc.CallOptions) (*volume.Operation, error) {
			return asksOf(c, at, c.client.UpdateVolume, rpc.UpdateVolumeRequest{VolumeID: v, Labels: labelledBy(o)})(o)
		}
	})},
	{method: rpc.MethodUpdateSnapshot, share: 3, make: ofSnapshot(func(c *crowd, s, at string) ask {
		return func(o rpc.CallOptions) (*volume.Operation, error) {
			return asksOfSnapshot(c, at, c.client.UpdateSnapshot, rpc.UpdateSnapshotRequest{SnapshotID: s, Labels: labelledBy(o)})(o)
		}
	})},
	{method: rpc.MethodCreateType, share: 2, make: func(c *crowd, _ *rand.Rand) (wish, bool) {
		return wish{ask: func(o rpc.CallOptions) (*volume.Operation, error) {
			reply, err := c.client.CreateType(c.group.Context(), rpc.CreateTypeRequest{Name: "type-" + o.RequestID}, o)
			return reply.Operation, err
		}}, true
	}},
	{method: rpc.MethodUpdateType, share: 2, make: ofType(func(c *crowd, id string, o rpc.CallOptions) (rpc.TypeReply, error) {
		name := "type-" + o.RequestID
		return c.client.UpdateType(c.group.Context(), rpc.UpdateTypeRequest{VolumeType: id, Name: &name}, o)
	})},
	{method: rpc.MethodDeleteType, share: 1, make: ofType(func(c *crowd, id string, o rpc.CallOptions) (rpc.TypeReply, error) {
		return c.client.DeleteType(c.group.Context(), rpc.TypeRequest{VolumeType: id}, o)
	})},
}

// unasked are the methods that the crowd does not ask for, and why.
var unasked = map[string]string{
	rpc.MethodUndeleteVolume: "what is deleted is not kept: the end of the crowd's volumes is theirs for good",
	rpc.MethodAuditBackend:   "asked for after each round",
	rpc.MethodApplyRepairs:   "asked for after each round",
	rpc.MethodWaitOperation:  "it changes nothing",
}

// The crowd asks for every method that starts an operation.
func TestCrowdKnowsEveryMethod(t *testing.T) {
	known := map[string]bool{}
	for _, w := range wishes {
		known[w.method] = true
	}
	for _, m := range rpc.Methods() {
		if m.Operates && !known[m.Name] && unasked[m.Name] == "" {
			t.Errorf("nobody in the crowd asks for %s", m.Name)
		}
	}
}

// choose draws what to ask for.
func (c *crowd) choose(rng *rand.Rand) wish {
	c.mu.Lock()
	defer c.mu.Unlock()
	many := len(c.volumes)+len(c.loose) > crowdVolumes
	shares := 0
	for _, w := range wishes {
		if !w.grows || !many {
			shares += w.share
		}
	}
	for {
		roll := rng.IntN(shares)
		for _, kind := range wishes {
			if kind.grows && many {
				continue
			}
			if roll -= kind.share; roll >= 0 {
				continue
			}
			if w, possible := kind.make(c, rng); possible {
				w.method = kind.method
				return w
			}
			break
		}
	}
}

// pick draws one of those; it is empty where there are none.
func pick(rng *rand.Rand, ids []string) string {
	if len(ids) == 0 {
		return ""
	}
	return ids[rng.IntN(len(ids))]
}

// anyKind draws a type that volumes may have.
func (c *crowd) anyKind(rng *rand.Rand) string {
	return c.kinds[[]string{limited, inherited, shared}[rng.IntN(3)]]
}

// imageSource is where an image is: a file, or a page of a web server.
func (c *crowd) imageSource(rng *rand.Rand, image string) string {
	if rng.IntN(2) == 0 {
		return "file://" + c.imageDir + "/" + image
	}
	return c.imageURL + "/" + image
}

// copyOf is the file that a request has a volume copied to.
func (c *crowd) copyOf(requestID string) string {
	return fmt.Sprintf("%s/%s%s", c.imageDir, copyPrefix, requestID)
}

// copyPrefix begins the names of copies.
const copyPrefix = "copy-"

// labelledBy are labels that tell the request which they came by.
func labelledBy(o rpc.CallOptions) rpc.Labels {
	return rpc.Labels{Metadata: map[string]*string{"request": &o.RequestID}}
}

// creates makes a volume of nothing that the service has, at any of the backends.
func (c *crowd) creates(rng *rand.Rand, req rpc.CreateVolumeRequest) wish {
	at := c.backend(rng.IntN(len(c.pools)))
	return wish{at: at, ask: asksOf(c, at, c.client.CreateVolume, req)}
}

// manages takes a volume back that was unmanaged, under its id.
func (c *crowd) manages(id string) wish {
	at := c.serviceOf(id)
	return wish{of: id, at: at, ask: asksOf(c, at, c.client.ManageExisting, rpc.ManageExistingRequest{
		SourceName: "volume-" + id, VolumeID: id,
	})}
}

func (c *crowd) managesSnapshot(id string) wish {
	at := c.serviceOf(c.home[id])
	return wish{of: id, at: at, ask: asksOfSnapshot(c, at, c.client.ManageExistingSnapshot, rpc.ManageExistingSnapshotRequest{
		VolumeID: c.home[id], SourceName: "snapshot-" + id, SnapshotID: id,
	})}
}

// ofVolume is for a wish about any volume, at the service that has it now.
func ofVolume(f func(c *crowd, rng *rand.Rand, id, at string) ask) func(*crowd, *rand.Rand) (wish, bool) {
	return func(c *crowd, rng *rand.Rand) (wish, bool) {
		id := pick(rng, c.volumes)
		if id == "" {
			return wish{}, false
		}
		at := c.serviceOf(id)
		return wish{of: id, at: at, ask: f(c, rng, id, at)}, true
	}
}

func ofSnapshot(f func(c *crowd, id, at string) ask) func(*crowd, *rand.Rand) (wish, bool) {
	return func(c *crowd, rng *rand.Rand) (wish, bool) {
		id := pick(rng, c.snapshots)
		if id == "" {
			return wish{}, false
		}
		at := c.serviceOf(c.home[id])
		return wish{of: id, at: at, ask: f(c, id, at)}, true
	}
}

// ofType is for a wish about a type that no volume has.
func ofType(f func(c *crowd, id string, o rpc.CallOptions) (rpc.TypeReply, error)) func(*crowd, *rand.Rand) (wish, bool) {
	return func(c *crowd, rng *rand.Rand) (wish, bool) {
		id := pick(rng, c.types)
		return wish{of: id, ask: func(o rpc.CallOptions) (*volume.Operation, error) {
			reply, err := f(c, id, o)
			return reply.Operation, err
		}}, id != ""
	}
}

// asksOf sends a request that is answered by a volume.
func asksOf[R any](c *crowd, to string, call func(context.Context, string, R, rpc.CallOptions) (rpc.VolumeReply, error), req R) ask {
	return func(o rpc.CallOptions) (*volume.Operation, error) {
		reply, err := call(c.group.Context(), to, req, o)
		return reply.Operation, err
	}
}

func asksOfSnapshot[R any](c *crowd, to string, call func(context.Context, string, R, rpc.CallOptions) (rpc.SnapshotReply, error), req R) ask {
	return func(o rpc.CallOptions) (*volume.Operation, error) {
		reply, err := call(c.group.Context(), to, req, o)
		return reply.Operation, err
	}
}
