package volume

import (
	"slices"
	"testing"
)

func TestParseHost(t *testing.T) {
	tests := map[string]struct {
		want    Host
		service string
	}{
		"node1@rbd0#volumes":     {Host{"node1", "rbd0", "volumes"}, "node1@rbd0"},
		"rbd:volumes@rbd0":       {Host{"rbd:volumes", "rbd0", ""}, "rbd:volumes@rbd0"},
		"n.example.org@rbd1#p#q": {Host{"n.example.org", "rbd1#p", "q"}, "n.example.org@rbd1#p"},
		"plain":                  {Host{"plain", "", ""}, "plain"},
		"":                       {Host{}, ""},
	}
	for in, tc := range tests {
		t.Run(in, func(t *testing.T) {
			got := ParseHost(in)
			if got != tc.want {
				t.Errorf("ParseHost = %+v, want %+v", got, tc.want)
			}
			if got.Service() != tc.service {
				t.Errorf("Service = %q, want %q", got.Service(), tc.service)
			}
			if got.String() != in {
				t.Errorf("String = %q, want %q", got.String(), in)
			}
		})
	}
}

func TestRefUsesTheNameID(t *testing.T) {
	v := Volume{ID: "a", ImageID: "1f"}
	if got := v.Ref("volume-%s").Name; got != "volume-a" {
		t.Errorf("name = %q", got)
	}
	v.NameID = "b"
	if got := v.Ref("volume-%s"); got.Name != "volume-b" || got.ImageID != "1f" {
		t.Errorf("ref = %+v", got)
	}
	s := Snapshot{ID: "s"}
	if got := s.Ref(v.Ref("volume-%s"), "snapshot-%s").String(); got != "volume-b@snapshot-s" {
		t.Errorf("snapshot = %q", got)
	}
}

// Every status that an operation holds a resource in has a way to rest, and
// what was deleted comes back at rest or not at all, unless its id is given to an image
// that is managed anew.
func TestTransitions(t *testing.T) {
	for name, table := range map[string]map[Status][]Status{"volume": volumeTransitions, "snapshot": snapshotTransitions} {
		for from, next := range table {
			anew := map[string]Status{"volume": Managing, "snapshot": Creating}[name]
			if from == Deleted && slices.ContainsFunc(next, func(s Status) bool { return s.Transient() && s != anew }) {
				t.Errorf("%s: deleted is left for %v", name, next)
			}
			if from.Transient() && !slices.ContainsFunc(next, func(s Status) bool { return !s.Transient() }) {
				t.Errorf("%s: %s is a trap", name, from)
			}
			for _, to := range next {
				if _, known := table[to]; !known && to != Deleted {
					t.Errorf("%s: %s leads to %s, which has no row", name, from, to)
				}
			}
		}
	}
	if !Available.CanBecome(Extending) || Creating.CanBecome(Extending) || Available.SnapshotCanBecome(Extending) {
		t.Error("the tables are not consulted")
	}
}

func TestTerminal(t *testing.T) {
	for s, want := range map[OperationStatus]bool{Queued: false, Running: false, Waiting: false, Succeeded: true, Failed: true, Cancelled: true} {
		if s.Terminal() != want {
			t.Errorf("%s.Terminal() = %v", s, !want)
		}
	}
}
