package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/volumed/volumed/internal/testenv"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// keepsFor starts a service that keeps deleted volumes, by the lines of its
// configuration.
func keepsFor(t *testing.T, o options, lines string) *service {
	t.Helper()
	s := newService(t, o)
	s.configure("rbd_user = ", lines+"rbd_user = ")
	s.start()
	s.ready()
	return s
}

// checksum is that of all that can be read from an image or a snapshot.
func (s *service) checksum(image string) string {
	s.t.Helper()
	cmd := exec.Command("rbd", "--conf", s.ceph.Conf, "export", "--no-progress", s.pools[0]+"/"+image, "-")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	sum := sha256.New()
	n, err := io.Copy(sum, out)
	if werr := cmd.Wait(); err != nil || werr != nil || n == 0 {
		s.t.Fatalf("export %s: %d bytes, %v, %v", image, n, err, werr)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// shown is the volume as volumectl volume show tells it.
func (s *service) shown(id string) (v volume.Volume) {
	s.t.Helper()
	stdout, stderr, code := s.runVolumectl("volume", "show", id, "-o", "json")
	var reply rpc.VolumeReply
	if err := json.Unmarshal([]byte(stdout), &reply); err != nil || code != 0 {
		s.t.Fatalf("volume show: exit %d, %v, %s", code, err, stderr)
	}
	return reply.Volume
}

// command runs volumectl and wants the exit code, and the words in what it prints.
func (s *service) command(code int, words string, args ...string) {
	s.t.Helper()
	if got, out := s.volumectl(args...); got != code || !strings.Contains(out, words) {
		s.t.Errorf("volumectl %s: exit %d, want %d and %q in:\n%s", strings.Join(args, " "), got, code, words, out)
	}
}

// A deleted volume comes back as it was, to the bit, with the snapshots that went
// with it, and can be deleted again.
func TestUndelete(t *testing.T) {
	t.Parallel()
	s := keepsFor(t, options{}, keeping)
	v := s.createVolume(rpc.CreateVolumeRequest{Name: "data", Size: 1, Metadata: map[string]string{"owner": "me"}})
	image := "volume-" + v.ID
	s.write(v.ID)
	snap := s.createSnapshot(v.ID)
	s.fill(image)
	s.ceph.RBD(t, "image-meta", "set", s.pools[0]+"/"+image, "tier", "gold")
	before := s.shown(v.ID)
	atSnap, now := s.checksum(image+"@snapshot-"+snap.ID), s.checksum(image)
	if atSnap == now {
		t.Fatal("the volume is as it was at its snapshot: this would prove nothing")
	}
	s.command(1, "has 1 snapshots", "volume", "delete", v.ID)
	for round := range 2 {
		s.command(0, "deleted", "volume", "delete", "--cascade", v.ID)
		if names := s.images(0); slices.Contains(names, image) || !slices.Contains(s.trash(0), v.ImageID) {
			t.Errorf("round %d: the pool has %v, the trash %v", round, names, s.trash(0))
		}
		s.command(1, "there is no volume", "volume", "show", v.ID)
		s.command(1, "there is no snapshot", "snapshot", "show", snap.ID)
		s.eventually("why tells how to bring it back", func() error { // once its purge waits for the end of the delay
			if _, out := s.volumectl("volume", "why", v.ID); !strings.Contains(out, "volumectl volume undelete "+v.ID) {
				return errors.New(out)
			}
			return nil
		})
		s.command(0, "", "audit") // what is kept is no drift

		s.command(0, "available", "volume", "undelete", v.ID)
		if diff := cmp.Diff(before, s.shown(v.ID), cmpopts.IgnoreFields(volume.Volume{}, "UpdatedAt", "PreviousStatus")); diff != "" {
			t.Errorf("round %d: the volume (-was +is):\n%s", round, diff)
		}
		if got := s.imageID(s.pools[0] + "/" + image); got != v.ImageID {
			t.Errorf("round %d: the image has the id %s, had %s", round, got, v.ImageID)
		}
		if got := strings.TrimSpace(s.ceph.RBD(t, "image-meta", "get", s.pools[0]+"/"+image, "tier")); got != "gold" {
			t.Errorf("round %d: the setting is %q", round, got)
		}
		s.command(0, "available", "snapshot", "show", snap.ID)
		s.command(0, "", "audit", "--deep")
	}
	if trash := s.trash(0); len(trash) > 0 {
		t.Errorf("in the trash: %v", trash)
	}
	if got := s.checksum(image); got != now {
		t.Error("the data has changed")
	}
	if got := s.checksum(image + "@snapshot-" + snap.ID); got != atSnap {
		t.Error("the data of the snapshot has changed")
	}
	s.createVolume(rpc.CreateVolumeRequest{SnapshotID: snap.ID}) // it is a snapshot like any other
	s.command(1, "is not deleted, it is available", "volume", "undelete", v.ID)
}

// fill writes a part of an image anew.
func (s *service) fill(image string) {
	s.t.Helper()
	out, err := exec.Command("rbd", "-c", s.ceph.Conf, "bench", "--io-type", "write", "--io-size", "64K", "--io-total", "16M",
		"--io-pattern", "rand", s.pools[0]+"/"+image).CombinedOutput()
	if err != nil {
		s.t.Fatalf("rbd bench: %v\n%s", err, out)
	}
}

// A name that somebody has taken meanwhile is a conflict, and nothing is lost by it.
func TestUndeleteNameTaken(t *testing.T) {
	t.Parallel()
	s := keepsFor(t, options{}, keeping)
	v := s.createVolume(rpc.CreateVolumeRequest{Size: 1})
	image := s.pools[0] + "/volume-" + v.ID
	s.deleteVolume(v.ID)
	s.ceph.RBD(t, "create", image, "--size", "1M")
	s.command(1, "has the name volume-"+v.ID, "volume", "undelete", v.ID)
	s.command(1, "blocked by: image "+s.imageID(image), "volume", "undelete", v.ID)
	s.ceph.RBD(t, "mv", image, s.pools[0]+"/theirs")
	s.command(0, "available", "volume", "undelete", v.ID)
	s.ceph.RBD(t, "rm", s.pools[0]+"/theirs")
	s.command(0, "", "audit")
}

// When the time is over the volume is purged, and an undelete says that it is gone.
// What others have put into the trash stays there, whatever name it had.
func TestUndeleteTooLate(t *testing.T) {
	t.Parallel()
	s := keepsFor(t, options{}, "enable_deferred_deletion = true\ndeferred_deletion_delay = 2\n")
	v, other := s.createVolume(rpc.CreateVolumeRequest{Size: 1}), s.createVolume(rpc.CreateVolumeRequest{Size: 1})
	s.write(v.ID)
	s.deleteVolume(v.ID)
	theirs := make([]string, 3)
	for i, name := range []string{"volume-" + v.ID, "volume-" + other.ID + "x", "theirs"} {
		image := s.pools[0] + "/" + name
		s.ceph.RBD(t, "create", image, "--size", "1M")
		theirs[i] = s.imageID(image)
		s.ceph.RBD(t, "trash", "mv", image)
	}
	s.eventually("the purge has ended", func() error {
		page, err := s.client.ListOperations(t.Context(), rpc.ListOperationsRequest{ResourceID: v.ID, Method: "purge_volume"})
		if err == nil && (len(page.Operations) != 1 || page.Operations[0].Status != volume.Succeeded) {
			err = fmt.Errorf("%+v", page.Operations)
		}
		return err
	})
	s.command(1, "its data is gone", "volume", "undelete", v.ID)
	s.command(0, "its space has been given back", "volume", "why", v.ID)
	trash := s.trash(0)
	slices.Sort(trash)
	slices.Sort(theirs)
	if !slices.Equal(trash, theirs) {
		t.Errorf("in the trash is %v, want the %v of others", trash, theirs)
	}
}

// Undeletes that come when purges begin: each volume is there as a whole, or gone as
// a whole. On PostgreSQL, where the two transactions really meet.
func TestUndeleteRacesThePurge(t *testing.T) {
	t.Parallel()
	s := keepsFor(t, options{database: testenv.Postgres(t)}, "enable_deferred_deletion = true\ndeferred_deletion_delay = 1\n")
	const n = 12
	restored := 0
	for i := range n {
		v := s.createVolume(rpc.CreateVolumeRequest{Size: 1})
		s.createSnapshot(v.ID)
		reply, err := s.client.DeleteVolume(t.Context(), s.backend(0), rpc.DeleteVolumeRequest{VolumeID: v.ID, Cascade: true}, wait)
		s.succeeded("delete_volume", reply.Operation, err)
		end := reply.Volume.DeletedAt.Add(time.Second)
		<-time.After(time.Until(end.Add(time.Duration(i-n/2) * 4 * time.Millisecond)))
		_, err = s.client.UndeleteVolume(t.Context(), s.backend(0), rpc.UndeleteVolumeRequest{VolumeID: v.ID}, wait)
		s.eventually("the purge has ended", func() error {
			page, err := s.client.ListOperations(t.Context(), rpc.ListOperationsRequest{ResourceID: v.ID, Unfinished: true})
			if err == nil && len(page.Operations) > 0 {
				err = fmt.Errorf("%+v", page.Operations)
			}
			return err
		})
		there := slices.Contains(s.images(0), "volume-"+v.ID)
		switch {
		case err == nil && there:
			restored++
		case err != nil && strings.Contains(err.Error(), "its data is gone") && !there && !slices.Contains(s.trash(0), v.ImageID):
		default:
			t.Fatalf("%d: undelete: %v; the image is there: %t, in the trash: %v", i, err, there, s.trash(0))
		}
	}
	t.Logf("%d of %d were restored", restored, n)
	s.command(0, "", "audit")
}
