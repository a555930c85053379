package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/micro"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/rpc/rpctest"
	"github.com/volumed/volumed/volume"
)

// Every kind of error goes through a real server and comes back with all that a
// caller can act on.
func TestErrorRoundTrip(t *testing.T) {
	url := rpctest.NewServer(t).URL()
	var answer error
	serve(t, url, rpc.Config{}, func(s *rpc.Server) {
		create(s, func(context.Context, rpc.CreateVolumeRequest) (rpc.VolumeReply, error) {
			return rpc.VolumeReply{}, answer
		})
	})
	c, nc := client(t, url), raw(t, url)
	for _, kind := range fault.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			cause := fault.New(kind, "open image:\r\n%s", "vol-1 – über").WithField("volume_id").WithHint("wait").
				WithBlockers("10.0.0.1:0/7", "operation 5").WithRetryAfter(1500 * time.Millisecond)
			answer = rpc.WithOperation(fmt.Errorf("create: %w", cause), volume.Operation{ID: "op1", Status: volume.Failed})
			_, err := c.CreateVolume(t.Context(), service, rpc.CreateVolumeRequest{}, rpc.CallOptions{})
			if !errors.Is(err, kind) || fault.KindOf(err) != kind {
				t.Fatalf("kind of %v is %q", err, fault.KindOf(err))
			}
			if diff := cmp.Diff(volume.NewOperationError(answer), volume.NewOperationError(err)); diff != "" {
				t.Errorf("the error changed on the way (-sent +received)\n%s", diff)
			}
			if op, ok := rpc.OperationOf(err); !ok || op.ID != "op1" || op.Status != volume.Failed {
				t.Errorf("operation = %+v, %v", op, ok)
			}
			msg, err := nc.Request(rpc.ServiceSubject(service, rpc.MethodCreateVolume), nil, 5*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if got := msg.Header.Get(micro.ErrorCodeHeader); got != strconv.Itoa(kind.Status()) {
				t.Errorf("code = %s, want %d", got, kind.Status())
			}
			if got, want := msg.Header.Get(micro.ErrorHeader), "create: open image:  vol-1 – über"; got != want {
				t.Errorf("header = %q, want %q", got, want)
			}
		})
	}
}

func TestErrorsOfForeignPeers(t *testing.T) {
	url := rpctest.NewServer(t).URL()
	nc := raw(t, url)
	tests := map[string]struct {
		code, text, body string
		want             fault.Kind
	}{
		"no body":        {"404", "no such volume", "", fault.NotFound},
		"broken body":    {"423", "in use", `{"error":`, fault.Busy},
		"conflict":       {"409", "wrong status", "{}", fault.Conflict},
		"unknown number": {"418", "teapot", "", fault.Internal},
		"no number":      {"", "something", "", fault.Internal},
		"unknown kind":   {"499", "m", `{"error":{"kind":"from_the_future","message":"m"}}`, fault.Internal},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			sub, err := nc.Subscribe(rpc.AnySubject(rpc.MethodGetVolume), func(m *natsMsg) {
				reply := newMsg(m.Reply, tc.body)
				reply.Header.Set(micro.ErrorHeader, tc.text)
				reply.Header.Set(micro.ErrorCodeHeader, tc.code)
				if err := nc.PublishMsg(reply); err != nil {
					t.Error(err)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = sub.Unsubscribe() }()
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
			_, err = client(t, url).GetVolume(t.Context(), rpc.VolumeIDRequest{VolumeID: "v"})
			if fault.KindOf(err) != tc.want || err.Error() == "" {
				t.Errorf("error = %v (%s), want %s", err, fault.KindOf(err), tc.want)
			}
		})
	}
}

func TestNobodyAnswers(t *testing.T) {
	c := client(t, rpctest.NewServer(t).URL())
	_, err := c.DeleteVolume(t.Context(), service, rpc.DeleteVolumeRequest{VolumeID: "v"}, rpc.CallOptions{})
	if fault.KindOf(err) != fault.Unavailable || err.Error() != "nobody answers for "+service {
		t.Errorf("service: %v", err)
	}
	if fault.Of(err).Hint == "" {
		t.Error("no hint")
	}
	if _, err = c.ListVolumes(t.Context(), rpc.ListVolumesRequest{}); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("any: %v", err)
	}
}

func TestWithOperationOfNil(t *testing.T) {
	if err := rpc.WithOperation(nil, volume.Operation{}); err != nil {
		t.Errorf("WithOperation(nil) = %v", err)
	}
	if _, ok := rpc.OperationOf(errors.New("plain")); ok {
		t.Error("a plain error has an operation")
	}
}
