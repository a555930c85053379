package worker_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// crashes are the operations that are killed at every moment of theirs.
var crashes = map[string]struct {
	// prepare makes what the operation needs.
	prepare func(s *site) volume.Volume
	// act sends the request; it is repeated as it is until it is answered.
	act func(s *site, v volume.Volume, o rpc.CallOptions) error
	// aside, if there is one, takes away what is left to others.
	aside func(s *site, v volume.Volume)
	// check, if there is one, looks at what has become of it.
	check func(s *site, v volume.Volume)
	// images and trash are what the storage holds in the end.
	images, trash int
	keep          time.Duration // how long deleted volumes are kept
}{
	"create_volume": {
		prepare: func(*site) volume.Volume { return volume.Volume{} },
		act: func(s *site, _ volume.Volume, o rpc.CallOptions) error {
			_, err := s.CreateVolume(s.Context(), s.host, rpc.CreateVolumeRequest{Size: 3}, o)
			return err
		},
		images: 1,
	},
	"create_volume_from_snapshot": {
		prepare: func(s *site) volume.Volume { v := s.create(rpc.CreateVolumeRequest{Size: 1}); s.snapshot(v); return v },
		act: func(s *site, v volume.Volume, o rpc.CallOptions) error {
			_, err := s.CreateVolume(s.Context(), s.host, rpc.CreateVolumeRequest{SnapshotID: s.onlySnapshot(v), Size: 2}, o)
			return err
		},
		images: 2,
	},
	"create_cloned_volume": {
		prepare: func(s *site) volume.Volume { return s.create(rpc.CreateVolumeRequest{Size: 1}) },
		act: func(s *site, v volume.Volume, o rpc.CallOptions) error {
			_, err := s.CreateVolume(s.Context(), s.host, rpc.CreateVolumeRequest{SourceVolID: v.ID}, o)
			return err
		},
		images: 2,
	},
	"clones_at_once": {
		prepare: func(s *site) volume.Volume { return s.create(rpc.CreateVolumeRequest{Size: 1}) },
		act: func(s *site, v volume.Volume, o rpc.CallOptions) error {
			errs := make(chan error)
			for i := range 3 {
				one := o
				one.RequestID = fmt.Sprint(o.RequestID, "-", i)
				go func() {
					_, err := s.CreateVolume(s.Context(), s.host, rpc.CreateVolumeRequest{SourceVolID: v.ID}, one)
					errs <- err
				}()
			}
			return errors.Join(<-errs, <-errs, <-errs)
		},
		images: 4,
	},
	"delete_volume": {
		prepare: func(s *site) volume.Volume { return s.create(rpc.CreateVolumeRequest{Size: 1}) },
		act: func(s *site, v volume.Volume, o rpc.CallOptions) error {
			_, err := s.DeleteVolume(s.Context(), s.host, rpc.DeleteVolumeRequest{VolumeID: v.ID}, o)
			return err
		},
	},
	"delete_of_a_source": {
		prepare: func(s *site) volume.Volume { v := s.create(rpc.CreateVolumeRequest{Size: 1}); s.clone(v); return v },
		act: func(s *site, v volume.Volume, o rpc.CallOptions) error {
			_, err := s.DeleteVolume(s.Context(), s.host, rpc.DeleteVolumeRequest{VolumeID: v.ID}, o)
			return err
		},
		images: 1, trash: 1,
	},
	"delete_with_snapshots": {
		prepare: func(s *site) volume.Volume { v := s.create(rpc.CreateVolumeRequest{Size: 1}); s.snapshot(v); return v },
		act: func(s *site, v volume.Volume, o rpc.CallOptions) error {
			_, err := s.DeleteVolume(s.Context(), s.host, rpc.DeleteVolumeRequest{VolumeID: v.ID, Cascade: true}, o)
			return err
		},
		check: func(s *site, v volume.Volume) { s.wantSnapshot(s.onlySnapshot(v), volume.Deleted) },
	},
	"undelete_volume": {
		keep: time.Hour,
		prepare: func(s *site) volume.Volume {
			v := s.create(rpc.CreateVolumeRequest{Size: 1})
			s.snapshot(v)
			s.removeAll(v)
			return v
		},
		act: func(s *site, v volume.Volume, o rpc.CallOptions) error {
			_, err := s.UndeleteVolume(s.Context(), s.host, rpc.UndeleteVolumeRequest{VolumeID: v.ID}, o)
			return err
		},
		check: func(s *site, v volume.Volume) {
			s.wantSnapshot(s.onlySnapshot(v), volume.Available)
			if id, want := s.imageID(v), s.record(v.ID).ImageID; id != want {
				s.Errorf("the image is %q, not %q", id, want)
			}
		},
		images: 1,
	},
	"extend_volume": {
		prepare: func(s *site) volume.Volume { return s.create(rpc.CreateVolumeRequest{Size: 1}) },
		act: func(s *site, v volume.Volume, o rpc.CallOptions) error {
			_, err := s.ExtendVolume(s.Context(), s.host, rpc.ExtendVolumeRequest{VolumeID: v.ID, NewSize: 5}, o)
			return err
		},
		images: 1,
	},
	"flatten_volume": {
		prepare: func(s *site) volume.Volume { return s.clone(s.create(rpc.CreateVolumeRequest{Size: 1})) },
		act: func(s *site, v volume.Volume, o rpc.CallOptions) error {
			_, err := s.FlattenVolume(s.Context(), s.host, rpc.FlattenVolumeRequest{VolumeID: v.ID}, o)
			return err
		},
		check: func(s *site, v volume.Volume) {
			if s.world.Parent(image(v)) != "" {
				s.Errorf("%s still has a parent", v.ID)
			}
		},
		images: 2,
	},
	"revert_to_snapshot": {
		prepare: func(s *site) volume.Volume {
			v := s.create(rpc.CreateVolumeRequest{Size: 1})
			s.snapshot(v)
			return must[rpc.VolumeReply](s)(s.ExtendVolume(s.Context(), s.host, rpc.ExtendVolumeRequest{VolumeID: v.ID, NewSize: 2}, wait())).Volume
		},
		act: func(s *site, v volume.Volume, o rpc.CallOptions) error {
			_, err := s.RevertToSnapshot(s.Context(), s.host, rpc.RevertToSnapshotRequest{VolumeID: v.ID, SnapshotID: s.onlySnapshot(v)}, o)
			return err
		},
		check: func(s *site, v volume.Volume) {
			s.wantSnapshot(s.onlySnapshot(v), volume.Available)
			if got := s.status(v.ID); got != volume.Available || s.world.Size(image(v)) != 2 {
				s.Errorf("the volume is %s, its image has %d GiB", got, s.world.Size(image(v)))
			}
		},
		images: 1,
	},
	"update_volume": {
		prepare: func(s *site) volume.Volume { return s.create(rpc.CreateVolumeRequest{Size: 1, Name: "old"}) },
		act: func(s *site, v volume.Volume, o rpc.CallOptions) error {
			_, err := s.UpdateVolume(s.Context(), s.host, rpc.UpdateVolumeRequest{VolumeID: v.ID, Labels: labels("new", "k", "v")}, o)
			return err
		},
		check: func(s *site, v volume.Volume) {
			if row := s.record(v.ID); row.Name != "new" || row.Metadata["k"] != "v" {
				s.Errorf("the labels are %q, %v", row.Name, row.Metadata)
			}
		},
		images: 1,
	},
	"manage_existing": {
		prepare: func(s *site) volume.Volume { s.world.Add("theirs", 1); return volume.Volume{} },
		act: func(s *site, _ volume.Volume, o rpc.CallOptions) error {
			_, err := s.crashing().ManageExisting(s.Context(), s.host, rpc.ManageExistingRequest{SourceName: "theirs", ProjectID: "p1"}, o)
			return err
		},
		images: 1,
	},
	"manage_deleted": {
		prepare: func(s *site) volume.Volume { s.world.Add(silent(idFor(s.host)), 1); return volume.Volume{} },
		act: func(s *site, _ volume.Volume, o rpc.CallOptions) error {
			r := rpc.ManageExistingRequest{SourceName: silent(idFor(s.host)), AsDeleted: true}
			_, err := s.crashing().ManageExisting(s.Context(), s.host, r, o)
			return err
		},
	},
	"manage_existing_snapshot": {
		prepare: func(s *site) volume.Volume {
			v := s.create(rpc.CreateVolumeRequest{Size: 1})
			s.did(s.world.AddSnapshot(image(v), "theirs", false))
			return v
		},
		act: func(s *site, v volume.Volume, o rpc.CallOptions) error {
			r := rpc.ManageExistingSnapshotRequest{VolumeID: v.ID, SourceName: "theirs"}
			_, err := s.crashing().ManageExistingSnapshot(s.Context(), s.host, r, o)
			return err
		},
		check: func(s *site, v volume.Volume) {
			if names := s.world.Snapshots(image(v)); len(names) != 1 || names[0] == "theirs" {
				s.Errorf("snapshots %v", names)
			}
		},
		images: 1,
	},
	"unmanage_volume": {
		prepare: func(s *site) volume.Volume { v := s.create(rpc.CreateVolumeRequest{Size: 1}); s.snapshot(v); return v },
		act: func(s *site, v volume.Volume, o rpc.CallOptions) error {
			r := rpc.DeleteVolumeRequest{VolumeID: v.ID, UnmanageOnly: true, Cascade: true}
			_, err := s.crashing().DeleteVolume(s.Context(), s.host, r, o)
			return err
		},
		aside: func(s *site, v volume.Volume) {
			if names := s.world.Snapshots(image(v)); len(names) != 1 {
				s.Errorf("of the snapshots %v are left", names)
			}
			s.did(s.world.Remove(image(v)))
		},
		check: func(s *site, v volume.Volume) {
			if row := s.record(v.ID); row.Status != volume.Deleted || row.ImageID != "" {
				s.Errorf("the volume is %s, with the image %q", row.Status, row.ImageID)
			}
			s.wantSnapshot(s.onlySnapshot(v), volume.Deleted)
		},
	},
	"unmanage_snapshot": {
		prepare: func(s *site) volume.Volume { v := s.create(rpc.CreateVolumeRequest{Size: 1}); s.snapshot(v); return v },
		act: func(s *site, v volume.Volume, o rpc.CallOptions) error {
			r := rpc.DeleteSnapshotRequest{SnapshotID: s.onlySnapshot(v), UnmanageOnly: true}
			_, err := s.crashing().DeleteSnapshot(s.Context(), s.host, r, o)
			return err
		},
		aside: func(s *site, v volume.Volume) {
			s.did(s.world.RemoveSnapshot(image(v), "snapshot-"+s.onlySnapshot(v)))
		},
		check:  func(s *site, v volume.Volume) { s.wantSnapshot(s.onlySnapshot(v), volume.Deleted) },
		images: 1,
	},
	"retype": {
		prepare: func(s *site) volume.Volume {
			s.makeType(s.host, nil)
			return s.create(rpc.CreateVolumeRequest{Size: 1})
		},
		act: func(s *site, v volume.Volume, o rpc.CallOptions) error {
			_, err := s.Retype(s.Context(), s.host, rpc.RetypeRequest{VolumeID: v.ID, NewType: s.host}, o)
			return err
		},
		check: func(s *site, v volume.Volume) {
			if row := s.record(v.ID); row.VolumeTypeID == "" || row.Status != volume.Available {
				s.Errorf("the volume is %s, of the type %q", row.Status, row.VolumeTypeID)
			}
		},
		images: 1,
	},
	"update_snapshot": {
		prepare: func(s *site) volume.Volume { v := s.create(rpc.CreateVolumeRequest{Size: 1}); s.snapshot(v); return v },
		act: func(s *site, v volume.Volume, o rpc.CallOptions) error {
			_, err := s.UpdateSnapshot(s.Context(), s.host, rpc.UpdateSnapshotRequest{SnapshotID: s.onlySnapshot(v), Labels: labels("new", "k", "v")}, o)
			return err
		},
		check: func(s *site, v volume.Volume) {
			row, err := s.db.SnapshotRecord(s.Context(), s.onlySnapshot(v))
			if err != nil || row.Name != "new" || row.Metadata["k"] != "v" {
				s.Errorf("the labels are %q, %v, %v", row.Name, row.Metadata, err)
			}
		},
		images: 1,
	},
	"create_snapshot": {
		prepare: func(s *site) volume.Volume { return s.create(rpc.CreateVolumeRequest{Size: 1}) },
		act: func(s *site, v volume.Volume, o rpc.CallOptions) error {
			_, err := s.CreateSnapshot(s.Context(), s.host, rpc.CreateSnapshotRequest{VolumeID: v.ID}, o)
			return err
		},
		images: 1,
	},
	"delete_snapshot": {
		prepare: func(s *site) volume.Volume { v := s.create(rpc.CreateVolumeRequest{Size: 1}); s.snapshot(v); return v },
		act: func(s *site, v volume.Volume, o rpc.CallOptions) error {
			_, err := s.DeleteSnapshot(s.Context(), s.host, rpc.DeleteSnapshotRequest{SnapshotID: s.onlySnapshot(v)}, o)
			return err
		},
		images: 1,
	},
}

