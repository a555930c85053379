package rpc_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/rpc/rpctest"
)

type natsMsg = nats.Msg

func newMsg(subject, body string) *nats.Msg {
	return &nats.Msg{Subject: subject, Header: nats.Header{}, Data: []byte(body)}
}

// What is not understood whole is refused whole, by the name of what is wrong.
func TestBadRequests(t *testing.T) {
	url := rpctest.NewServer(t).URL()
	serve(t, url, rpc.Config{}, func(s *rpc.Server) {
		create(s, func(context.Context, rpc.CreateVolumeRequest) (rpc.VolumeReply, error) {
			t.Error("the handler ran")
			return rpc.VolumeReply{}, nil
		})
		rpc.Handle(s, rpc.Any, rpc.MethodListVolumes, func(context.Context, rpc.ListVolumesRequest) (rpc.VolumesReply, error) {
			t.Error("the handler ran")
			return rpc.VolumesReply{}, nil
		})
	})
	nc := raw(t, url)
	createVolume := rpc.ServiceSubject(service, rpc.MethodCreateVolume)
	listVolumes := rpc.AnySubject(rpc.MethodListVolumes)
	past := time.Now().Add(-time.Second).Format(time.RFC3339Nano)
	tests := map[string]struct {
		subject, body, header, value string
		kind                         fault.Kind
		field, message, hint         string
	}{
		"not JSON":             {subject: createVolume, body: `{"size":`, message: "not JSON"},
		"cut short":            {subject: createVolume, body: `{"size":1`, message: "not JSON"},
		"bad syntax":           {subject: createVolume, body: `{"size":1,}`, message: "not JSON at byte"},
		"a list":               {subject: createVolume, body: `[1]`, message: "not a JSON object"},
		"null":                 {subject: createVolume, body: `null`, message: "not a JSON object"},
		"garbage after":        {subject: createVolume, body: `{"size":1} x`, message: "more after the JSON object, at byte"},
		"second object":        {subject: createVolume, body: `{"size":1}{}`, message: "more after"},
		"not UTF-8":            {subject: createVolume, body: "{\"name\":\"\xff\"}", message: "not UTF-8"},
		"oversized":            {subject: createVolume, body: `{"name":"` + strings.Repeat("x", rpc.MaxBody) + `"}`, message: "more than 262144"},
		"unknown field":        {subject: createVolume, body: `{"sise":1}`, field: "sise", message: `unknown field "sise"`, hint: `did you mean "size"?`},
		"field in other case":  {subject: createVolume, body: `{"Size":1}`, field: "Size", message: `unknown field "Size"`, hint: `"size"`},
		"far from any field":   {subject: createVolume, body: `{"quux":1}`, field: "quux", hint: "the fields are name, "},
		"field twice":          {subject: createVolume, body: `{"size":1,"size":2}`, field: "size", message: "twice"},
		"text for number":      {subject: createVolume, body: `{"size":"1"}`, field: "size", message: "must be a whole number, not string"},
		"fraction":             {subject: createVolume, body: `{"size":1.5}`, field: "size", message: "not number 1.5"},
		"huge":                 {subject: createVolume, body: `{"size":1e30}`, field: "size", message: "not number 1e30"},
		"number for text":      {subject: createVolume, body: `{"name":1}`, field: "name", message: "must be a string"},
		"list for object":      {subject: createVolume, body: `{"metadata":[]}`, field: "metadata", message: "must be an object"},
		"in the page":          {subject: listVolumes, body: `{"limit":"x"}`, field: "limit", message: `field "limit" must be`},
		"expired":              {subject: createVolume, header: rpc.HeaderDeadline, value: past, field: rpc.HeaderDeadline, message: "nothing was done"},
		"bad deadline":         {subject: createVolume, header: rpc.HeaderDeadline, value: "tomorrow", field: rpc.HeaderDeadline, message: "RFC 3339"},
		"bad wait":             {subject: createVolume, header: rpc.HeaderWait, value: "30", field: rpc.HeaderWait, message: "30s"},
		"negative wait":        {subject: createVolume, header: rpc.HeaderWait, value: "-1s", field: rpc.HeaderWait},
		"endless wait":         {subject: createVolume, header: rpc.HeaderWait, value: "25h", field: rpc.HeaderWait},
		"long request id":      {subject: createVolume, header: rpc.HeaderRequestID, value: strings.Repeat("x", 256), field: rpc.HeaderRequestID},
		"project with umlaut":  {subject: createVolume, header: rpc.HeaderProject, value: "pröject", field: rpc.HeaderProject},
		"unknown method":       {subject: rpc.ServiceSubject(service, "creat_volume"), kind: fault.Unsupported, message: `unknown method "creat_volume"`, hint: `did you mean "create_volume"?`},
		"unknown read":         {subject: rpc.AnySubject("list_volume"), kind: fault.Unsupported, message: `"list_volume"`, hint: `"list_volumes"`},
		"method of two tokens": {subject: rpc.ServiceSubject(service, "create_volume.now"), kind: fault.Unsupported, message: `"create_volume.now"`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			msg := newMsg(tc.subject, tc.body)
			if tc.header != "" {
				msg.Header.Set(tc.header, tc.value)
			}
			reply, err := nc.RequestMsg(msg, 5*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			var got rpc.ErrorReply
			if err := json.Unmarshal(reply.Data, &got); err != nil || got.Error == nil {
				t.Fatalf("reply %s: %v", reply.Data, err)
			}
			if want := or(tc.kind, fault.Invalid); got.Error.Kind != want {
				t.Errorf("kind = %s, want %s", got.Error.Kind, want)
			}
			if got.Error.Field != tc.field {
				t.Errorf("field = %q, want %q", got.Error.Field, tc.field)
			}
			if !strings.Contains(got.Error.Message, tc.message) || !strings.Contains(got.Error.Hint, tc.hint) {
				t.Errorf("message %q, hint %q; want %q, %q", got.Error.Message, got.Error.Hint, tc.message, tc.hint)
			}
		})
	}
}

