package rpc_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/micro"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/rpc/rpctest"
)

// gate holds handlers until it is opened, and tells how many have come.
type gate struct {
	arrived chan struct{}
	open    chan struct{}
}

func newGate() *gate { return &gate{arrived: make(chan struct{}, 1000), open: make(chan struct{})} }

func (g *gate) create(ctx context.Context, _ rpc.CreateVolumeRequest) (rpc.VolumeReply, error) {
	g.arrived <- struct{}{}
	<-g.open
	return rpc.VolumeReply{}, nil
}

// Requests of one method run side by side: eight are held at once. While they
// are, reads are answered.
func TestHandlersOverlap(t *testing.T) {
	url := rpctest.NewServer(t).URL()
	g := newGate()
	serve(t, url, rpc.Config{}, func(s *rpc.Server) {
		create(s, g.create)
		rpc.Handle(s, rpc.Service, rpc.MethodGetCapabilities, func(context.Context, rpc.CapabilitiesRequest) (rpc.CapabilitiesReply, error) {
			return rpc.CapabilitiesReply{Host: service}, nil
		})
	})
	c := client(t, url)
	const n = 200
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if _, err := c.CreateVolume(t.Context(), service, rpc.CreateVolumeRequest{Size: 1}, rpc.CallOptions{Wait: 30 * time.Second}); err != nil {
				t.Error(err)
			}
		})
	}
	for range n {
		<-g.arrived
	}
	if _, err := c.GetCapabilities(t.Context(), service, rpc.CapabilitiesRequest{}); err != nil {
		t.Error(err)
	}
	close(g.open)
	wg.Wait()
}

func TestOverloadIsRefusedAtOnce(t *testing.T) {
	url := rpctest.NewServer(t).URL()
	g := newGate()
	s := serve(t, url, rpc.Config{Concurrency: 2}, func(s *rpc.Server) { create(s, g.create) })
	c := client(t, url)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if _, err := c.CreateVolume(t.Context(), service, rpc.CreateVolumeRequest{}, rpc.CallOptions{}); err != nil {
				t.Error(err)
			}
		})
		<-g.arrived
	}
	_, err := c.CreateVolume(t.Context(), service, rpc.CreateVolumeRequest{}, rpc.CallOptions{})
	if fault.KindOf(err) != fault.Overloaded || fault.Of(err).RetryAfter == 0 {
		t.Errorf("error = %v", err)
	}
	close(g.open)
	wg.Wait()
	stats := s.Stats()
	if len(stats) != 1 || stats[0].Requests != 3 || stats[0].Errors != 1 || stats[0].ByKind[fault.Overloaded] != 1 {
		t.Errorf("stats = %+v", stats)
	}
}

// Stop answers what was received, refuses what comes later, and tells waiting
// handlers.
func TestStopWaitsForHandlers(t *testing.T) {
	url := rpctest.NewServer(t).URL()
	arrived, told, stopped := make(chan struct{}), make(chan struct{}), make(chan error)
	s := serve(t, url, rpc.Config{}, func(s *rpc.Server) {
		create(s, func(ctx context.Context, _ rpc.CreateVolumeRequest) (rpc.VolumeReply, error) {
			close(arrived)
			<-rpc.CallFrom(ctx).Stopping
			close(told)
			if ctx.Err() != nil {
				t.Error("the context ended with the subscriptions")
			}
			return rpc.VolumeReply{}, nil
		})
	})
	c := client(t, url)
	answer := make(chan error, 1)
	go func() {
		_, err := c.CreateVolume(t.Context(), service, rpc.CreateVolumeRequest{}, rpc.CallOptions{Wait: time.Hour})
		answer <- err
	}()
	<-arrived
	go func() { stopped <- s.Stop(t.Context()) }()
	<-told
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if err := <-answer; err != nil {
		t.Errorf("the answer got lost: %v", err)
	}
	if _, err := c.CreateVolume(t.Context(), service, rpc.CreateVolumeRequest{}, rpc.CallOptions{}); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("after Stop: %v", err)
	}
}

func TestStopGivesUp(t *testing.T) {
	url := rpctest.NewServer(t).URL()
	arrived := make(chan struct{})
	s := rpc.NewServer(rpctest.Connect(t, url), rpc.Config{Service: service}, hclog.NewNullLogger())
	create(s, func(ctx context.Context, _ rpc.CreateVolumeRequest) (rpc.VolumeReply, error) {
		close(arrived)
		<-ctx.Done() // only the end of Stop ends it
		return rpc.VolumeReply{}, ctx.Err()
	})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	answer := make(chan error, 1)
	c := client(t, url)
	go func() {
		_, err := c.CreateVolume(t.Context(), service, rpc.CreateVolumeRequest{}, rpc.CallOptions{})
		answer <- err
	}()
	<-arrived
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Stop(ctx); fault.KindOf(err) != fault.Unavailable || !strings.HasPrefix(err.Error(), "1 requests") {
		t.Errorf("Stop = %v", err)
	}
	if err := <-answer; fault.KindOf(err) != fault.Cancelled {
		t.Errorf("answer = %v", err)
	}
}

// A server whose connection is gone has nothing to wait for.
func TestStopWithoutConnection(t *testing.T) {
	broker := rpctest.NewServer(t)
	conn := rpctest.Connect(t, broker.URL())
	s := rpc.NewServer(conn, rpc.Config{Service: service}, hclog.NewNullLogger())
	create(s, func(context.Context, rpc.CreateVolumeRequest) (rpc.VolumeReply, error) { return rpc.VolumeReply{}, nil })
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	broker.Stop()
	for conn.Connected() {
		<-conn.Changes()
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Errorf("Stop = %v", err)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("Stop took %s", took)
	}
}