// killedElsewhere are the methods that are not among them, and where they are killed.
var killedElsewhere = map[string]string{
	"purge_volume":                    "follows delete_volume",
	"drop_clone_snapshot":             "follows create_cloned_volume",
	"flatten_in_background":           "follows what is made from a snapshot: e2e.TestMatrix",
	"manage_deleted_volume":           "manage_deleted",
	"create_volume_from_image":        "takes what images need: e2e.TestMatrix",
	"create_volume_from_cached_image": "takes what images need: e2e.TestMatrix",
	"cache_image":                     "takes what images need: e2e.TestMatrix",
	"clone_image":                     "takes another pool: e2e.TestMatrix",
	"reimage":                         "takes what images need: e2e.TestMatrix",
	"copy_volume_to_image":            "takes what images need: e2e.TestMatrix",
	"migrate_volume":                  "takes a second service: e2e.TestMatrix",
	"audit_backend":                   "takes a driver that lists: e2e.TestMatrix",
	"apply_repairs":                   "takes a driver that lists: e2e.TestMatrix",
}

// Every method that a worker knows is killed: here at every moment, and at every one of
// its crash points in e2e.TestMatrix, which goes by their list.
func TestEveryMethodIsKilled(t *testing.T) {
	p := newSite(t).start()
	listed, err := os.ReadFile("../internal/crashpoint/points.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, method := range p.worker.Vitals().Methods {
		if _, here := crashes[method]; here == (killedElsewhere[method] != "") {
			t.Errorf("%s must be among those that are killed, or be said to be elsewhere", method)
		}
		if !strings.Contains(string(listed), method+"/finish/before\n") {
			t.Errorf("%s has no crash points in the list that the matrix goes by", method)
		}
	}
}

