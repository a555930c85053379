package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/rpc/rpctest"
	"github.com/volumed/volumed/volume"
)

func TestVerbs(t *testing.T) {
	f := newFake(t)
	tests := map[string]struct {
		args           string
		code           int
		stdout, stderr []string // in this order
	}{
		"services":            {"service list", 0, []string{"BINARY", "cinder-volume", host, "-", "enabled", "up", "ready"}, nil},
		"capabilities":        {"backend capabilities rbd0", 0, []string{"volume_backend_name", "rbd0", "backend_state", "up"}, nil},
		"list":                {"volume list", 0, []string{"ID", "NAME", idA, "first", "available", "twin", "twin", `evil\x1b[31m\u202e`}, nil},
		"list, limited":       {"volume list --limit 1 -o json", 0, []string{idA, "}\n  ]\n}\n"}, nil},
		"empty list":          {"volume list --name none -o json", 0, []string{`"volumes": []`}, nil},
		"show":                {"volume show " + idA, 0, []string{"id", idA, "size", "1 GiB", "metadata a", "metadata b"}, nil},
		"show by name":        {"volume show first", 0, []string{idA}, nil},
		"create":              {"volume create --backend rbd0 --size 2 --name new", 0, []string{"name", "new", "available", "2 GiB"}, nil},
		"create, whole host":  {"volume create --backend " + host + " --size 2", 0, []string{"available"}, nil},
		"clone":               {"volume create --volume first --name c", 0, []string{"source", idA}, nil},
		"create slowly":       {"volume create --backend rbd0 --size 2 --name slow", 0, []string{"status", "available"}, nil},
		"no wait":             {"volume create --backend rbd0 --size 2 --name stuck --wait 0", 0, []string{"creating", "operation", "op-stuck running"}, nil},
		"still running":       {"volume create --backend rbd0 --size 2 --name stuck --wait 50ms", 4, []string{"creating"}, []string{"operation op-stuck is still running", "hint: it goes on: volumectl operation wait op-stuck"}},
		"failed":              {"volume create --backend rbd0 --size 2 --name busy", 1, nil, []string{"volumectl: image is in use", "blocked by: 10.0.0.1:0/7, 10.0.0.2:0/8", "hint: detach it"}},
		"upload":              {"volume upload first --to file:///srv/x --format qcow2 --force", 0, []string{"qcow2", "true", "file:///srv/x"}, nil},
		"image save":          {"image save first --to http://h/x", 0, []string{"false", "http://h/x"}, nil},
		"reimage":             {"volume reimage first --image file:///x --image-format raw --image-checksum sha256:12", 0, []string{"sha256:12", "raw", "file:///x"}, nil},
		"extend":              {"volume extend first --size 5", 0, []string{"5 GiB"}, nil},
		"set bootable":        {"volume set first --bootable", 0, []string{"first", "metadata bootable", "true"}, nil},
		"set":                 {"volume set first --property k=v --unset-property b", 0, []string{"first", "metadata b", "removed", "metadata k", "v"}, nil},
		"set a name":          {"volume set first --name other", 0, []string{"other"}, nil},
		"set nothing":         {"volume set first", 2, nil, []string{"name description property unset-property"}},
		"set and unset":       {"volume set first --property k=v --unset-property k", 2, nil, []string{"both set and unset"}},
		"revert to nothing":   {"volume revert first", 2, nil, []string{"snapshot"}},
		"delete":              {"volume delete " + idA, 0, []string{"deleted"}, nil},
		"delete again":        {"volume delete " + idB + " --request-id end", 0, []string{"deleted"}, nil},
		"delete what is gone": {"volume delete " + idB + " --request-id other", 1, nil, []string{"there is no volume"}},
		"delete all":          {"volume delete --cascade " + idA, 0, []string{"deleted"}, nil},
		"undelete":            {"volume undelete " + idB, 0, []string{idB, "available"}, nil},
		"undelete, unknown":   {"volume undelete aaaaaaaa-0000-4000-8000-00000000000f", 1, nil, []string{"there is no volume"}},
		"undelete by name":    {"volume undelete first", 1, nil, []string{"is not the id of a volume", "found by id only"}},
		"why": {
			"volume why first", 0,
			[]string{`it was deleted, \x1b[1mand kept.`, "- purge_volume waits.", "What to do: volumectl", "LAST OPERATIONS", opEnd, "LAST EVENTS", "delete_volume.succeeded"},
			nil,
		},
		"why, as JSON":  {"volume why " + idB + " -o json", 0, []string{"{", `"verdict": "waiting"`, `"causes": [`, `"events": [`}, nil},
		"why, unknown":  {"volume why aaaaaaaa-0000-4000-8000-00000000000f", 1, nil, []string{"there is no volume"}},
		"snapshot, why": {"snapshot why " + idS, 0, []string{"purge_volume waits."}, nil},
		"snapshot":      {"snapshot create --volume first --name s", 0, []string{idS, "available"}, nil},
		"connect":       {`attachment connect first --connector {"host":"h9"}`, 0, []string{"rbd", "by", "h9", "keyring", "(hidden; -o json shows it)"}, nil},
		"operations":    {"operation list", 0, []string{"METHOD", "%"}, nil},
		"operation":     {"operation show " + opRun, 0, []string{"flatten_volume", "running", "40%", "blocked by", "10.0.0.1:0/7", "hint", "detach it"}, nil},
		"wait, ended":   {"operation wait " + opEnd, 0, []string{"succeeded"}, nil},
		"wait, running": {"operation wait " + opRun + " --wait 50ms", 4, []string{"running"}, []string{"still running"}},

		"unknown backend":   {"volume create --backend rbd7 --size 1", 1, nil, []string{`no service has a backend "rbd7"`, "there are: " + host}},
		"ambiguous backend": {"volume create --backend rbd1 --size 1", 1, nil, []string{"not one service", "node1@rbd1, node2@rbd1"}},
		"dead service":      {"volume create --backend dead --size 1", 3, nil, []string{"nobody answers for node2@dead", "service list"}},
		"size 0":            {"volume create --backend rbd0 --size 0", 1, nil, []string{"size must be at least 1"}},
		"unknown name":      {"volume show nothing", 1, nil, []string{`no volume "nothing"`}},
		"two of a name":     {"volume show twin", 1, nil, []string{"2 volumes have the name", "000003, "}},
		"unknown operation": {"operation wait none", 1, nil, []string{"there is no operation none"}},
		"no connector":      {"attachment connect first --connector nonsense", 1, nil, []string{"not a JSON object"}},

		"no verb":           {"volume", 2, nil, []string{"which verb?"}},
		"unknown verb":      {"volume creat", 2, nil, []string{`no verb "creat"`, "create, delete"}},
		"unknown noun":      {"volumes list", 2, nil, []string{"unknown command", "volume"}},
		"unknown flag":      {"volume list --nonsense", 2, nil, []string{"unknown flag"}},
		"fraction":          {"volume create --backend rbd0 --size 1.5", 2, nil, []string{"--size", "1.5"}},
		"no size":           {"volume create --backend rbd0", 2, nil, []string{"size"}},
		"no new size":       {"volume extend first", 2, nil, []string{"size"}},
		"two sources":       {"volume create --snapshot a --volume b", 2, nil, []string{"snapshot volume"}},
		"negative wait":     {"volume delete x --wait -1s", 2, nil, []string{"--wait must be"}},
		"negative limit":    {"volume list --limit -1", 2, nil, []string{"--limit"}},
		"no id":             {"volume show", 2, nil, []string{"accepts 1 arg"}},
		"bad output format": {"volume list -o yaml", 2, nil, []string{"table or json"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := f.volumectl(t, strings.Fields(tc.args)...)
			if got.code != tc.code || !inOrder(got.stdout, tc.stdout) || !inOrder(got.stderr, tc.stderr) {
				t.Errorf("want exit %d, %q, %q; got %v", tc.code, tc.stdout, tc.stderr, got)
			}
			if tc.stderr == nil && got.stderr != "" {
				t.Errorf("stderr: %s", got.stderr)
			}
			if tc.stdout == nil && got.stdout != "" {
				t.Errorf("stdout: %s", got.stdout)
			}
		})
	}
}

