package volume_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/volumed/volumed/volume"
)

func TestElsewhere(t *testing.T) {
	t.Parallel()
	own, other := "10.0.0.1:0/1", "10.0.0.2:0/2"
	s := volume.Service{CephAddrs: append([]string{own}, volume.Elsewhere([]string{other})...)}
	here, away := s.Addrs()
	if diff := cmp.Diff([][]string{{own}, {other}}, [][]string{here, away}); diff != "" {
		t.Errorf("here and away (-want +got):\n%s", diff)
	}
	s.CephAddrs = volume.Elsewhere(s.CephAddrs) // one is marked already
	here, away = s.Addrs()
	if diff := cmp.Diff([][]string{nil, {own, other}}, [][]string{here, away}); diff != "" {
		t.Errorf("all of them elsewhere (-want +got):\n%s", diff)
	}
}
