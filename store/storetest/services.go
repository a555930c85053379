package storetest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/store"
	"github.com/volumed/volumed/volume"
)

func testServices(t *testing.T, url string) {
	db := Open(t, url)
	if other := Reopen(t, url); db.ID() == "" || db.ID() != other.ID() {
		t.Errorf("ids of one database: %q, %q", db.ID(), other.ID())
	}
	if err := db.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	offer := NewService("node@rbd0")
	offer.Node = "boot-1"
	offer.ClusterName, offer.Disabled, offer.DisabledReason = "c@rbd0", true, "new services are disabled"
	offer.RPCCurrentVersion, offer.ObjectCurrentVersion, offer.ReplicationStatus, offer.ActiveBackendID = "3.17", "1.39", "enabled", "b"
	offer.Frozen = true
	first, before, err := db.TakeOver(t.Context(), offer)
	if err != nil {
		t.Fatal(err)
	}
	want := offer
	want.ID, want.UUID, want.CreatedAt, want.UpdatedAt = first.ID, first.UUID, first.CreatedAt, first.UpdatedAt
	want.PhaseSince = first.UpdatedAt
	want.Epoch, want.Phase = 1, volume.Starting
	if diff := cmp.Diff(want, first); diff != "" || first.UUID == "" || first.CreatedAt.IsZero() {
		t.Errorf("first (-want +got):\n%s", diff)
	}
	if before.Epoch != 0 {
		t.Errorf("before the first there was %+v", before)
	}

	addrs := []string{"10.0.0.1:0/7", "10.0.0.1:0/8"}
	fence := operation.Fence{Host: offer.Host, Epoch: 1}
	beat(t, db, fence, volume.Ready, "", addrs)
	beat(t, db, fence, volume.Degraded, "monitor away", nil) // leaves the addresses
	state := theService(t, db)
	if state.Phase != volume.Degraded || state.Reason != "monitor away" || state.ReportCount != 2 || !cmp.Equal(state.CephAddrs, addrs) {
		t.Errorf("after two heartbeats: %+v", state)
	}
	beat(t, db, fence, volume.Degraded, "monitor and OSD away", nil)
	if again := theService(t, db); !again.PhaseSince.Equal(state.PhaseSince) || state.PhaseSince.Before(first.PhaseSince) ||
		again.PhaseSince.After(again.UpdatedAt) {
		t.Errorf("degraded since %s, then since %s", state.PhaseSince, again.PhaseSince)
	}
	if state.Age < 0 || state.Age > time.Minute {
		t.Errorf("age = %v", state.Age)
	}
	if skew := time.Since(state.UpdatedAt); skew > time.Minute || skew < -time.Minute {
		t.Errorf("heartbeat at %v", state.UpdatedAt)
	}

	offer.Disabled, offer.DisabledReason, offer.RPCCurrentVersion, offer.AvailabilityZone = false, "", "3.18", "z2"
	offer.Node = "boot-2"
	second, before, err := db.TakeOver(t.Context(), offer)
	if err != nil {
		t.Fatal(err)
	}
	// The addresses are those of the process before, which ran on another node.
	if before.Epoch != 1 || before.Node != "boot-1" || !cmp.Equal(before.CephAddrs, addrs) || before.Age < 0 || before.Age > time.Minute {
		t.Errorf("the process before: %+v", before)
	}
	want = first
	want.Epoch, want.ReportCount, want.RPCCurrentVersion, want.AvailabilityZone, want.UpdatedAt = 2, 3, "3.18", "z2", second.UpdatedAt
	want.PhaseSince = second.UpdatedAt
	want.Node, want.CephAddrs = "boot-2", volume.Elsewhere(addrs)
	if diff := cmp.Diff(want, second); diff != "" {
		t.Errorf("taken over (-want +got):\n%s", diff)
	}
	beat(t, db, operation.Fence{Host: offer.Host, Epoch: 2}, volume.Ready, "", []string{})
	if state := theService(t, db); len(state.CephAddrs) != 0 {
		t.Errorf("addresses = %v", state.CephAddrs)
	}
	// They stay, for a successor of one that dies at once: on the same node as they are.
	beat(t, db, operation.Fence{Host: offer.Host, Epoch: 2}, volume.Ready, "", addrs)
	for _, c := range []struct {
		node string
		want []string
	}{{"boot-2", addrs}, {"boot-2", addrs}, {"", volume.Elsewhere(addrs)}, {"", volume.Elsewhere(addrs)}} {
		offer.Node = c.node
		row, before, err := db.TakeOver(t.Context(), offer)
		if err != nil || !cmp.Equal(row.CephAddrs, c.want) {
			t.Errorf("taken over from %q by %q: %v, %v", before.Node, c.node, row.CephAddrs, err)
		}
	}

	// First starts at once make one row, and every process its own epoch.
	dbs := []*store.DB{db, Reopen(t, url)}
	epochs := make([]int64, 8)
	err = each(len(epochs), func(i int) error {
		s, _, err := dbs[i%2].TakeOver(t.Context(), NewService("node@rbd9"))
		epochs[i] = s.Epoch
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int64]bool{}
	for _, e := range epochs {
		seen[e] = true
	}
	if len(seen) != len(epochs) || !seen[1] || !seen[int64(len(epochs))] {
		t.Errorf("epochs = %v", epochs)
	}
}

func beat(t *testing.T, db *store.DB, fence operation.Fence, phase volume.Phase, reason string, addrs []string) {
	t.Helper()
	if err := db.Heartbeat(t.Context(), fence, phase, reason, addrs); err != nil {
		t.Fatal(err)
	}
}

func theService(t *testing.T, db *store.DB) volume.ServiceState {
	t.Helper()
	list, next, err := db.Services(t.Context(), volume.ServiceFilter{Host: "rbd0"})
	if err != nil || len(list) != 1 || next != "" {
		t.Fatalf("services = %v, next %q, %v", list, next, err)
	}
	return list[0]
}
