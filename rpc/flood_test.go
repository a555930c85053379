package rpc_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/volumed/volumed/internal/logs/logtest"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/rpc/rpctest"
)

// A connection that breaks with hundreds of requests at work is told of by a line or
// two, not by one for each answer that nobody gets.
func TestBrokenConnectionIsOneTrouble(t *testing.T) {
	const requests = 300
	var out logtest.Buffer
	log := hclog.New(&hclog.LoggerOptions{Output: &out})
	srv := rpctest.NewServer(t)
	conn, err := rpc.Connect(t.Context(), rpc.ConnConfig{URL: srv.URL(), ReconnectWait: 10 * time.Millisecond}, log)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s := rpc.NewServer(conn, rpc.Config{Service: service}, log)
	g := newGate()
	create(s, g.create)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	nc := raw(t, srv.URL())
	for range requests {
		if err := nc.PublishRequest(rpc.ServiceSubject(service, rpc.MethodCreateVolume), "nobody", []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	for range requests {
		<-g.arrived
	}
	srv.Stop()
	for conn.Connected() {
		<-conn.Changes()
	}
	close(g.open)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_ = s.Stop(ctx) // nobody is there to be told
	text := out.String()
	if n := strings.Count(text, "answer not sent"); n != 1 || strings.Count(text, "\n") > 6 {
		t.Errorf("%d answers not sent, %d lines:\n%.2000s", n, strings.Count(text, "\n"), text)
	}
	if !strings.Contains(text, "method=create_volume request_id=") {
		t.Errorf("not told whose answer:\n%s", text)
	}
}
