package e2e

import (
	"fmt"
	"testing"

	"github.com/ceph/go-ceph/rbd"
	"github.com/google/uuid"

	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// ask is one request; it may be sent any number of times.
type ask func(o rpc.CallOptions) (*volume.Operation, error)

// method is how the matrix runs one.
type method struct {
	// first and last are its steps, the same where it has only one.
	first, last string
	// prepare makes what the request needs.
	prepare func(a *arena) ask
	// check looks at what it has done, after a success.
	check func(c *cell)
	// cancelled takes back what prepare made for the operation to end.
	cancelled func(c *cell)
	// backends is how many backends the service has; 1 if 0.
	backends int
	// keeps tells that deleted volumes are kept.
	keeps bool
	// options are further lines of the backend's section.
	options string
	// follows tells that the method follows that of the request, which succeeds whatever
	// becomes of it.
	follows bool
	// volumes and snapshots are how many more there are when it has succeeded.
	volumes, snapshots int
}

var methods = map[string]method{
	"create_volume": { // of a type that changes all that a type can
		first: "create", last: "create", volumes: 1,
		prepare: func(a *arena) ask {
			return a.asksForVolume(rpc.CreateVolumeRequest{Size: 1, VolumeType: a.kind(shared)})
		},
	},
	"create_volume_from_snapshot": {
		first: "clone", last: "clone", volumes: 1, check: (*cell).checkDepth,
		prepare: func(a *arena) ask {
			from := a.sourceSnapshot
			if a.depth == "1" {
				from = func() string { return a.createSnapshot(a.deepSource()).ID }
			}
			return a.asksForVolume(rpc.CreateVolumeRequest{SnapshotID: from(), Size: 2, VolumeType: a.kind(limited)})
		},
	},
	"create_cloned_volume": {
		first: "snapshot", last: "clone", volumes: 1, check: (*cell).checkDepth,
		prepare: func(a *arena) ask {
			from := a.source
			if a.depth == "1" {
				from = a.deepSource
			}
			return a.asksForVolume(rpc.CreateVolumeRequest{SourceVolID: from(), Size: 2, VolumeType: a.kind(limited)})
		},
	},
	"flatten_in_background": { // of the volume from a snapshot that it follows
		first: "flatten", last: "flatten", follows: true, volumes: 1, options: "rbd_flatten_volume_from_snapshot = true\n",
		check:   (*cell).checkFlattenLater,
		prepare: func(a *arena) ask { return a.asksForVolume(rpc.CreateVolumeRequest{SnapshotID: a.sourceSnapshot()}) },
	},
	"create_volume_from_image": {
		first: "import", last: "import", volumes: 1,
		check:   func(c *cell) { c.pool.written(c.t, c.volumeID()) },
		prepare: func(a *arena) ask { return a.asksForImage(a.image()) },
	},
	"cache_image": { // which the create begins, and waits for
		first: "import", last: "snapshot", volumes: 2, snapshots: 1, options: cacheOn,
		check:   func(c *cell) { c.pool.written(c.t, c.volumeID()) },
		prepare: func(a *arena) ask { return a.asksForImage(a.image()) },
	},
	"create_volume_from_cached_image": { // which is in the cache
		first: "lookup", last: "clone", volumes: 1, options: cacheOn + "image_volume_cache_max_size_gb = 1\n",
		check: func(c *cell) {
			c.pool.written(c.t, c.volumeID())
			if c.depth == "0" {
				c.flattened = append(c.flattened, c.volumeID())
			}
		},
		prepare: func(a *arena) ask {
			return a.asksForVolume(rpc.CreateVolumeRequest{Size: 2, Image: &rpc.ImageSource{URL: "file://" + a.cachedImage()}})
		},
	},
	"clone_image": { // of another pool
		first: "clone", last: "clone", volumes: 1,
		check: (*cell).checkDepth,
		prepare: func(a *arena) ask {
			return a.asksForVolume(rpc.CreateVolumeRequest{Size: 2, Image: &rpc.ImageSource{URL: a.clonedImage()}})
		},
	},
	"reimage": { // of a volume that holds something
		first: "import", last: "import",
		check:     func(c *cell) { c.pool.written(c.t, c.volumeID()) },
		cancelled: (*cell).reimaged,
		prepare: func(a *arena) ask {
			a.reimagedID = a.createVolume(rpc.CreateVolumeRequest{Size: 1, Image: &rpc.ImageSource{URL: "file://" + a.image()}}).ID
			return a.asksForReimage(a.image())
		},
	},
	"copy_volume_to_image": {
		first: "snapshot", last: "copy",
		check:     (*cell).copied,
		cancelled: (*cell).notCopied,
		prepare:   func(a *arena) ask { return a.asksForCopy("raw") },
	},
	"drop_clone_snapshot": { // the clone that it follows
		first: "wait", last: "remove", volumes: 1,
		prepare: func(a *arena) ask { return a.asksForVolume(rpc.CreateVolumeRequest{SourceVolID: a.source()}) },
	},
	"delete_volume": { // with a snapshot
		first: "trash", last: "trash", volumes: -1, snapshots: -1,
		prepare: func(a *arena) ask {
			v := a.createVolume(rpc.CreateVolumeRequest{Size: 1})
			a.createSnapshot(v.ID)
			return a.asksForDelete(v.ID)
		},
	},
	"undelete_volume": { // with a snapshot
		first: "supersede", last: "restore", volumes: 1, snapshots: 1, keeps: true,
		check: func(c *cell) { c.pool.written(c.t, c.volumeID()) },
		prepare: func(a *arena) ask {
			v := a.createVolume(rpc.CreateVolumeRequest{Size: 1})
			a.pool.write(a.t, v.ID)
			a.createSnapshot(v.ID)
			op, err := a.asksForDelete(v.ID)(wait)
			a.succeeded("delete_volume", op, err)
			return func(o rpc.CallOptions) (*volume.Operation, error) {
				reply, err := a.client.UndeleteVolume(a.group.Context(), a.backend(0), rpc.UndeleteVolumeRequest{VolumeID: v.ID}, o)
				return reply.Operation, err
			}
		},
	},
	"purge_volume": { // the delete that it follows
		first: "purge", last: "purge", volumes: -1,
		prepare: func(a *arena) ask {
			// One of that size is emptied before it is removed.
			v := a.createVolume(rpc.CreateVolumeRequest{Size: 4})
			if a.format == 1 { // whose clone has left a snapshot behind
				a.deleteVolume(a.createVolume(rpc.CreateVolumeRequest{SourceVolID: v.ID}).ID)
				a.quiet()
			}
			return a.asksForDelete(v.ID)
		},
	},
	"extend_volume": {
		first: "extend", last: "extend",
		check: func(c *cell) {
			if n := c.ints("SELECT size FROM volumes WHERE id = (SELECT resource_id FROM operations WHERE request_id = $1)", c.requestID); n[0] != 2 {
				c.t.Errorf("the extended volume has %d GiB", n[0])
			}
		},
		prepare: func(a *arena) ask {
			req := rpc.ExtendVolumeRequest{VolumeID: a.createVolume(rpc.CreateVolumeRequest{Size: 1, VolumeType: a.kind(limited)}).ID, NewSize: 2}
			return func(o rpc.CallOptions) (*volume.Operation, error) {
				reply, err := a.client.ExtendVolume(a.group.Context(), a.backend(0), req, o)
				return reply.Operation, err
			}
		},
	},
	"flatten_volume": {
		first: "flatten", last: "flatten",
		check: func(c *cell) {
			if parent := c.pool.inspect(c.t, c.flattened[len(c.flattened)-1]).parent; parent != "" {
				c.t.Errorf("the flattened volume is still a clone of %s", parent)
			}
		},
		prepare: func(a *arena) ask {
			req := rpc.FlattenVolumeRequest{VolumeID: a.createVolume(rpc.CreateVolumeRequest{SourceVolID: a.source()}).ID}
			a.flattened = append(a.flattened, req.VolumeID)
			return func(o rpc.CallOptions) (*volume.Operation, error) {
				reply, err := a.client.FlattenVolume(a.group.Context(), a.backend(0), req, o)
				return reply.Operation, err
			}
		},
	},
	"revert_to_snapshot": { // with a snapshot that is newer, to a smaller size
		first: "rollback", last: "rollback",
		check: func(c *cell) { c.pool.written(c.t, c.volumeID()) },
		prepare: func(a *arena) ask {
			v := a.createVolume(rpc.CreateVolumeRequest{SourceVolID: a.source()})
			a.pool.write(a.t, v.ID)
			s := a.createSnapshot(v.ID)
			a.pool.overwrite(a.t, v.ID)
			reply, err := a.client.ExtendVolume(a.t.Context(), a.backend(0), rpc.ExtendVolumeRequest{VolumeID: v.ID, NewSize: 2}, wait)
			a.succeeded("extend_volume", reply.Operation, err)
			a.createSnapshot(v.ID)
			return func(o rpc.CallOptions) (*volume.Operation, error) {
				reply, err := a.client.RevertToSnapshot(a.group.Context(), a.backend(0), rpc.RevertToSnapshotRequest{VolumeID: v.ID, SnapshotID: s.ID}, o)
				return reply.Operation, err
			}
		},
	},
	"update_volume": { // which has no steps
		first: "accept", last: "accept",
		check: func(c *cell) { c.checkLabels("volumes") },
		prepare: func(a *arena) ask {
			id, name, value := a.createVolume(rpc.CreateVolumeRequest{Size: 1}).ID, "labelled", "v"
			req := rpc.UpdateVolumeRequest{VolumeID: id, Labels: rpc.Labels{Name: &name, Metadata: map[string]*string{"k": &value, "gone": nil}}}
			return func(o rpc.CallOptions) (*volume.Operation, error) {
				reply, err := a.client.UpdateVolume(a.group.Context(), a.backend(0), req, o)
				return reply.Operation, err
			}
		},
	},
	"update_snapshot": {
		first: "accept", last: "accept",
		check: func(c *cell) { c.checkLabels("snapshots") },
		prepare: func(a *arena) ask {
			id, name, value := a.createSnapshot(a.source()).ID, "labelled", "v"
			req := rpc.UpdateSnapshotRequest{SnapshotID: id, Labels: rpc.Labels{Name: &name, Metadata: map[string]*string{"k": &value, "gone": nil}}}
			return func(o rpc.CallOptions) (*volume.Operation, error) {
				reply, err := a.client.UpdateSnapshot(a.group.Context(), a.backend(0), req, o)
				return reply.Operation, err
			}
		},
	},
	"retype": { // changes everything that a type can change
		first: "configure", last: "configure", // a volume that becomes shared has no maps to rebuild
		check:   (*cell).checkMaps,
		prepare: func(a *arena) ask { return a.asksToRetype(limited, shared) },
	},
	"migrate_volume": { // with a snapshot
		first: "reserve", last: "trash", backends: 2,
		check: func(c *cell) {
			c.pools[1].written(c.t, c.volumeID())
			if n := c.ints("SELECT count(*) FROM volumes WHERE migration_status = 'source:' || $1", c.volumeID()); n[0] != 1 {
				c.t.Errorf("%d records of the image that was left behind", n[0])
			}
		},
		prepare: func(a *arena) ask {
			v := a.createVolume(rpc.CreateVolumeRequest{Size: 2, VolumeType: a.kind(limited)})
			a.pool.write(a.t, v.ID)
			a.createSnapshot(v.ID)
			req := rpc.MigrateVolumeRequest{VolumeID: v.ID, Host: a.backend(1), Verify: true}
			return func(o rpc.CallOptions) (*volume.Operation, error) {
				reply, err := a.client.MigrateVolume(a.group.Context(), a.backend(0), req, o)
				return reply.Operation, err
			}
		},
	},
	"create_volume_type": {
		check: func(c *cell) { c.checkType("asked for") },
		prepare: func(a *arena) ask {
			req := rpc.CreateTypeRequest{Name: uuid.NewString(), Description: "asked for"}
			return func(o rpc.CallOptions) (*volume.Operation, error) {
				reply, err := a.client.CreateType(a.group.Context(), req, o)
				return reply.Operation, err
			}
		},
	},
	"update_volume_type": {
		check: func(c *cell) { c.checkType("changed") },
		prepare: func(a *arena) ask {
			description := "changed"
			req := rpc.UpdateTypeRequest{VolumeType: a.newKind(nil), Description: &description}
			return func(o rpc.CallOptions) (*volume.Operation, error) {
				reply, err := a.client.UpdateType(a.group.Context(), req, o)
				return reply.Operation, err
			}
		},
	},
	"delete_volume_type": {
		check: func(c *cell) { c.checkType() },
		prepare: func(a *arena) ask {
			req := rpc.TypeRequest{VolumeType: a.newKind(nil)}
			return func(o rpc.CallOptions) (*volume.Operation, error) {
				reply, err := a.client.DeleteType(a.group.Context(), req, o)
				return reply.Operation, err
			}
		},
	},
	"create_snapshot": {
		first: "snapshot", last: "snapshot", snapshots: 1,
		prepare: func(a *arena) ask {
			req := rpc.CreateSnapshotRequest{VolumeID: a.source()}
			return func(o rpc.CallOptions) (*volume.Operation, error) {
				reply, err := a.client.CreateSnapshot(a.group.Context(), a.backend(0), req, o)
				return reply.Operation, err
			}
		},
	},
	"delete_snapshot": {
		first: "remove", last: "remove", snapshots: -1,
		prepare: func(a *arena) ask {
			req := rpc.DeleteSnapshotRequest{SnapshotID: a.createSnapshot(a.source()).ID}
			return func(o rpc.CallOptions) (*volume.Operation, error) {
				reply, err := a.client.DeleteSnapshot(a.group.Context(), a.backend(0), req, o)
				return reply.Operation, err
			}
		},
	},
	"manage_existing": {
		first: "inspect", last: "configure", volumes: 1,
		cancelled: func(c *cell) { c.must(rbd.RemoveImage(c.pool.io, theirs)) },
		prepare: func(a *arena) ask {
			a.pool.create(a.t, theirs, 3<<29)
			a.pool.changeImage(a.t, theirs, func(img *rbd.Image) error { // which the type takes away
				return img.SetMetadata("conf_rbd_qos_bps_limit", "1000000000")
			})
			return a.asksToManage(rpc.ManageExistingRequest{SourceName: theirs, VolumeType: a.kind(shared)})
		},
	},
	"manage_deleted_volume": { // and the purge that follows it
		first: "inspect", last: "trash",
		cancelled: func(c *cell) { c.must(rbd.RemoveImage(c.pool.io, c.silent)) },
		prepare: func(a *arena) ask {
			a.silent = "volume-" + uuid.NewString() + ".deleted"
			a.pool.create(a.t, a.silent, volume.GiB)
			return a.asksToManage(rpc.ManageExistingRequest{SourceName: a.silent, AsDeleted: true})
		},
	},
	"manage_existing_snapshot": {
		first: "inspect", last: "rename", snapshots: 1,
		cancelled: func(c *cell) {
			c.pool.change(c.t, c.sourceID, func(img *rbd.Image) error { return img.GetSnapshot(theirs).Remove() })
		},
		prepare: func(a *arena) ask {
			req := rpc.ManageExistingSnapshotRequest{VolumeID: a.source(), SourceName: theirs}
			a.pool.change(a.t, req.VolumeID, func(img *rbd.Image) error {
				_, err := img.CreateSnapshot(theirs)
				return err
			})
			return func(o rpc.CallOptions) (*volume.Operation, error) {
				reply, err := a.client.ManageExistingSnapshot(a.group.Context(), a.backend(0), req, o)
				return reply.Operation, err
			}
		},
	},
	"unmanage_volume": {
		volumes: -1,
		check:   func(c *cell) { c.must(rbd.RemoveImage(c.pool.io, "volume-"+c.volumeID())) },
		prepare: func(a *arena) ask {
			req := rpc.DeleteVolumeRequest{VolumeID: a.createVolume(rpc.CreateVolumeRequest{Size: 1}).ID, UnmanageOnly: true}
			return func(o rpc.CallOptions) (*volume.Operation, error) {
				reply, err := a.client.DeleteVolume(a.group.Context(), a.backend(0), req, o)
				return reply.Operation, err
			}
		},
	},
	"unmanage_snapshot": {
		snapshots: -1,
		check: func(c *cell) {
			name := "snapshot-" + c.volumeID()
			c.pool.change(c.t, c.sourceID, func(img *rbd.Image) error { return img.GetSnapshot(name).Remove() })
		},
		prepare: func(a *arena) ask {
			req := rpc.DeleteSnapshotRequest{SnapshotID: a.createSnapshot(a.source()).ID, UnmanageOnly: true}
			return func(o rpc.CallOptions) (*volume.Operation, error) {
				reply, err := a.client.DeleteSnapshot(a.group.Context(), a.backend(0), req, o)
				return reply.Operation, err
			}
		},
	},
	"audit_backend": {
		first: "compare", last: "compare",
		prepare: func(a *arena) ask {
			return func(o rpc.CallOptions) (*volume.Operation, error) {
				reply, err := a.client.AuditBackend(a.group.Context(), a.backend(0), rpc.AuditBackendRequest{Deep: true}, o)
				return reply.Operation, err
			}
		},
	},
	"apply_repairs": { // of a snapshot that nobody knows of
		first: "claim", last: "repair",
		cancelled: func(c *cell) { c.pool.unstray(c.t, c.sourceID) },
		check:     (*cell).checkRepaired,
		prepare: func(a *arena) ask {
			a.pool.stray(a.t, a.source())
			return a.asksForRepairs()
		},
	},
	"wait_operation": { // which changes nothing, but answers for what does
		prepare: func(a *arena) ask {
			op, err := a.asksForVolume(rpc.CreateVolumeRequest{Size: 1})(wait)
			a.succeeded("create_volume", op, err)
			return func(o rpc.CallOptions) (*volume.Operation, error) {
				reply, err := a.client.WaitOperation(a.group.Context(), a.backend(0), rpc.OperationRequest{OperationID: op.ID}, o)
				return &reply.Operation, err
			}
		},
	},
}

func (a *arena) asksForVolume(req rpc.CreateVolumeRequest) ask {
	return func(o rpc.CallOptions) (*volume.Operation, error) {
		reply, err := a.client.CreateVolume(a.group.Context(), a.backend(0), req, o)
		return reply.Operation, err
	}
}

// theirs is what others call an image, or a snapshot, of theirs.
const theirs = "theirs"

func (a *arena) asksToManage(req rpc.ManageExistingRequest) ask {
	return func(o rpc.CallOptions) (*volume.Operation, error) {
		reply, err := a.client.ManageExisting(a.group.Context(), a.backend(0), req, o)
		return reply.Operation, err
	}
}

func (a *arena) asksForDelete(id string) ask {
	a.doomed = id
	return func(o rpc.CallOptions) (*volume.Operation, error) {
		reply, err := a.client.DeleteVolume(a.group.Context(), a.backend(0), rpc.DeleteVolumeRequest{VolumeID: id, Cascade: true}, o)
		return reply.Operation, err
	}
}

// checkLabels sees that the labels are in the row.
func (c *cell) checkLabels(table string) {
	c.t.Helper()
	if got := c.strings("SELECT display_name || ' ' || metadata FROM "+table+" WHERE id = $1", c.volumeID()); got[0] != `labelled {"k":"v"}` {
		c.t.Errorf("the labels are %s", got[0])
	}
}

// checkFlattenLater sees that the volume is no clone any more; or one still, that can be
// used, if its flatten was cancelled.
func (c *cell) checkFlattenLater() {
	c.t.Helper()
	id := c.volumeID()
	status := c.strings("SELECT status FROM operations WHERE method = 'flatten_in_background' AND resource_id = $1", id)
	if len(status) != 1 || status[0] != string(volume.Succeeded) && (status[0] != string(volume.Cancelled) || !c.way.cancel && !c.way.ask) {
		c.t.Errorf("flattens: %v", status)
		return
	}
	c.flattened = append(c.flattened, id)
	if parent := c.pool.inspect(c.t, id).parent; parent != "" && status[0] == string(volume.Succeeded) {
		c.t.Errorf("the volume is still a clone of %s", parent)
	}
	c.pool.written(c.t, id)
}

// deepSource returns a clone of the source, of which clones are too deep where one level
// is allowed.
func (a *arena) deepSource() string {
	id := a.createVolume(rpc.CreateVolumeRequest{SourceVolID: a.source(), VolumeType: a.kind(inherited)}).ID
	a.flattened = append(a.flattened, id)
	return id
}

// checkDepth sees that the clone depends on no more than it may, and has the data.
func (c *cell) checkDepth() {
	c.t.Helper()
	c.pool.written(c.t, c.volumeID())
	if c.depth == "0" {
		c.flattened = append(c.flattened, c.volumeID())
	}
	if c.depth == "" {
		return
	}
	if depth := fmt.Sprint(c.pool.depth(c.t, c.volumeID())); depth != c.depth {
		c.t.Errorf("the clone depends on %s images", depth)
	}
}

// source returns a volume with data, from which others are made.
func (a *arena) source() string {
	if a.sourceID == "" {
		a.sourceID = a.createVolume(rpc.CreateVolumeRequest{Size: 1, VolumeType: a.kind(inherited)}).ID
		a.pool.write(a.t, a.sourceID)
	}
	return a.sourceID
}

// sourceSnapshot returns a new snapshot of the source.
func (a *arena) sourceSnapshot() string {
	a.snapshotID = a.createSnapshot(a.source()).ID
	return a.snapshotID
}

// Every method that starts an operation, or has a point, must be in the table.
func TestMatrixKnowsEveryMethod(t *testing.T) {
	for _, m := range rpc.Methods() {
		if m.Operates && methods[m.Name].prepare == nil {
			t.Errorf("the matrix does not know how to run %s", m.Name)
		}
	}
	for _, p := range listedPoints(t, matrixBinary(t)) {
		if name := p.method(); name != "service" && methods[name].prepare == nil {
			t.Errorf("the matrix does not know how to run %s, which has the point %s", name, p)
		}
	}
}
