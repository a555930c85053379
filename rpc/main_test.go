package rpc_test

import (
	"context"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/rpc/rpctest"
)

const service = "node1.example.com@rbd0"

func TestMain(m *testing.M) {
	// A nats-server leaves two goroutines of its package behind for good.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server.init.1.func1"))
}

// serve runs a server with the handlers that register adds, until the test ends.
func serve(t *testing.T, url string, cfg rpc.Config, register func(*rpc.Server)) *rpc.Server {
	t.Helper()
	cfg.Service = service
	s := rpc.NewServer(rpctest.Connect(t, url), cfg, hclog.NewNullLogger())
	register(s)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

// client returns a client on a connection of its own.
func client(t *testing.T, url string) *rpc.Client {
	t.Helper()
	return rpc.NewClient(rpctest.Connect(t, url), rpc.Options{Project: "p1", User: "u1"})
}

// raw is a NATS client that knows nothing of ours.
func raw(t *testing.T, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	nc.SetClosedHandler(func(*nats.Conn) { close(closed) })
	t.Cleanup(func() { nc.Close(); <-closed })
	return nc
}

// create registers fn for create_volume.
func create(s *rpc.Server, fn func(context.Context, rpc.CreateVolumeRequest) (rpc.VolumeReply, error)) {
	rpc.Handle(s, rpc.Service, rpc.MethodCreateVolume, fn)
}
