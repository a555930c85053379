package worker_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// whyOf asks why about a volume, once the answer has the verdict.
func (s *site) whyOf(id string, want rpc.Verdict) (reply rpc.WhyReply) {
	s.Helper()
	s.until("why "+id+" says "+string(want), func() bool {
		reply = must[rpc.WhyReply](s)(s.Why(s.Context(), rpc.WhyRequest{VolumeID: id}))
		return reply.Verdict == want
	})
	return reply
}

// wantCause checks that one of the causes has all the words in its text, its hint and
// its blockers, and returns it.
func wantCause(t testing.TB, r rpc.WhyReply, words ...string) rpc.Cause {
	t.Helper()
	for _, c := range r.Causes {
		all := c.Text + "\n" + c.Hint + "\n" + strings.Join(c.BlockedBy, "\n")
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(all, w) }) {
			return c
		}
	}
	t.Errorf("no cause tells of %q: %+v", words, r.Causes)
	return rpc.Cause{}
}

func TestWhyNothingIsWrong(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	r := s.whyOf(v.ID, rpc.VerdictOK)
	if len(r.Causes) != 0 || r.Summary != "volume "+v.ID+" is available: nothing is wrong" || r.Service == nil || r.Service.Host != s.host {
		t.Errorf("%+v", r)
	}
	if len(r.Operations) != 1 || r.Operations[0].Method != "create_volume" || len(r.Events) != 1 || r.Events[0].What != "create_volume.succeeded" {
		t.Errorf("operations %+v, events %+v", r.Operations, r.Events)
	}
	snap := s.snapshot(v)
	of := must[rpc.WhyReply](t)(s.Why(t.Context(), rpc.WhyRequest{SnapshotID: snap.ID}))
	if of.Verdict != rpc.VerdictOK || of.Snapshot.ID != snap.ID || of.Volume.ID != v.ID || of.Operations[0].Method != "create_snapshot" {
		t.Errorf("%+v", of)
	}
	s.remove(s.create(rpc.CreateVolumeRequest{Size: 1}))
}

func TestWhyIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	snap := s.snapshot(v)
	tests := map[string]struct {
		of    *rpc.Client
		req   rpc.WhyRequest
		kind  fault.Kind
		field string
	}{
		"nothing":          {s.Client, rpc.WhyRequest{}, fault.Invalid, "volume_id"},
		"both":             {s.Client, rpc.WhyRequest{VolumeID: v.ID, SnapshotID: snap.ID}, fault.Invalid, "snapshot_id"},
		"unknown":          {s.Client, rpc.WhyRequest{VolumeID: uuid.NewString()}, fault.NotFound, "volume_id"},
		"unknown snapshot": {s.Client, rpc.WhyRequest{SnapshotID: uuid.NewString()}, fault.NotFound, "snapshot_id"},
		"another's":        {s.as("p2"), rpc.WhyRequest{VolumeID: v.ID}, fault.NotFound, "volume_id"},
		"snapshot of one":  {s.as("p2"), rpc.WhyRequest{SnapshotID: snap.ID}, fault.NotFound, "snapshot_id"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := tc.of.Why(t.Context(), tc.req)
			_ = wantKind(t, err, tc.kind, tc.field)
		})
	}
}

// A refused delete tells the watcher; a purge tells the clones that keep it, by their
// ids; what is kept tells until when.
func TestWhyOfDeletes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	source := s.create(rpc.CreateVolumeRequest{Size: 1})
	clone := s.create(rpc.CreateVolumeRequest{SourceVolID: source.ID, Name: "the clone"})
	release := must[func()](t)(s.world.Watch(image(source), "10.0.0.1:0/7"))
	_, err := s.DeleteVolume(t.Context(), s.host, rpc.DeleteVolumeRequest{VolumeID: source.ID}, wait())
	_ = wantKind(t, err, fault.Busy, "")
	failed := s.whyOf(source.ID, rpc.VerdictFailed)
	_ = wantCause(t, failed, "delete_volume", "failed at", "10.0.0.1:0/7", "detach it first")
	release()

	s.remove(source)
	purge := s.purge(source.ID, volume.Waiting)
	waiting := s.whyOf(source.ID, rpc.VerdictWaiting)
	cause := wantCause(t, waiting, "purge_volume", "clones depend on it", "volume "+clone.ID, `"the clone", available`, "flatten them")
	if cause.OperationID != purge.ID || cause.NextTry.IsZero() || !strings.Contains(waiting.Summary, "was deleted at") {
		t.Errorf("%+v", waiting)
	}
	s.remove(clone)
	s.purge(source.ID, volume.Succeeded)
	_ = wantCause(t, s.whyOf(source.ID, rpc.VerdictDeleted), "its space has been given back")
}

