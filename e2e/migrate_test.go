package e2e

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ceph/go-ceph/rbd"
	"github.com/google/go-cmp/cmp"

	"github.com/volumed/volumed/internal/testenv"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// apart is a service whose first backend is on the cluster that all tests share, and
// whose second one is on a cluster of its own.
type apart struct {
	*faulty
	there    *testenv.CephEnv
	from, to *pool
}

func newApart(t *testing.T) *apart {
	t.Helper()
	here, there := testenv.Ceph(t), testenv.OwnCeph(t)
	s := newService(t, options{
		pools: []string{here.NewPool(t), "volumes"}, defaults: "report_interval = 1\nservice_down_time = 10\n",
		sections: "[launcher]\nrestart_burst = 100\n",
	})
	s.onCluster(1, there)
	s.ceph = here
	a := &apart{faulty: &faulty{service: s}, there: there, from: openPool(t, here, s.pools[0]), to: openPool(t, there, "volumes")}
	s.start()
	s.ready()
	a.pid = s.worker(0)
	return a
}

// filled returns a volume of 1 GiB with two snapshots, each with other data, and holes.
func (a *apart) filled() (v volume.Volume, snapshots []volume.Snapshot) {
	a.t.Helper()
	v = a.createVolume(rpc.CreateVolumeRequest{Size: 1})
	random := rand.NewChaCha8([32]byte{7})
	for n := range 3 {
		a.from.change(a.t, v.ID, func(img *rbd.Image) error { return scatter(img, random) })
		if n < 2 {
			snapshots = append(snapshots, a.createSnapshot(v.ID))
		}
	}
	return v, snapshots
}

