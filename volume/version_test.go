package volume_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/volumed/volumed/volume"
)

func TestCompareVersions(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{
		{"1.0", "1.0", 0}, {"1", "1.0", 0}, {"1.9", "1.10", -1}, {"2.0", "1.10", 1}, {"1.x", "1.0", -1}, {"", "1.0", -1},
	} {
		if got := volume.CompareVersions(tt.a, tt.b); got != tt.want {
			t.Errorf("%q and %q: %d, want %d", tt.a, tt.b, got, tt.want)
		}
		if got := volume.CompareVersions(tt.b, tt.a); got != -tt.want {
			t.Errorf("%q and %q: %d, want %d", tt.b, tt.a, got, -tt.want)
		}
	}
}

func TestPinOf(t *testing.T) {
	service := func(host, version string, phase volume.Phase) volume.ServiceState {
		return volume.ServiceState{Service: volume.Service{Host: host, ObjectCurrentVersion: version, Phase: phase}}
	}
	alive := func(s volume.ServiceState) bool { return s.Phase != volume.Stopped }
	for name, tt := range map[string]struct {
		services []volume.ServiceState
		want     volume.Pin
	}{
		"nobody":           {nil, volume.Pin{}},
		"all alike":        {[]volume.ServiceState{service("a", "1.1", volume.Ready), service("b", "1.1", volume.Ready)}, volume.Pin{Version: "1.1"}},
		"one holds back":   {[]volume.ServiceState{service("a", "1.1", volume.Ready), service("b", "1.0", volume.Degraded)}, volume.Pin{Version: "1.0", By: []string{"b"}}},
		"the dead do not":  {[]volume.ServiceState{service("a", "1.1", volume.Ready), service("b", "1.0", volume.Stopped)}, volume.Pin{Version: "1.1"}},
		"by number":        {[]volume.ServiceState{service("a", "1.10", volume.Ready), service("b", "1.9", volume.Ready)}, volume.Pin{Version: "1.9", By: []string{"b"}}},
		"only dead leaves": {[]volume.ServiceState{service("a", "1.0", volume.Stopped)}, volume.Pin{}},
	} {
		if diff := cmp.Diff(tt.want, volume.PinOf(tt.services, alive)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
