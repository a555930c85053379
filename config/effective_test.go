package config

import "testing"

// A process shows what it was started with, and of a later configuration what it has
// taken over.
func TestEffectiveAfter(t *testing.T) {
	started := mustParse(t, sources([]string{minimal + "[DEFAULT]\nreport_interval = 5\nstorage_availability_zone = a\n[launcher]\nrestart_burst = 3\n"}))
	next := mustParse(t, sources([]string{minimal + "[DEFAULT]\nreport_interval = 7\nstorage_availability_zone = b\n[launcher]\nrestart_burst = 4\n"}))
	for name, tt := range map[string]struct {
		taken []Reach
		want  map[string]string
	}{
		"worker":     {[]Reach{OfAll}, map[string]string{"report_interval": "7", "storage_availability_zone": "a", "restart_burst": "3"}},
		"supervisor": {[]Reach{OfAll, OfSupervisor}, map[string]string{"report_interval": "7", "storage_availability_zone": "a", "restart_burst": "4"}},
	} {
		for _, s := range started.EffectiveAfter(next, tt.taken...) {
			if want, asked := tt.want[s.Option]; asked && s.Value != want {
				t.Errorf("%s: %s is %s from %s, want %s", name, s.Option, s.Value, s.Origin, want)
			}
		}
	}
}