// inOrder reports whether all parts are in the text, one after the other.
func inOrder(text string, parts []string) bool {
	for _, part := range parts {
		_, after, ok := strings.Cut(text, part)
		if !ok {
			return false
		}
		text = after
	}
	return true
}

func TestCancel(t *testing.T) {
	got := newFake(t).volumectl(t, "operation", "cancel", opRun)
	if got.code != exitDone || !inOrder(got.stdout, []string{"status", "cancelled"}) {
		t.Error(got)
	}
}

// What is done is told although the worker has gone since.
func TestWorkerGoesAwayAfterTheEnd(t *testing.T) {
	got := newFake(t).volumectl(t, "volume", "create", "--backend", host, "--size", "1", "--name", "gone", "-o", "json")
	var reply rpc.VolumeReply
	if err := json.Unmarshal([]byte(got.stdout), &reply); err != nil || got.code != exitDone || reply.Operation.Status != volume.Succeeded {
		t.Errorf("%v: %v", err, got)
	}
}

// With -o json, stdout is one document in the shape of the wire, whatever happens.
func TestJSON(t *testing.T) {
	f := newFake(t)
	var failed rpc.ErrorReply
	got := f.volumectl(t, "volume", "create", "--backend", "rbd0", "--size", "2", "--name", "busy", "-o", "json")
	if err := json.Unmarshal([]byte(got.stdout), &failed); err != nil || failed.Error.Kind != fault.Busy || failed.Operation == nil {
		t.Errorf("%v: %v", err, got)
	}
	var running rpc.VolumeReply
	got = f.volumectl(t, "volume", "create", "--backend", "rbd0", "--size", "2", "--name", "stuck", "--wait", "10ms", "-o", "json")
	if err := json.Unmarshal([]byte(got.stdout), &running); err != nil || got.code != exitRunning || running.Operation.Status != volume.Running {
		t.Errorf("%v: %v", err, got)
	}
	var all rpc.VolumesReply
	got = f.volumectl(t, "volume", "list", "-o", "json")
	if err := json.Unmarshal([]byte(got.stdout), &all); err != nil || len(all.Volumes) != len(f.volumes) {
		t.Errorf("%v: %v", err, got)
	}
}