// crashing returns a client of an operator of a service that dies.
func (s *site) crashing() *rpc.Client { return s.client(rpc.Options{Timeout: time.Second}) }

// onlySnapshot returns the id of the snapshot that the volume has or had.
func (s *site) onlySnapshot(v volume.Volume) (id string) {
	for _, op := range s.operations(volume.OperationFilter{Method: rpc.MethodCreateSnapshot}) {
		if snap, err := s.db.SnapshotRecord(s.Context(), op.Resource.ID); err == nil && snap.VolumeID == v.ID {
			id = snap.ID
		}
	}
	return id
}

// A process is killed between any two changes that it makes for a request.
// Its successor brings the request to its end, and everything is there once.
func TestKilledAtEveryMoment(t *testing.T) {
	for name, c := range crashes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.Client = s.client(rpc.Options{Project: "p1", Timeout: time.Second}) // the dead do not answer
			for n, died := 0, true; died && !t.Failed(); n++ {
				s.renew()
				s.keep, s.adopts = c.keep, true
				process := s.prepare()
				process.cfg.Live.DrainTimeout = 200 * time.Millisecond // the dead do not wait for the database
				process.start()
				v := c.prepare(s)
				s.settle()
				fuse := process.fuse
				fuse.arm(n)
				answered := make(chan error, 1)
				go func() {
					o := rpc.CallOptions{RequestID: fmt.Sprintf("%s-%d", name, n), Wait: time.Second}
					answered <- s.persist(func() error { return c.act(s, v, o) })
				}()
				alive := s.survive(process, answered)
				if c.trash == 0 {
					s.until("the purges end", func() bool { return len(s.operations(volume.OperationFilter{Unfinished: true})) == 0 })
				}
				if c.aside != nil {
					s.settle()
					c.aside(s, v)
				}
				s.audit()
				if got, want := []int{len(s.world.Images()), len(s.world.Trash())}, []int{c.images, c.trash}; !cmp.Equal(got, want) {
					t.Errorf("images and trash: %v, want %v", got, want)
				}
				if c.check != nil {
					c.check(s, v)
				}
				s.onlySuccesses()
				if t.Failed() {
					t.Errorf("killed at moment %d: %s", n, fuse.where)
				}
				err := alive.end()
				if died = fuse.blown(); err != nil && (!died || alive != process) {
					t.Error(err)
				}
			}
		})
	}
}

