package rpc_test

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/rpc/rpctest"
	"github.com/volumed/volumed/volume"
)

// An answer that is lost is asked for again, under the same request id.
func TestLostAnswerIsAskedForAgain(t *testing.T) {
	url := rpctest.NewServer(t).URL()
	nc := raw(t, url)
	ids := make(chan string, 2)
	_, err := nc.Subscribe(rpc.ServiceSubject(service, rpc.MethodCreateVolume), func(m *natsMsg) {
		ids <- m.Header.Get(rpc.HeaderRequestID)
		if len(ids) < 2 {
			return // the first answer is lost
		}
		if err := m.Respond([]byte(`{"volume":{"id":"v1"}}`)); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	c := rpc.NewClient(rpctest.Connect(t, url), rpc.Options{Timeout: 100 * time.Millisecond})
	reply, err := c.CreateVolume(t.Context(), service, rpc.CreateVolumeRequest{}, rpc.CallOptions{})
	if err != nil || reply.Volume.ID != "v1" {
		t.Fatalf("reply %+v, %v", reply, err)
	}
	if first, second := <-ids, <-ids; first == "" || first != second {
		t.Errorf("request ids %q and %q", first, second)
	}
}

// A long wait is made of short ones, so that the death of a worker is missed for
// seconds; what was accepted stays accepted while nobody answers.
func TestLongWaitIsMadeOfShortOnes(t *testing.T) {
	url := rpctest.NewServer(t).URL()
	nc := raw(t, url)
	var waits []time.Duration
	sub, err := nc.Subscribe(rpc.ServiceSubject(service, rpc.MethodExtendVolume), func(m *natsMsg) {
		wait, err := time.ParseDuration(m.Header.Get(rpc.HeaderWait))
		if err != nil {
			t.Error(err)
		}
		waits = append(waits, wait)
		status := volume.Running
		if len(waits) == 3 {
			status = volume.Succeeded
		}
		if err := m.Respond([]byte(`{"operation":{"id":"o1","status":"` + string(status) + `"},"volume":{"id":"v1"}}`)); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	c := rpc.NewClient(rpctest.Connect(t, url), rpc.Options{})
	reply, err := c.ExtendVolume(t.Context(), service, rpc.ExtendVolumeRequest{}, rpc.CallOptions{Wait: time.Hour})
	if err != nil || reply.Operation.Status != volume.Succeeded {
		t.Fatalf("reply %+v, %v", reply, err)
	}
	if len(waits) != 3 || waits[0] > 10*time.Second {
		t.Errorf("waits of the attempts: %v", waits)
	}

	waits = nil
	if err := sub.AutoUnsubscribe(4); err != nil { // one answer more, then nobody
		t.Fatal(err)
	}
	reply, err = c.ExtendVolume(t.Context(), service, rpc.ExtendVolumeRequest{}, rpc.CallOptions{Wait: 300 * time.Millisecond})
	if err != nil || reply.Operation == nil || reply.Operation.ID != "o1" {
		t.Errorf("the accepted operation is lost: %+v, %v", reply, err)
	}
}

// A request that is made, or under way, while the NATS server is away succeeds
// when it is back.
func TestServerRestart(t *testing.T) {
	srv := rpctest.NewServer(t)
	calls := make(chan string, 10)
	release := make(chan struct{})
	serve(t, srv.URL(), rpc.Config{}, func(s *rpc.Server) {
		create(s, func(ctx context.Context, _ rpc.CreateVolumeRequest) (rpc.VolumeReply, error) {
			calls <- rpc.CallFrom(ctx).RequestID
			<-release
			return rpc.VolumeReply{}, nil
		})
	})
	conn := rpctest.Connect(t, srv.URL())
	c := rpc.NewClient(conn, rpc.Options{})
	answers := make(chan error, 2)
	ask := func(id string) {
		_, err := c.CreateVolume(t.Context(), service, rpc.CreateVolumeRequest{}, rpc.CallOptions{RequestID: id, Wait: time.Minute})
		answers <- err
	}
	go ask("under way")
	if id := <-calls; id != "under way" {
		t.Fatal(id)
	}
	srv.Stop()
	for conn.Connected() {
		<-conn.Changes()
	}
	close(release) // the answer goes nowhere
	go ask("made meanwhile")
	srv.Start()
	for range 2 {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	if first, second := <-calls, <-calls; first == second {
		t.Errorf("both requests were %q", first)
	}
}

func TestContextEndsTheCall(t *testing.T) {
	url := rpctest.NewServer(t).URL()
	g := newGate()
	serve(t, url, rpc.Config{}, func(s *rpc.Server) { create(s, g.create) })
	defer close(g.open)
	c := client(t, url)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := c.CreateVolume(ctx, service, rpc.CreateVolumeRequest{}, rpc.CallOptions{RequestID: "r9", Wait: time.Minute})
	if fault.KindOf(err) != fault.Unavailable || fault.Of(err).Hint == "" {
		t.Errorf("after a deadline: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	_, err = c.CreateVolume(ctx, service, rpc.CreateVolumeRequest{}, rpc.CallOptions{})
	if fault.KindOf(err) != fault.Cancelled {
		t.Errorf("after a cancel: %v", err)
	}
}

// pagesOf serves list_volumes with n volumes, whatever the size of the page.
func pagesOf(n int) func(context.Context, rpc.ListVolumesRequest) (rpc.VolumesReply, error) {
	return func(_ context.Context, req rpc.ListVolumesRequest) (rpc.VolumesReply, error) {
		start, _ := strconv.Atoi(req.Marker)
		var r rpc.VolumesReply
		for i := start; i < n && i < start+req.Limit; i++ {
			r.Volumes = append(r.Volumes, volume.Volume{ID: strconv.Itoa(i)})
			r.Next = strconv.Itoa(i + 1)
		}
		if start+req.Limit >= n {
			r.Next = ""
		}
		return r, nil
	}
}

func TestPagesAreFollowed(t *testing.T) {
	url := rpctest.NewServer(t).URL()
	serve(t, url, rpc.Config{}, func(s *rpc.Server) { rpc.Handle(s, rpc.Any, rpc.MethodListVolumes, pagesOf(7)) })
	all := client(t, url).Volumes(t.Context(), rpc.ListVolumesRequest{Page: rpc.Page{Limit: 3}})
	for range 2 { // the sequence can be run again
		var got []string
		for v, err := range all {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, v.ID)
		}
		if diff := cmp.Diff([]string{"0", "1", "2", "3", "4", "5", "6"}, got); diff != "" {
			t.Error(diff)
		}
	}
	for _, err := range client(t, url).Services(t.Context(), rpc.ListServicesRequest{}) {
		if err == nil {
			t.Error("services of nobody")
		}
	}
}

// operations answers get_operation from a function.
func operations(t *testing.T, url string, get func(id string) (volume.Operation, error)) {
	serve(t, url, rpc.Config{}, func(s *rpc.Server) {
		rpc.Handle(s, rpc.Any, rpc.MethodGetOperation, func(_ context.Context, req rpc.OperationRequest) (rpc.OperationReply, error) {
			op, err := get(req.OperationID)
			return rpc.OperationReply{Operation: op}, err
		})
	})
}

func TestWatchFollowsEvents(t *testing.T) {
	url := rpctest.NewServer(t).URL()
	start := time.Now()
	state := func(progress int, status volume.OperationStatus) volume.Operation {
		return volume.Operation{ID: "op 1", Status: status, Progress: progress, UpdatedAt: start.Add(time.Duration(progress))}
	}
	operations(t, url, func(string) (volume.Operation, error) { return state(0, volume.Running), nil })
	events := rpc.NewEvents(rpctest.Connect(t, url))
	watch := client(t, url).Watch(t.Context(), "op 1")
	if op := <-watch; op.Progress != 0 {
		t.Fatalf("first state %+v", op)
	}
	publish := func(op volume.Operation) {
		if err := events.PublishOperation(t.Context(), op); err != nil {
			t.Fatal(err)
		}
	}
	publish(state(50, volume.Running))
	if op := <-watch; op.Progress != 50 {
		t.Errorf("second state %+v", op)
	}
	publish(state(40, volume.Running)) // late: not shown
	publish(state(100, volume.Succeeded))
	if op := <-watch; op.Status != volume.Succeeded {
		t.Errorf("last state %+v", op)
	}
	if _, open := <-watch; open {
		t.Error("the channel is open after the end")
	}
}

func TestWatchWithoutEvents(t *testing.T) {
	url := rpctest.NewServer(t).URL()
	reads := 0
	operations(t, url, func(id string) (volume.Operation, error) {
		if id == "none" {
			return volume.Operation{}, fault.New(fault.NotFound, "no operation")
		}
		if reads++; reads == 1 {
			return volume.Operation{ID: id, Status: volume.Running}, nil
		}
		return volume.Operation{ID: id, Status: volume.Failed}, nil
	})
	c := client(t, url)
	var last volume.Operation
	for last = range c.Watch(t.Context(), "op") {
	}
	if last.Status != volume.Failed {
		t.Errorf("last = %+v", last)
	}
	if op, open := <-c.Watch(t.Context(), "none"); open {
		t.Errorf("an operation that is not there: %+v", op)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range c.Watch(ctx, "op") {
	}
}

func TestEvents(t *testing.T) {
	srv := rpctest.NewServer(t)
	listener := raw(t, srv.URL())
	sub, err := listener.SubscribeSync("volumed.v1.>")
	if err == nil {
		err = listener.Flush() // the server knows of it before anything is published
	}
	if err != nil {
		t.Fatal(err)
	}
	events := rpc.NewEvents(rpctest.Connect(t, srv.URL()))
	of := volume.Resource{Type: volume.VolumeResource, ID: "v.1"}
	if err := events.Publish(t.Context(), volume.Event{ID: 1, Resource: of, What: "created"}, volume.Event{ID: 2, Resource: of}); err != nil {
		t.Fatal(err)
	}
	if err := events.PublishStats(t.Context(), service, rpc.CapabilitiesReply{Host: service}); err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{"volumed.v1.event.volume.v%2E1", "volumed.v1.event.volume.v%2E1", rpc.StatsSubject(service)} {
		msg, err := sub.NextMsg(5 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if msg.Subject != subject || !json.Valid(msg.Data) {
			t.Errorf("message on %s: %s", msg.Subject, msg.Data)
		}
	}
}

// Nothing is kept while the connection is away: it would arrive late.
func TestPublishWhileAway(t *testing.T) {
	srv := rpctest.NewServer(t)
	conn := rpctest.Connect(t, srv.URL())
	srv.Stop()
	for conn.Connected() {
		<-conn.Changes()
	}
	err := rpc.NewEvents(conn).PublishOperation(t.Context(), volume.Operation{ID: "o"})
	if fault.KindOf(err) != fault.Unavailable {
		t.Errorf("error = %v", err)
	}
}

func TestConnect(t *testing.T) {
	log := hclog.NewNullLogger()
	srv := rpctest.NewServer(t)
	gone := srv.URL()
	srv.Stop()
	for name, tc := range map[string]struct {
		cfg  rpc.ConnConfig
		kind fault.Kind
	}{
		"nobody, at once": {rpc.ConnConfig{URL: gone, FailFast: true}, fault.Unavailable},
		"no address":      {rpc.ConnConfig{}, fault.Invalid},
		"no URL":          {rpc.ConnConfig{URL: "nats://u:secret@[::1"}, fault.Invalid},
		"no nkey file":    {rpc.ConnConfig{URL: gone, NKey: "/nonexistent"}, fault.Invalid},
		"no CA file":      {rpc.ConnConfig{URL: gone, TLSCA: "/nonexistent"}, fault.Invalid},
		"no certificate":  {rpc.ConnConfig{URL: gone, TLSCert: "/nonexistent", TLSKey: "/nonexistent"}, fault.Invalid},
		"no credentials":  {rpc.ConnConfig{URL: gone, Creds: "/nonexistent"}, fault.Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := rpc.Connect(t.Context(), tc.cfg, log)
			if err == nil {
				conn.Close()
			}
			if fault.KindOf(err) != tc.kind {
				t.Fatalf("error = %v (%s)", err, fault.KindOf(err))
			}
			if strings.Contains(err.Error(), "secret") {
				t.Error("the password is in the error")
			}
		})
	}
	conn, err := rpc.Connect(t.Context(), rpc.ConnConfig{URL: gone, ReconnectWait: 10 * time.Millisecond}, log)
	if err != nil {
		t.Fatalf("a server that is away is no error: %v", err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := conn.WaitConnected(ctx); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("WaitConnected = %v", err)
	}
	srv.Start()
	if err := conn.WaitConnected(t.Context()); err != nil || !conn.Connected() {
		t.Errorf("it does not connect by itself: %v", err)
	}
}

// Right after the bus is back, services may still be on their way: a call that
// begins then waits for them, too.
func TestCallRightAfterTheBusIsBack(t *testing.T) {
	srv := rpctest.NewServer(t)
	conn := rpctest.Connect(t, srv.URL())
	c := rpc.NewClient(conn, rpc.Options{})
	srv.Stop()
	for conn.Connected() {
		<-conn.Changes()
	}
	srv.Start()
	if err := conn.WaitConnected(t.Context()); err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() {
		_, err := c.CreateVolume(t.Context(), service, rpc.CreateVolumeRequest{}, rpc.CallOptions{})
		answered <- err
	}()
	serve(t, srv.URL(), rpc.Config{}, func(s *rpc.Server) {
		create(s, func(context.Context, rpc.CreateVolumeRequest) (rpc.VolumeReply, error) { return rpc.VolumeReply{}, nil })
	})
	if err := <-answered; err != nil {
		t.Error(err)
	}
}