func TestPanicIsInternal(t *testing.T) {
	url := rpctest.NewServer(t).URL()
	serve(t, url, rpc.Config{}, func(s *rpc.Server) {
		create(s, func(context.Context, rpc.CreateVolumeRequest) (rpc.VolumeReply, error) { panic("secret") })
	})
	_, err := client(t, url).CreateVolume(t.Context(), service, rpc.CreateVolumeRequest{}, rpc.CallOptions{RequestID: "r7"})
	if fault.KindOf(err) != fault.Internal || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "r7") {
		t.Errorf("error = %v", err)
	}
}

func TestTooLargeAnAnswer(t *testing.T) {
	url := rpctest.NewServer(t).URL()
	serve(t, url, rpc.Config{}, func(s *rpc.Server) {
		create(s, func(context.Context, rpc.CreateVolumeRequest) (r rpc.VolumeReply, _ error) {
			r.Volume.Description = strings.Repeat("x", 2<<20)
			return r, nil
		})
	})
	_, err := client(t, url).CreateVolume(t.Context(), service, rpc.CreateVolumeRequest{}, rpc.CallOptions{})
	if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "bytes") {
		t.Errorf("error = %v", err)
	}
}

// A subscription that the server forbids is an error at start, with the subject.
func TestForbiddenSubscription(t *testing.T) {
	allowed := func(subjects ...string) *natsd.Permissions {
		return &natsd.Permissions{Subscribe: &natsd.SubjectPermission{Allow: append(subjects, "_INBOX.>")}}
	}
	mine := rpc.ServiceSubject(service, ">")
	tests := map[string]struct {
		permissions *natsd.Permissions
		names       string
	}{
		"method":    {allowed("$SRV.>"), rpc.ServiceSubject(service, "")},
		"discovery": {allowed(mine), "$SRV."},
		"all":       {allowed(mine, "$SRV.>"), ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			srv := rpctest.NewServer(t, func(o *natsd.Options) {
				o.Users = []*natsd.User{{Username: "w", Password: "w", Permissions: tc.permissions}}
			})
			s := rpc.NewServer(rpctest.Connect(t, srv.URLFor("w", "w")), rpc.Config{Service: service}, hclog.NewNullLogger())
			create(s, newGate().create)
			err := s.Start(t.Context())
			if tc.names == "" {
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Stop(t.Context()); err != nil {
					t.Error(err)
				}
				return
			}
			if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), tc.names) {
				t.Errorf("Start = %v, want an error that names %s", err, tc.names)
			}
		})
	}
}

// What operators know from NATS works: ping, info with schemas, stats.
func TestMicroVerbs(t *testing.T) {
	for name, url := range map[string]string{"newest": rpctest.NewServer(t).URL(), "debian": rpctest.Debian(t)} {
		t.Run(name, func(t *testing.T) {
			serve(t, url, rpc.Config{Version: "1.2.3", Metadata: map[string]string{"backend": "rbd0"}}, func(s *rpc.Server) {
				create(s, func(context.Context, rpc.CreateVolumeRequest) (rpc.VolumeReply, error) {
					return rpc.VolumeReply{}, fault.New(fault.Busy, "no")
				})
			})
			_, err := client(t, url).CreateVolume(t.Context(), service, rpc.CreateVolumeRequest{}, rpc.CallOptions{})
			if fault.KindOf(err) != fault.Busy {
				t.Fatal(err)
			}
			nc := raw(t, url)
			var info micro.Info
			ask(t, nc.Request, "$SRV.INFO.volumed", &info)
			if info.Version != "1.2.3" || info.Metadata["backend"] != "rbd0" || len(info.Endpoints) != 1 {
				t.Fatalf("info = %+v", info)
			}
			e := info.Endpoints[0]
			if e.Subject != "volumed.v1.node1%2Eexample%2Ecom@rbd0.create_volume" || e.QueueGroup != "node1%2Eexample%2Ecom@rbd0" {
				t.Errorf("endpoint = %+v", e)
			}
			if !json.Valid([]byte(e.Metadata["request_schema"])) || !strings.Contains(e.Metadata["response_schema"], `"volume"`) {
				t.Errorf("schemas = %v", e.Metadata)
			}
			var stats micro.Stats
			ask(t, nc.Request, "$SRV.STATS.volumed", &stats)
			var own rpc.MethodStats
			if err := json.Unmarshal(stats.Endpoints[0].Data, &own); err != nil || own.Requests != 1 || own.ByKind[fault.Busy] != 1 {
				t.Errorf("stats = %s: %v", stats.Endpoints[0].Data, err)
			}
		})
	}
}

func ask(t *testing.T, request func(string, []byte, time.Duration) (*natsMsg, error), subject string, v any) {
	t.Helper()
	msg, err := request(subject, nil, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(msg.Data, v); err != nil {
		t.Fatal(err)
	}
}

func TestHandleRefusesWhatIsNotInTheTable(t *testing.T) {
	s := rpc.NewServer(rpctest.Connect(t, rpctest.NewServer(t).URL()), rpc.Config{Service: service}, hclog.NewNullLogger())
	create(s, newGate().create)
	tests := map[string]func(){
		"unknown": func() { rpc.Handle(s, rpc.Service, "creat_volume", newGate().create) },
		"scope":   func() { rpc.Handle(s, rpc.Any, rpc.MethodCreateVolume, newGate().create) },
		"types":   func() { rpc.Handle(s, rpc.Service, rpc.MethodDeleteVolume, newGate().create) },
		"twice":   func() { create(s, newGate().create) },
	}
	for name, register := range tests {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("accepted")
				}
			}()
			register()
		})
	}
}