// scatter writes data and zeros all over an image of 1 GiB, and discards some.
func scatter(img *rbd.Image, source *rand.ChaCha8) error {
	const object = 4 << 20
	data, random := make([]byte, object), rand.New(source)
	for range 40 {
		_, err := source.Read(data)
		if err == nil {
			_, err = img.WriteAt(data, random.Int64N(1<<30-object)&^511)
		}
		at := random.Int64N(1<<30/object-8) * object
		if err == nil {
			_, err = img.Discard(uint64(at), 2*object)
		}
		if err == nil {
			_, err = img.WriteAt(make([]byte, object/4), at+4*object)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sums returns a checksum of the whole volume, at each of its snapshots and now.
func (p *pool) sums(t *testing.T, volumeID string) map[string]string {
	t.Helper()
	sums := map[string]string{}
	for _, name := range append(p.inspect(t, volumeID).snapshots, rbd.NoSnapshot) {
		img, err := rbd.OpenImageReadOnly(p.io, "volume-"+volumeID, name)
		if err != nil {
			t.Fatalf("open %s@%s: %v", volumeID, name, err)
		}
		size, err := img.GetSize()
		hash := sha256.New()
		if err == nil {
			_, err = io.CopyBuffer(hash, io.NewSectionReader(img, 0, int64(size)), make([]byte, 8<<20))
		}
		if err := errors.Join(err, img.Close()); err != nil {
			t.Fatalf("read %s@%s: %v", volumeID, name, err)
		}
		sums[name] = fmt.Sprintf("%d bytes %x", size, hash.Sum(nil))
	}
	return sums
}

// stored returns how many objects hold the data of an image.
func (p *pool) stored(t *testing.T, imageID string) int {
	t.Helper()
	return len(p.objects(t, "rbd_data."+imageID+"."))
}

// migrate asks for the migration to the other cluster.
func (a *apart) migrate(id string, verify bool) pending {
	a.t.Helper()
	return a.ask("migrate", func(o rpc.CallOptions) (*volume.Operation, error) {
		req := rpc.MigrateVolumeRequest{VolumeID: id, Host: a.backend(1), Verify: verify}
		r, err := a.client.MigrateVolume(a.t.Context(), a.backend(0), req, o)
		return r.Operation, err
	})
}

// copying waits until a part of the copy is made.
func (a *apart) copying(p pending) {
	a.t.Helper()
	a.eventually("the copy has begun", func() error {
		op := a.operation(p.id)
		if op.Status.Terminal() {
			a.t.Fatalf("it has ended: %s, %+v", op.Status, op.Error)
		}
		if op.Progress == 0 {
			return fmt.Errorf("%s, %s %s", op.Status, op.Step, op.Reason)
		}
		return nil
	})
}

// opened returns an error unless the copy is open, and by nobody of those.
func (a *apart) opened(id string, before []string) error {
	a.t.Helper()
	now := a.to.inspect(a.t, id).watchers
	for _, addr := range before {
		if slices.Contains(now, addr) {
			return fmt.Errorf("%s has it open", addr)
		}
	}
	if len(now) == 0 {
		return errors.New("nobody has it open")
	}
	return nil
}

// ends waits until the operation has ended so.
func (a *apart) ends(p pending, status volume.OperationStatus) volume.Operation {
	a.t.Helper()
	op := a.operation(p.id)
	for last := range a.client.Watch(a.t.Context(), p.id) {
		op = last
	}
	if op.Status != status {
		a.t.Errorf("the migration is %s: %+v, %s", op.Status, op.Error, op.Reason)
	}
	return op
}

// moved checks that the volume is at the other cluster, as it was, and nowhere else.
func (a *apart) moved(v volume.Volume, before map[string]string, objects int) {
	t := a.t
	t.Helper()
	a.quiet()
	now := a.shown(v.ID)
	if now.Host != a.backend(1)+"#volumes" || now.Status != volume.Available || now.MigrationStatus != volume.MigrationSuccess {
		t.Errorf("the row is %+v", now)
	}
	if id := a.to.images(t)["volume-"+v.ID]; id != now.ImageID {
		t.Errorf("the image is %s, the row says %s", id, now.ImageID)
	}
	if diff := cmp.Diff(before, a.to.sums(t, v.ID)); diff != "" {
		t.Errorf("checksums (-here +there):\n%s", diff)
	}
	if n := a.to.stored(t, now.ImageID); n == 0 || n > objects {
		t.Errorf("%d objects became %d", objects, n)
	}
	if left := a.from.existing(t, a.from.objects(t, "rbd_id.", "rbd_header.", "rbd_data.")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if left := a.from.trash(t); len(left) > 0 {
		t.Errorf("left in the trash: %v", left)
	}
	for i := range 2 {
		a.command(0, "", "audit", "--backend", fmt.Sprintf("rbd%d", i), "--deep")
	}
}

// A volume moves to another cluster with its snapshots, to the bit, though its worker is
// killed in the middle: the next one shuts the dead out of both clusters, and goes on
// with the same copy.
func TestMigrateToAnotherCluster(t *testing.T) {
	t.Parallel()
	a := newApart(t)
	v, snapshots := a.filled()
	before, objects := a.from.sums(t, v.ID), a.from.stored(t, v.ImageID)
	op := a.migrate(v.ID, true)
	a.copying(op)
	killed := time.Now()
	if err := syscall.Kill(a.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	copied := a.to.images(t)["volume-"+v.ID]
	watchers := a.to.inspect(t, v.ID).watchers
	a.eventually("the copy is gone on with", func() error {
		if a.worker(0) == a.pid || a.operation(op.id).Status == volume.Queued {
			return errors.New("it is not")
		}
		return a.opened(v.ID, watchers)
	})
	took := time.Since(killed)
	t.Logf("the next process had the copy open %s after the kill", took.Round(10*time.Millisecond))
	if took > doneWithin { // the cluster keeps a watch of the dead for 30 s
		t.Error("that took too long")
	}
	a.ends(op, volume.Succeeded)
	a.moved(v, before, objects)
	if now := a.shown(v.ID); now.ImageID != copied {
		t.Errorf("the copy was begun anew: %s, then %s", copied, now.ImageID)
	}
	blocked := a.there.Ceph(t, "osd", "blocklist", "ls")
	for _, addr := range watchers {
		if !strings.Contains(blocked, addr) {
			t.Errorf("%s, which had the copy open, is not shut out of its cluster: %s", addr, blocked)
		}
	}
	// It is whole: its new service can do with it what the old one could.
	reply, err := a.client.CreateVolume(t.Context(), a.backend(1), rpc.CreateVolumeRequest{SnapshotID: snapshots[0].ID}, wait)
	a.succeeded("create_volume", reply.Operation, err)
	for _, id := range []string{reply.Volume.ID, v.ID} {
		deleted, err := a.client.DeleteVolume(t.Context(), a.backend(1), rpc.DeleteVolumeRequest{VolumeID: id, Cascade: true}, wait)
		a.succeeded("delete_volume", deleted.Operation, err)
	}
	a.quiet()
	if left := a.to.existing(t, a.to.objects(t, "rbd_id.", "rbd_header.", "rbd_data.")); len(left) > 0 {
		t.Errorf("left at the destination: %v", left)
	}
}

// While the other cluster hangs in the middle, the migration says so; everything else of
// the service goes on. When it is back the migration goes on, also if the worker was
// killed meanwhile, or, cancelled, leaves everything as it was.
func TestMigrateToAClusterThatHangs(t *testing.T) {
	t.Parallel()
	a := newApart(t)
	v, _ := a.filled()
	before, objects := a.from.sums(t, v.ID), a.from.stored(t, v.ImageID)
	hang := func(during func(op pending)) (op pending) {
		op = a.migrate(v.ID, false)
		a.copying(op)
		longest := a.heartbeats()
		a.there.Signal(t, "osd", syscall.SIGSTOP)
		defer a.there.Signal(t, "osd", syscall.SIGCONT)
		op.at = time.Now()
		a.held("OSDs", []pending{op})
		over := time.After(faultLasts)
		for waiting := true; waiting; {
			begun := time.Now()
			w := a.createVolume(rpc.CreateVolumeRequest{Size: 1})
			a.deleteVolume(w.ID)
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("a create and a delete took %s meanwhile", took)
			}
			select {
			case <-over:
				waiting = false
			default:
			}
		}
		if row := a.row(0); row.Phase != volume.Ready {
			t.Errorf("the service is %s: %s", row.Phase, row.Reason)
		}
		if gap := longest(); gap > 3*time.Second {
			t.Errorf("longest gap between heartbeats is %s at an interval of 1 s", gap)
		}
		during(op)
		return op
	}

	cancelled := hang(func(op pending) {
		if _, err := a.client.CancelOperation(t.Context(), a.backend(0), rpc.OperationRequest{OperationID: op.id}, rpc.CallOptions{}); err != nil {
			t.Error(err)
		}
	})
	a.ends(cancelled, volume.Cancelled)
	if now := a.shown(v.ID); now.Status != volume.Available || now.Host != v.Host || now.ImageID != v.ImageID {
		t.Errorf("after the cancel the row is %+v", now)
	}
	if diff := cmp.Diff(before, a.from.sums(t, v.ID)); diff != "" {
		t.Errorf("after the cancel (-before +after):\n%s", diff)
	}
	if left := a.to.images(t); len(left) > 0 {
		t.Errorf("after the cancel there are %v", left)
	}
	if pid := a.worker(0); pid != a.pid {
		t.Errorf("the worker is another process: %d, then %d", a.pid, pid)
	}
	killed := hang(func(op pending) {
		if err := syscall.Kill(a.pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		a.eventually("the next process says why it waits", func() error {
			if now := a.operation(op.id); a.worker(0) == a.pid || now.Attempt < 2 || now.Status != volume.Waiting || now.Reason == "" {
				return fmt.Errorf("%s, attempt %d, %q", now.Status, now.Attempt, now.Reason)
			}
			return nil
		})
		a.answers(a.backend(0)) // the row tells of the takeover a moment before
		a.deleteVolume(a.createVolume(rpc.CreateVolumeRequest{Size: 1}).ID)
	})
	a.ends(killed, volume.Succeeded)
	a.moved(v, before, objects)
}
