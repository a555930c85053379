package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// soonTold is how soon a question is answered, with half as much again for a machine
// that is busy with tests.
const soonTold = 150 * time.Millisecond

// why asks about a volume until an answer has the verdict, and a cause with all the
// words.
func (s *service) why(id string, verdict rpc.Verdict, words ...string) (reply rpc.WhyReply) {
	s.t.Helper()
	s.eventually("why "+id, func() (err error) {
		if reply, err = s.client.Why(s.t.Context(), rpc.WhyRequest{VolumeID: id}); err != nil {
			return err
		}
		told := slices.ContainsFunc(reply.Causes, func(c rpc.Cause) bool {
			all := c.Text + "\n" + c.Hint
			return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(all, w) })
		})
		if reply.Verdict != verdict || !told && len(words) > 0 {
			return fmt.Errorf("%s: %+v; want %s: %q", reply.Verdict, reply.Causes, verdict, words)
		}
		return nil
	})
	s.command(0, reply.Summary, "volume", "why", id)
	return reply
}

// open opens an image for writing, and returns the address of the client.
func (s *service) open(image string) (addr string, shut func()) {
	s.t.Helper()
	conn, err := rados.NewConnWithUser("admin")
	must := func(err error) {
		s.t.Helper()
		if err != nil {
			s.t.Fatal(err)
		}
	}
	must(err)
	must(conn.ReadConfigFile(s.ceph.Conf))
	must(conn.Connect())
	io, err := conn.OpenIOContext(s.pools[0])
	must(err)
	img, err := rbd.OpenImage(io, image, rbd.NoSnapshot)
	must(err)
	watchers, err := img.ListWatchers()
	must(err)
	if len(watchers) != 1 {
		s.t.Fatalf("watchers of %s: %v", image, watchers)
	}
	return watchers[0].Addr, func() { _ = img.Close(); io.Destroy(); conn.Shutdown() }
}

// What keeps a volume from being deleted, and a deleted one from being purged, is
// named: the client that has it open by its address, the clone by its id.
func TestWhy(t *testing.T) {
	t.Parallel()
	s := started(t, options{})
	source := s.createVolume(rpc.CreateVolumeRequest{Size: 1, Name: "golden"})
	s.why(source.ID, rpc.VerdictOK)
	begun := time.Now()
	const questions = 20
	for range questions {
		if _, err := s.client.Why(t.Context(), rpc.WhyRequest{VolumeID: source.ID}); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(begun) / questions; took > soonTold {
		t.Errorf("an answer takes %s", took)
	}

	addr, shut := s.open("volume-" + source.ID)
	s.command(1, addr, "volume", "delete", source.ID)
	refused := s.why(source.ID, rpc.VerdictFailed, "delete_volume", "the image is open in other clients", addr, "detach it first")
	if refused.Status != volume.Available || len(refused.Events) != 2 || refused.Events[0].What != "delete_volume.failed" {
		t.Errorf("%+v", refused)
	}
	shut()

	clone := s.createVolume(rpc.CreateVolumeRequest{SourceVolID: source.ID, Name: "web"})
	s.deleteVolume(source.ID)
	blocked := s.why(source.ID, rpc.VerdictWaiting, "purge_volume", "1 clones depend on it", "volume "+clone.ID+` ("web", available)`, "flatten them")
	if c := blocked.Causes[0]; c.NextTry.IsZero() || c.OperationID == "" {
		t.Errorf("%+v", c)
	}
	s.deleteVolume(clone.ID)
	s.why(source.ID, rpc.VerdictDeleted, "its space has been given back")
	stdout, _, code := s.runVolumectl("volume", "why", clone.ID, "-o", "json")
	var doc rpc.WhyReply
	if err := json.Unmarshal([]byte(stdout), &doc); err != nil || code != 0 || doc.ID != clone.ID || len(doc.Operations) == 0 {
		t.Errorf("exit %d, %v, %+v", code, err, doc)
	}
	s.command(1, "there is no volume", "volume", "why", "aaaaaaaa-0000-4000-8000-000000000001")
}

// A create that hangs on a dead cluster names it; and a worker that is dead is named
// by another.
func TestWhyOfAnOutage(t *testing.T) {
	t.Parallel()
	f := newFaulty(t)
	ceph := f.ceph
	ceph.Signal(t, "osd", syscall.SIGSTOP)
	held := true
	resume := func() {
		if held {
			held = false
			ceph.Signal(t, "osd", syscall.SIGCONT)
		}
	}
	defer resume()
	made := f.create(rpc.CreateVolumeRequest{Size: 1})
	id := f.operation(made.id).Resource.ID
	reply := f.why(id, rpc.VerdictWaiting, "create_volume (operation "+made.id, "OSDs")
	f.why(id, rpc.VerdictWaiting, "The service "+f.backend(0)+" has been degraded since", "OSDs")
	if reply.Causes[len(reply.Causes)-1].NextTry.IsZero() {
		t.Errorf("no next try: %+v", reply.Causes)
	}
	resume()
	f.why(id, rpc.VerdictOK)
	f.quiet()
	pid := f.worker(0)
	_ = syscall.Kill(pid, syscall.SIGSTOP) // it hangs as a whole
	defer func() { _ = syscall.Kill(pid, syscall.SIGCONT) }()
	f.why(id, rpc.VerdictAway, "The service "+f.backend(0)+" is down: its last heartbeat came at")
}