// Every flag of a request reaches the service, and the repetition for the final
// answer has the id of the request.
func TestIdentityAndRequestID(t *testing.T) {
	f := newFake(t)
	got := f.volumectl(t, "--project", "p", "--user", "u", "volume", "create", "--backend", "rbd0", "--size", "1", "--name", "slow", "--request-id", "mine")
	if got.code != exitDone {
		t.Fatal(got)
	}
	var ids []string
	for _, call := range f.calls {
		ids = append(ids, call.RequestID+" "+call.ProjectID+" "+call.UserID)
	}
	if len(ids) < 2 || slices.ContainsFunc(ids, func(id string) bool { return id != "mine p u" }) {
		t.Errorf("requests: %q", ids)
	}
}

func TestNoBus(t *testing.T) {
	srv := rpctest.NewServer(t)
	gone := srv.URL()
	srv.Stop()
	tests := map[string]struct {
		args   []string
		env    string
		stderr string
	}{
		"no address":         {[]string{"service", "list"}, "", "--nats or NATS_URL"},
		"nobody there":       {[]string{"service", "list", "--nats", gone}, "", "is the NATS server running?"},
		"nobody there, JSON": {[]string{"service", "list", "-o", "json"}, gone, "is the NATS server running?"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			a := &app{
				stdout: &stdout, stderr: &stderr, busFile: filepath.Join(t.TempDir(), "bus.url"),
				getenv: func(name string) string { return map[string]string{"NATS_URL": tc.env}[name] },
			}
			if code := a.run(t.Context(), tc.args); code != exitNobody || !strings.Contains(stderr.String(), tc.stderr) {
				t.Errorf("exit %d: %s", code, stderr.String())
			}
		})
	}
}

func TestHelpAndCompletion(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"volume", "create", "--help"}, {"completion", "bash"}, {"--version"}} {
		var stdout, stderr bytes.Buffer
		if code := run(context.Background(), args, &stdout, &stderr, func(string) string { return "" }); code != exitDone || stdout.Len() == 0 {
			t.Errorf("%v: exit %d, %s", args, code, stderr.String())
		}
	}
}

// The client runs where there is no Ceph, and carries no server along.
func TestDependencies(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", ".")
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range strings.Fields(string(out)) {
		for _, forbidden := range []string{"nats-server", "go-ceph", "modernc.org/sqlite", "pgx", "volumed/store", "volumed/driver", "volumed/worker"} {
			if strings.Contains(path, forbidden) {
				t.Errorf("imports %s", path)
			}
		}
	}
}
