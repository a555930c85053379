package rpc

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

func TestToken(t *testing.T) {
	for in, want := range map[string]string{
		"node1@rbd0":             "node1@rbd0",
		"node1.example.com@rbd1": "node1%2Eexample%2Ecom@rbd1",
		"rbd:pool@rbd0":          "rbd:pool@rbd0",
		"a b*c>d%e\r\n":          "a%20b%2Ac%3Ed%25e%0D%0A",
		"ü":                      "%C3%BC",
	} {
		if got := Token(in); got != want {
			t.Errorf("Token(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestServiceOf(t *testing.T) {
	v := volume.Volume{Host: "node1@rbd0#volumes"}
	if got := ServiceOf(v); got != "node1@rbd0" {
		t.Errorf("by host: %q", got)
	}
	v.ClusterName = "c1@rbd0#volumes"
	if got := ServiceOf(v); got != "c1@rbd0" {
		t.Errorf("by cluster: %q", got)
	}
}

// The table covers every field of every request by a name of its own.
func TestMethodsAreComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range Methods() {
		if seen[m.Name] || !strings.HasSuffix(m.Doc, ".") {
			t.Errorf("%s: twice, or without a sentence", m.Name)
		}
		seen[m.Name] = true
		for _, name := range fieldsOf(m.Request).names {
			if name == "" || name == "-" {
				t.Errorf("%s: a field without a name", m.Name)
			}
		}
	}
}

// A request is either refused with a typed error or means to encoding/json what
// it means to us; nothing else.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `{"size":1}`, `{"size":1.5}`, `{"Size":1}`, `{"size":1,"size":2}`, `{"metadata":{"a":"b"}}`,
		`{"size":1} x`, `[]`, `null`, `{"name":"\ud800"}`, `{"a":{"b":[1,2,{"c":null}]}}`, "\xff", `{"limit":1,"marker":null}`,
	} {
		f.Add([]byte(seed))
	}
	create, list := fieldsOf(reflect.TypeFor[CreateVolumeRequest]()), fieldsOf(reflect.TypeFor[ListVolumesRequest]())
	f.Fuzz(func(t *testing.T, body []byte) {
		var c, plain CreateVolumeRequest
		check(t, body, create.decode(body, &c), func() error { return json.Unmarshal(body, &plain) })
		if diff := cmp.Diff(plain, c); diff != "" && json.Valid(body) && create.decode(body, &c) == nil {
			t.Error(diff)
		}
		var l, plainList ListVolumesRequest
		check(t, body, list.decode(body, &l), func() error { return json.Unmarshal(body, &plainList) })
	})
}

func check(t *testing.T, body []byte, err error, plain func() error) {
	t.Helper()
	if err != nil {
		if fault.KindOf(err) != fault.Invalid || err.Error() == "" {
			t.Errorf("%q: %v", body, err)
		}
		return
	}
	if len(strings.TrimSpace(string(body))) == 0 {
		return
	}
	if err := plain(); err != nil {
		t.Errorf("%q is accepted, but: %v", body, err)
	}
}

// Headers that we accept survive a round trip.
func FuzzHeaders(f *testing.F) {
	f.Add("r", "p", "u", "30s", "2026-01-02T03:04:05.678Z", "00-1-2-3")
	f.Add("", "", "", "", "", "")
	f.Add("\x00", "ä", strings.Repeat("x", 300), "-1s", "yesterday", "\n")
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, id, project, user, wait, deadline, trace string) {
		call, err := parseCall(nats.Header{
			HeaderRequestID: {id}, HeaderProject: {project}, HeaderUser: {user},
			HeaderWait: {wait}, HeaderDeadline: {deadline}, HeaderTraceParent: {trace},
		}, now)
		if err != nil {
			if fault.KindOf(err) != fault.Invalid || fault.Of(err).Field == "" {
				t.Errorf("%v", err)
			}
			return
		}
		if call.RequestID == "" || call.Wait < 0 || call.Wait > MaxWait {
			t.Errorf("call = %+v", call)
		}
		again, err := parseCall(call.header(), now)
		if err != nil {
			t.Fatalf("%+v does not come back: %v", call, err)
		}
		if diff := cmp.Diff(call, again, cmpopts.EquateApproxTime(0)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestNearest(t *testing.T) {
	known := []string{"create_volume", "create_snapshot", "get_volume"}
	for in, want := range map[string]string{
		"creat_volume": "create_volume", "craete_volume": "create_volume", "createvolume": "create_volume",
		"get_volumes": "get_volume", "": "", "x": "", "migrate": "", strings.Repeat("x", 10000): "",
	} {
		if got := nearest(in, known); got != want {
			t.Errorf("nearest(%.20q) = %q, want %q", in, got, want)
		}
	}
}
