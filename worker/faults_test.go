package worker_test

import (
	"testing"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// calls are the methods of the driver that the operations of crashes use.
var calls = map[string][]string{
	"create_volume":               {"CreateVolume"},
	"create_volume_from_snapshot": {"CreateVolumeFromSnapshot"},
	"create_cloned_volume":        {"CreateSnapshot", "CreateVolumeFromSnapshot", "DeleteSnapshot"},
	"delete_volume":               {"DeleteVolume", "PurgeVolume"},
	"extend_volume":               {"ExtendVolume"},
	"flatten_volume":              {"FlattenVolume"},
	"create_snapshot":             {"CreateSnapshot"},
	"delete_snapshot":             {"DeleteSnapshot"},
}

// ways are the two ways in which a call fails.
var ways = map[string]func(p *process, method string, err error){
	"before": func(p *process, method string, err error) {
		p.faulty.FailBefore(method, p.faulty.Calls(method)+1, err)
	},
	"after": func(p *process, method string, err error) {
		p.faulty.FailAfter(method, p.faulty.Calls(method)+1, err)
	},
}

// each runs test with every call of every operation, failing in both ways, on a
// site where that operation can be asked for.
func each(t *testing.T, test func(s *site, name, method string, p *process, v volume.Volume, fail func(error))) {
	t.Helper()
	for name, methods := range calls {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			for _, method := range methods {
				for way, fail := range ways {
					s.renew()
					p := s.start()
					v := crashes[name].prepare(s)
					s.settle()
					test(s, name, method, p, v, func(err error) { fail(p, method, err) })
					s.audit()
					if t.Failed() {
						t.Fatalf("when %s failed %s its effect", method, way)
					}
				}
			}
		})
	}
}

// While the backend does not answer an operation waits, in the next process too.
func TestCallsThatAreNotAnswered(t *testing.T) {
	each(t, func(s *site, name, _ string, p *process, v volume.Volume, fail func(error)) {
		fail(fault.New(fault.Unavailable, "no answer"))
		if err := crashes[name].act(s, v, rpc.CallOptions{}); err != nil {
			s.Fatal(err)
		}
		s.until("it waits", func() bool { return len(s.operations(volume.OperationFilter{Status: volume.Waiting})) == 1 })
		if err := p.end(); err != nil {
			s.Error(err)
		}
		next := s.start()
		s.until("all is done", func() bool { return len(s.operations(volume.OperationFilter{Unfinished: true})) == 0 })
		if n := len(s.world.Images()); n != crashes[name].images {
			s.Errorf("%d images", n)
		}
		s.onlySuccesses()
		if err := next.end(); err != nil {
			s.Error(err)
		}
	})
}

// What fails for good ends the operation, and leaves what its volume says.
func TestCallsThatFail(t *testing.T) {
	each(t, func(s *site, name, method string, p *process, v volume.Volume, fail func(error)) {
		before := len(s.world.Images())
		fail(fault.New(fault.Internal, "broken"))
		err := crashes[name].act(s, v, wait())
		// What only cleans up afterwards fails without the caller.
		cleanup := name == "delete_volume" || method == "DeleteSnapshot" && name == "create_cloned_volume"
		if !cleanup && fault.KindOf(err) != fault.Internal {
			s.Errorf("answered by %v", err)
		}
		s.settle()
		if after := len(s.world.Images()); after > before && !cleanup {
			s.Errorf("%d images, then %d", before, after)
		}
		// What cleans up looks again after minutes, or in the next process.
		if err := p.end(); err != nil {
			s.Error(err)
		}
		next := s.start()
		s.until("all is done", func() bool { return len(s.operations(volume.OperationFilter{Unfinished: true})) == 0 })
		if err := next.end(); err != nil {
			s.Error(err)
		}
	})
}