func or(kind, byDefault fault.Kind) fault.Kind {
	if kind == "" {
		return byDefault
	}
	return kind
}

// A handler finds what the headers said.
func TestCallReachesTheHandler(t *testing.T) {
	url := rpctest.NewServer(t).URL()
	calls := make(chan rpc.Call, 1)
	serve(t, url, rpc.Config{}, func(s *rpc.Server) {
		create(s, func(ctx context.Context, req rpc.CreateVolumeRequest) (rpc.VolumeReply, error) {
			call := rpc.CallFrom(ctx)
			if deadline, ok := ctx.Deadline(); !call.Deadline.IsZero() && (!ok || !deadline.Equal(call.Deadline)) {
				t.Errorf("deadline of the context %v, %v", deadline, ok)
			}
			calls <- call
			var reply rpc.VolumeReply
			reply.Volume.Name, reply.Volume.Size = req.Name, req.Size
			return reply, nil
		})
	})
	deadline := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
	reply, err := client(t, url).CreateVolume(t.Context(), service, rpc.CreateVolumeRequest{Name: "ä", Size: 7},
		rpc.CallOptions{RequestID: "r1", Wait: 3 * time.Second, Deadline: deadline, TraceParent: "00-1-2-03"})
	if err != nil {
		t.Fatal(err)
	}
	if reply.Volume.Name != "ä" || reply.Volume.Size != 7 {
		t.Errorf("volume = %+v", reply.Volume)
	}
	got := <-calls
	if got.Method != rpc.MethodCreateVolume || got.RequestID != "r1" || got.ProjectID != "p1" || got.UserID != "u1" ||
		got.TraceParent != "00-1-2-03" || !got.Deadline.Equal(deadline) || got.Wait > 3*time.Second || got.Wait < 2*time.Second {
		t.Errorf("call = %+v", got)
	}
	if _, err := raw(t, url).Request(rpc.ServiceSubject(service, rpc.MethodCreateVolume), nil, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if got := <-calls; got.RequestID == "" || got.Wait != 0 {
		t.Errorf("call of a bare request = %+v", got)
	}
}