// survive waits until the request is answered and its work is done, and lets a
// successor take over if the process dies before. It returns who is alive then.
func (s *site) survive(first *process, answered <-chan error) (alive *process) {
	s.Helper()
	var err error
	select {
	case err = <-answered:
		answered = nil
		s.until("it dies or is done", func() bool { return first.fuse.blown() || s.settled() })
	case <-first.fuse.blew:
	}
	alive = first
	if first.fuse.blown() {
		_ = first.end() // it is dead: what it says does not count
		alive = s.start()
	}
	if answered != nil {
		err = receive(s, "the answer", answered)
	}
	if err != nil {
		s.Errorf("the request failed: %v", err)
	}
	return alive
}

// persist repeats a request while it is answered by Unavailable, as callers do.
func (s *site) persist(request func() error) (err error) {
	s.until("an answer", func() bool {
		err = request()
		return fault.KindOf(err) != fault.Unavailable
	})
	return err
}

// onlySuccesses checks that every operation of the service has succeeded, once; or
// that it was a purge in whose place something else has.
func (s *site) onlySuccesses() {
	s.Helper()
	for _, op := range s.operations(volume.OperationFilter{}) {
		events, _, err := s.db.Events(s.Context(), volume.EventFilter{OperationID: op.ID})
		if err != nil {
			s.Fatal(err)
		}
		ended := op.Status.Terminal()
		superseded := op.Method == "purge_volume" && op.Status == volume.Cancelled
		if ended && (op.Status != volume.Succeeded && !superseded || len(events) != 1) || !ended && len(events) != 0 {
			s.Errorf("%s is %s with %d events: %+v", op.Method, op.Status, len(events), op.Error)
		}
	}
}