func TestWhyOfWhatIsKept(t *testing.T) {
	t.Parallel()
	s := keeping(t, time.Hour)
	s.start()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	snap := s.snapshot(v)
	s.removeAll(v)
	s.purge(v.ID, volume.Waiting)
	_ = wantCause(t, s.whyOf(v.ID, rpc.VerdictWaiting), "is kept until", "volumectl volume undelete "+v.ID)
	of := must[rpc.WhyReply](t)(s.Why(t.Context(), rpc.WhyRequest{SnapshotID: snap.ID}))
	if of.Verdict != rpc.VerdictDeleted {
		t.Errorf("%+v", of)
	}
	_ = wantCause(t, of, "It was deleted at")
}

// What waits for another operation says for which.
func TestWhyOfAClaim(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.prepare()
	reached, release := p.faulty.Hold("CreateVolumeFromSnapshot", 1)
	defer release()
	p.start()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	clone := must[rpc.VolumeReply](t)(s.CreateVolume(t.Context(), s.host, rpc.CreateVolumeRequest{SourceVolID: v.ID}, rpc.CallOptions{}))
	receive(t, "the clone is being made", reached)
	must[rpc.VolumeReply](t)(s.DeleteVolume(t.Context(), s.host, rpc.DeleteVolumeRequest{VolumeID: v.ID}, rpc.CallOptions{}))
	s.until("the answer names the operation", func() bool {
		r := s.whyOf(v.ID, rpc.VerdictWaiting)
		return len(r.Causes) == 1 && len(r.Causes[0].BlockedBy) == 1 &&
			strings.Contains(r.Causes[0].Text, "operation "+clone.Operation.ID+" (create_cloned_volume of volume "+clone.Volume.ID+", running")
	})
	if r := s.whyOf(clone.Volume.ID, rpc.VerdictWorking); len(r.Causes) != 1 || !strings.Contains(r.Causes[0].Text, "create_cloned_volume") {
		t.Errorf("%+v", r)
	}
	release()
	s.audit()
}

// A backend that is away is named, since when and why; and so is a service that is
// not there, by another worker.
func TestWhyOfAServiceThatIsNotWell(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	s.world.SetDown("the monitors do not answer")
	away := s.whyOf(v.ID, rpc.VerdictAway)
	cause := wantCause(t, away, "The service "+s.host+" has been degraded since", "the monitors do not answer")
	if time.Since(cause.Since) > time.Minute {
		t.Errorf("since %s", cause.Since)
	}
	reply := must[rpc.VolumeReply](t)(s.CreateVolume(t.Context(), s.host, rpc.CreateVolumeRequest{Size: 1}, rpc.CallOptions{}))
	s.until("the operation waits for it", func() bool {
		r := s.whyOf(reply.Volume.ID, rpc.VerdictWaiting)
		return len(r.Causes) == 2 && strings.Contains(r.Causes[0].Text, "degraded") &&
			strings.Contains(r.Causes[1].Text, "create_volume") && strings.Contains(r.Causes[1].Text, "the monitors do not answer") && !r.Causes[1].NextTry.IsZero()
	})
	s.world.SetDown("")
	s.whyOf(reply.Volume.ID, rpc.VerdictOK)
	host := s.host
	s.renew()
	s.start()
	if err := p.end(); err != nil {
		t.Fatal(err)
	}
	_ = wantCause(t, s.whyOf(v.ID, rpc.VerdictAway), "The service "+host+" was stopped at", "start volumed on node1")
}

// What failed for good says with what; a new success ends that.
func TestWhyOfAFailure(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.prepare()
	p.faulty.FailBefore("CreateVolume", 1, fault.New(fault.Exhausted, "the pool is full").WithHint("add space"))
	p.faulty.FailBefore("ExtendVolume", 1, fault.New(fault.Internal, "resize: rbd: ret=-5, Input/output error"))
	p.start()
	_, err := s.CreateVolume(t.Context(), s.host, rpc.CreateVolumeRequest{Size: 1}, wait())
	op, ok := rpc.OperationOf(err)
	if !ok {
		t.Fatal(err)
	}
	_ = wantCause(t, s.whyOf(op.Resource.ID, rpc.VerdictFailed), "create_volume (operation "+op.ID+") failed at", "the pool is full", "add space")
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	extend := func() error {
		_, err := s.ExtendVolume(t.Context(), s.host, rpc.ExtendVolumeRequest{VolumeID: v.ID, NewSize: 2}, wait())
		return err
	}
	_ = wantKind(t, extend(), fault.Internal, "")
	_ = wantCause(t, s.whyOf(v.ID, rpc.VerdictFailed), "extend_volume", "ret=-5, Input/output error")
	if err := extend(); err != nil {
		t.Fatal(err)
	}
	s.whyOf(v.ID, rpc.VerdictOK)
}
