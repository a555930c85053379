package worker_test

import (
	"strings"
	"testing"

	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/store/storetest"
	"github.com/volumed/volumed/volume"
)

// Of two machines with one backend_host, one serves and the other stands by; it
// takes over, with what is unfinished, when the first is gone.
func TestStandBy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	on := func(node string) *process {
		p := s.prepare()
		p.cfg.Node, p.cfg.SharedDatabase = node, true
		return p
	}
	first := on("a").start()
	v := s.create(rpc.CreateVolumeRequest{Size: 1})
	second := on("b").run()
	if reason := second.awaitPhase(t, volume.Degraded); !strings.Contains(reason, "another machine serves it") {
		t.Errorf("reason %q", reason)
	}
	if r := s.row(); r.Epoch != 1 || r.Node != "a" {
		t.Errorf("the service was taken from the machine that serves it: %+v", r)
	}
	if err := first.end(); err != nil {
		t.Error(err)
	}
	second.awaitPhase(t, volume.Ready)
	if r := s.row(); r.Epoch != 2 || r.Node != "b" {
		t.Errorf("after the change: %+v", r)
	}
	s.remove(v)
	s.audit()
}

// A worker with another database does not answer for volumes that it cannot see.
func TestOtherDatabaseOnTheBus(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	first := s.start()
	stranger := s.prepare()
	s.url = storetest.SQLite(t)
	storetest.Open(t, s.url)
	stranger.cfg.Host = "node1@mem1"
	stranger.run()
	if reason := stranger.awaitPhase(t, volume.Degraded); !strings.Contains(reason, "uses the database") || !strings.Contains(reason, s.host) {
		t.Errorf("reason %q", reason)
	}
	if err := first.end(); err != nil {
		t.Error(err)
	}
	stranger.awaitPhase(t, volume.Ready)
}
