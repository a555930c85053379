package worker_test

import (
	"encoding/json"
	"testing"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// connection returns a NATS connection that knows nothing of ours.
func (s *site) connection() *nats.Conn {
	s.Helper()
	closed := make(chan struct{})
	nc := must[*nats.Conn](s)(nats.Connect(s.bus.URL(), nats.ClosedHandler(func(*nats.Conn) { close(closed) })))
	s.Cleanup(func() { nc.Close(); <-closed })
	return nc
}

// ask sends a body as any NATS client can, and returns the error of the answer.
func (s *site) ask(nc *nats.Conn, method, body string) *volume.OperationError {
	s.Helper()
	msg, err := nc.Request(rpc.ServiceSubject(s.host, method), []byte(body), patience)
	if err != nil {
		s.Fatal(err)
	}
	var reply rpc.ErrorReply
	if err := json.Unmarshal(msg.Data, &reply); err != nil || reply.Error == nil {
		s.Fatalf("%s of %s was answered by %s", method, body, msg.Data)
	}
	return reply.Error
}

// What is wrong is refused by name, and leaves nothing anywhere.
func TestBadInput(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	v := s.create(rpc.CreateVolumeRequest{Size: 2})
	snap := s.snapshot(v)
	nc := s.connection()
	nobody := uuid.NewString()
	tests := map[string]struct {
		method, body string
		kind         fault.Kind
		field        string
	}{
		"size_0":            {"create_volume", `{"size": 0}`, fault.Invalid, "size"},
		"size_missing":      {"create_volume", `{}`, fault.Invalid, "size"},
		"size_negative":     {"create_volume", `{"size": -1}`, fault.Invalid, "size"},
		"size_fractional":   {"create_volume", `{"size": 1.5}`, fault.Invalid, "size"},
		"size_text":         {"create_volume", `{"size": "1"}`, fault.Invalid, "size"},
		"size_above_pool":   {"create_volume", `{"size": 20481}`, fault.Invalid, "size"},
		"size_overflow":     {"create_volume", `{"size": 9223372036854775807}`, fault.Invalid, "size"},
		"size_below_source": {"create_volume", `{"size": 1, "source_volid": "` + v.ID + `"}`, fault.Invalid, "size"},
		"size_below_snap":   {"create_volume", `{"size": 1, "snapshot_id": "` + snap.ID + `"}`, fault.Invalid, "size"},
		"size_neg_source":   {"create_volume", `{"size": -1, "source_volid": "` + v.ID + `"}`, fault.Invalid, "size"},
		"both_sources":      {"create_volume", `{"source_volid": "` + v.ID + `", "snapshot_id": "` + snap.ID + `"}`, fault.Invalid, "source_volid"},
		"unknown_source":    {"create_volume", `{"source_volid": "` + nobody + `"}`, fault.NotFound, "source_volid"},
		"unknown_snapshot":  {"create_volume", `{"snapshot_id": "` + nobody + `"}`, fault.NotFound, "snapshot_id"},
		"source_no_uuid":    {"create_volume", `{"source_volid": "../x"}`, fault.Invalid, "source_volid"},
		"name_control":      {"create_volume", `{"size": 1, "name": "a\u001b[2J"}`, fault.Invalid, "name"},
		"name_newline":      {"create_volume", `{"size": 1, "name": "a\nb"}`, fault.Invalid, "name"},
		"description_nul":   {"create_volume", `{"size": 1, "description": "\u0000"}`, fault.Invalid, "description"},
		"metadata_control":  {"create_volume", `{"size": 1, "metadata": {"a": "\u0007"}}`, fault.Invalid, "metadata"},
		"metadata_no_key":   {"create_volume", `{"size": 1, "metadata": {"": "a"}}`, fault.Invalid, "metadata"},
		"zone_control":      {"create_volume", `{"size": 1, "availability_zone": "\u0001"}`, fault.Invalid, "availability_zone"},
		"unknown_field":     {"create_volume", `{"size": 1, "sise": 1}`, fault.Invalid, "sise"},
		"own_volume_id":     {"create_volume", `{"size": 1, "volume_id": "` + nobody + `"}`, fault.Invalid, "volume_id"},
		"not_json":          {"create_volume", `{"size": `, fault.Invalid, ""},
		"delete_unknown":    {"delete_volume", `{"volume_id": "` + nobody + `"}`, fault.NotFound, "volume_id"},
		"delete_nothing":    {"delete_volume", `{}`, fault.Invalid, "volume_id"},
		"extend_unknown":    {"extend_volume", `{"volume_id": "` + nobody + `", "new_size": 3}`, fault.NotFound, "volume_id"},
		"extend_to_less":    {"extend_volume", `{"volume_id": "` + v.ID + `", "new_size": 1}`, fault.Invalid, "new_size"},
		"extend_above_pool": {"extend_volume", `{"volume_id": "` + v.ID + `", "new_size": 20481}`, fault.Invalid, "new_size"},
		"flatten_unknown":   {"flatten_volume", `{"volume_id": "` + nobody + `"}`, fault.NotFound, "volume_id"},
		"snapshot_unknown":  {"create_snapshot", `{"volume_id": "` + nobody + `"}`, fault.NotFound, "volume_id"},
		"snapshot_name":     {"create_snapshot", `{"volume_id": "` + v.ID + `", "name": "\u007f"}`, fault.Invalid, "name"},
		"unsnap_unknown":    {"delete_snapshot", `{"snapshot_id": "` + nobody + `"}`, fault.NotFound, "snapshot_id"},
		"connect_unknown":   {"initialize_connection", `{"volume_id": "` + nobody + `"}`, fault.NotFound, "volume_id"},
		"cancel_unknown":    {"cancel_operation", `{"operation_id": "` + nobody + `"}`, fault.NotFound, "operation_id"},
		"wait_no_id":        {"wait_operation", `{"operation_id": "x"}`, fault.Invalid, "operation_id"},
		"unknown_method":    {"create_volum", `{"size": 1}`, fault.Unsupported, ""},
	}
	before := len(s.operations(volume.OperationFilter{}))
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := s.ask(nc, tc.method, tc.body)
			if got.Kind != tc.kind || got.Field != tc.field || got.Message == "" {
				t.Errorf("got %+v", got)
			}
		})
	}
	if after := len(s.operations(volume.OperationFilter{})); after != before || len(s.world.Images()) != 1 {
		t.Errorf("%d operations, then %d; images %v", before, after, s.world.Images())
	}
	s.audit()
}

// A size is compared with the pool even before the first report of it.
func TestSizeBeforeTheFirstReport(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.prepare()
	reached, release := p.faulty.Hold("Stats", 1)
	defer release()
	p.start()
	receive(t, "the first report", reached)
	_, err := s.CreateVolume(t.Context(), s.host, rpc.CreateVolumeRequest{Size: 20481}, wait())
	_ = wantKind(t, err, fault.Invalid, "size")
	s.audit()
}
