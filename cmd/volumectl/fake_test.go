package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/rpc/rpctest"
	"github.com/volumed/volumed/volume"
)

const (
	host  = "node1@rbd0"
	idA   = "aaaaaaaa-0000-4000-8000-000000000001"
	idB   = "aaaaaaaa-0000-4000-8000-000000000002"
	idS   = "bbbbbbbb-0000-4000-8000-000000000001"
	opEnd = "cccccccc-0000-4000-8000-000000000001"
	opRun = "cccccccc-0000-4000-8000-000000000002"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server.init.1.func1"))
}

// fake is a service that keeps its volumes in memory. What a volume is called
// decides how its creation goes: "slow" ends once somebody has looked, "stuck"
// never, "busy" fails, "gone" ends while its worker goes away.
type fake struct {
	events *rpc.Events
	srv    *rpc.Server
	url    string

	mu      sync.Mutex
	volumes []volume.Volume
	managed []rpc.ManageExistingRequest  // in their order
	ops     map[string]*volume.Operation // by request id
	calls   []rpc.Call
}

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{url: rpctest.NewServer(t).URL(), ops: map[string]*volume.Operation{
		"end": {
			ID: opEnd, RequestID: "end", Status: volume.Succeeded, Method: "delete_volume", Backend: host, Progress: 100,
			Resource: volume.Resource{Type: volume.VolumeResource, ID: idB},
		},
		"run": {ID: opRun, RequestID: "run", Status: volume.Running, Method: "flatten_volume", Backend: host, Progress: 40, Step: "flatten", BlockedBy: []string{"10.0.0.1:0/7"}, Hint: "detach it"},
	}}
	f.volumes = []volume.Volume{
		{ID: idA, Name: "first", Status: volume.Available, Size: 1, Host: host + "#volumes", Metadata: map[string]string{"b": "2", "a": "1"}},
		{ID: "aaaaaaaa-0000-4000-8000-000000000003", Name: "twin", Host: host},
		{ID: "aaaaaaaa-0000-4000-8000-000000000004", Name: "twin", Host: host},
		{ID: "aaaaaaaa-0000-4000-8000-000000000005", Name: "evil\x1b[31m\u202e", Host: host},
	}
	conn := rpctest.Connect(t, f.url)
	f.events = rpc.NewEvents(conn)
	f.srv = rpc.NewServer(conn, rpc.Config{Service: host}, hclog.NewNullLogger())
	f.register()
	if err := f.srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.stop)
	return f
}

func (f *fake) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = f.srv.Stop(ctx) // a second stop is nothing
}

func (f *fake) register() {
	rpc.Handle(f.srv, rpc.Service, rpc.MethodCreateVolume, f.create)
	rpc.Handle(f.srv, rpc.Service, rpc.MethodDeleteVolume, f.delete)
	rpc.Handle(f.srv, rpc.Service, rpc.MethodUndeleteVolume, func(_ context.Context, r rpc.UndeleteVolumeRequest) (rpc.VolumeReply, error) {
		return rpc.VolumeReply{Volume: volume.Volume{ID: r.VolumeID, Status: volume.Available}}, nil
	})
	rpc.Handle(f.srv, rpc.Service, rpc.MethodExtendVolume, func(_ context.Context, r rpc.ExtendVolumeRequest) (rpc.VolumeReply, error) {
		v, err := f.find(r.VolumeID)
		v.Size = r.NewSize
		return rpc.VolumeReply{Volume: v}, err
	})
	rpc.Handle(f.srv, rpc.Service, rpc.MethodUpdateVolume, func(_ context.Context, r rpc.UpdateVolumeRequest) (rpc.VolumeReply, error) {
		v, err := f.find(r.VolumeID)
		if v.Metadata = map[string]string{}; r.Name != nil {
			v.Name = *r.Name
		}
		if r.Bootable != nil {
			v.Metadata["bootable"] = fmt.Sprint(*r.Bootable)
		}
		for key, value := range r.Metadata {
			if v.Metadata[key] = "removed"; value != nil {
				v.Metadata[key] = *value
			}
		}
		return rpc.VolumeReply{Volume: v}, err
	})
	rpc.Handle(f.srv, rpc.Service, rpc.MethodCopyVolumeToImage, func(_ context.Context, r rpc.CopyVolumeToImageRequest) (rpc.VolumeReply, error) {
		v, err := f.find(r.VolumeID)
		v.Metadata = map[string]string{"to": r.Image.URL, "as": r.Image.Format, "forced": fmt.Sprint(r.Force)}
		return rpc.VolumeReply{Volume: v}, err
	})
	rpc.Handle(f.srv, rpc.Service, rpc.MethodReimage, func(_ context.Context, r rpc.ReimageRequest) (rpc.VolumeReply, error) {
		v, err := f.find(r.VolumeID)
		v.ImageMetadata = map[string]string{volume.ImageURL: r.Image.URL, volume.ImageFormat: r.Image.Format, volume.ImageChecksum: r.Image.Checksum}
		return rpc.VolumeReply{Volume: v}, err
	})
	rpc.Handle(f.srv, rpc.Service, rpc.MethodCreateSnapshot, func(_ context.Context, r rpc.CreateSnapshotRequest) (rpc.SnapshotReply, error) {
		return rpc.SnapshotReply{Snapshot: volume.Snapshot{ID: idS, VolumeID: r.VolumeID, Name: r.Name, Status: volume.Available}}, nil
	})
	rpc.Handle(f.srv, rpc.Service, rpc.MethodInitializeConnection, func(_ context.Context, r rpc.ConnectionRequest) (rpc.ConnectionReply, error) {
		return rpc.ConnectionReply{ConnectionInfo: volume.ConnectionInfo{DriverVolumeType: "rbd", Data: map[string]any{
			"name": "volumes/volume-" + r.VolumeID, "by": r.Connector["host"], "keyring": "SECRET",
		}}}, nil
	})
	rpc.Handle(f.srv, rpc.Service, rpc.MethodGetCapabilities, func(context.Context, rpc.CapabilitiesRequest) (rpc.CapabilitiesReply, error) {
		return rpc.CapabilitiesReply{Host: host, Capabilities: volume.Capabilities{VolumeBackendName: "rbd0", BackendState: volume.Up}}, nil
	})
	rpc.Handle(f.srv, rpc.Service, rpc.MethodCancelOperation, func(_ context.Context, r rpc.OperationRequest) (rpc.OperationReply, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.ops["run"].Status = volume.Cancelled
		return rpc.OperationReply{Operation: *f.ops["run"]}, nil
	})
	f.registerReads()
	f.registerTypes()
	f.registerAudits()
	f.registerManage()
}

func (f *fake) registerReads() {
	rpc.Handle(f.srv, rpc.Any, rpc.MethodListServices, func(context.Context, rpc.ListServicesRequest) (rpc.ServicesReply, error) {
		service := func(host string) rpc.ServiceInfo {
			return rpc.ServiceInfo{Service: volume.Service{Host: host, Binary: volume.Binary, Phase: volume.Ready}, Status: "enabled", State: volume.Up}
		}
		return rpc.ServicesReply{Services: []rpc.ServiceInfo{service(host), service("node1@rbd1"), service("node2@rbd1"), service("node2@dead")}}, nil
	})
	rpc.Handle(f.srv, rpc.Any, rpc.MethodListVolumes, f.list)
	rpc.Handle(f.srv, rpc.Any, rpc.MethodGetVolume, func(_ context.Context, r rpc.VolumeIDRequest) (rpc.VolumeReply, error) {
		v, err := f.find(r.VolumeID)
		return rpc.VolumeReply{Volume: v}, err
	})
	rpc.Handle(f.srv, rpc.Any, rpc.MethodWhy, f.why)
	rpc.Handle(f.srv, rpc.Any, rpc.MethodGetOperation, f.getOperation)
	rpc.Handle(f.srv, rpc.Any, rpc.MethodListOperations, func(_ context.Context, r rpc.ListOperationsRequest) (rpc.OperationsReply, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		var reply rpc.OperationsReply
		for _, op := range f.ops {
			if r.ResourceID == "" || op.ID == opEnd {
				reply.Operations = append(reply.Operations, *op)
			}
		}
		return reply, nil
	})
}

// why explains the volume that is deleted, and snapshots.
func (f *fake) why(_ context.Context, r rpc.WhyRequest) (rpc.WhyReply, error) {
	if r.VolumeID != idB && r.VolumeID != idA && r.SnapshotID == "" {
		return rpc.WhyReply{}, fault.New(fault.NotFound, "there is no volume %s", r.VolumeID).WithField("volume_id")
	}
	return rpc.WhyReply{
		Resource: volume.Resource{Type: volume.VolumeResource, ID: r.VolumeID}, Status: volume.Deleted,
		Verdict: rpc.VerdictWaiting, Summary: "it was deleted, \x1b[1mand kept",
		Causes:     []rpc.Cause{{Text: "purge_volume waits.", Hint: "volumectl volume undelete " + idB}},
		Volume:     &volume.Volume{ID: r.VolumeID, Host: host + "#volumes"},
		Operations: []volume.Operation{*f.ops["end"]},
		Events:     []volume.Event{{ID: 1, What: "delete_volume.succeeded", OperationID: opEnd}},
	}, nil
}

func (f *fake) find(id string) (volume.Volume, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, v := range f.volumes {
		if v.ID == id {
			return v, nil
		}
	}
	return volume.Volume{}, fault.New(fault.NotFound, "there is no volume %s", id).WithField("volume_id")
}

// list answers two volumes a page.
func (f *fake) list(_ context.Context, r rpc.ListVolumesRequest) (reply rpc.VolumesReply, _ error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	past := r.Marker == ""
	for _, v := range f.volumes {
		switch {
		case !past:
			past = v.ID == r.Marker
		case r.Name != "" && v.Name != r.Name:
		case len(reply.Volumes) == 2:
			reply.Next = reply.Volumes[1].ID
			return reply, nil
		default:
			reply.Volumes = append(reply.Volumes, v)
		}
	}
	return reply, nil
}

func (f *fake) create(ctx context.Context, r rpc.CreateVolumeRequest) (rpc.VolumeReply, error) {
	call := rpc.CallFrom(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, call)
	if r.Size < 1 && r.SourceVolID == "" {
		return rpc.VolumeReply{}, fault.New(fault.Invalid, "size must be at least 1").WithField("size")
	}
	op, ok := f.ops[call.RequestID]
	if !ok {
		op = &volume.Operation{ID: "op-" + r.Name, Method: call.Method, Backend: host, Status: volume.Running, RequestID: call.RequestID}
		f.ops[call.RequestID] = op
	}
	v := volume.Volume{ID: idB, Name: r.Name, Size: r.Size, Status: volume.Creating, Host: host, SourceVolID: r.SourceVolID, ProjectID: call.ProjectID}
	switch r.Name {
	case "slow", "stuck", "gone":
	case "busy":
		op.Status = volume.Failed
		err := fault.New(fault.Busy, "image is in use").WithBlockers("10.0.0.1:0/7", "10.0.0.2:0/8").WithHint("detach it")
		return rpc.VolumeReply{}, rpc.WithOperation(err, *op)
	default:
		op.Status = volume.Succeeded
	}
	if op.Status == volume.Succeeded {
		v.Status = volume.Available
	}
	state := *op
	return rpc.VolumeReply{Operation: &state, Volume: v}, nil
}

func (f *fake) delete(ctx context.Context, r rpc.DeleteVolumeRequest) (rpc.VolumeReply, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, rpc.CallFrom(ctx))
	return rpc.VolumeReply{Operation: f.ops["end"], Volume: volume.Volume{ID: r.VolumeID, Status: volume.Deleted}}, nil
}

// getOperation shows an operation as it is, and lets the slow ones end then.
func (f *fake) getOperation(ctx context.Context, r rpc.OperationRequest) (rpc.OperationReply, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, op := range f.ops {
		if op.ID != r.OperationID {
			continue
		}
		reply := rpc.OperationReply{Operation: *op}
		if op.ID == "op-slow" || op.ID == "op-gone" {
			op.Status, op.Progress, op.UpdatedAt = volume.Succeeded, 100, time.Now()
			if op.ID == "op-gone" {
				go f.stop()
			}
			return reply, f.events.PublishOperation(ctx, *op)
		}
		return reply, nil
	}
	return rpc.OperationReply{}, fault.New(fault.NotFound, "there is no operation %s", r.OperationID)
}

// result is what a command line came to.
type result struct {
	code           int
	stdout, stderr string
}

func (r result) String() string {
	return fmt.Sprintf("exit %d\nstdout:\n%s\nstderr:\n%s", r.code, r.stdout, r.stderr)
}

// volumectl runs a command line against the fake, which bus.url names.
func (f *fake) volumectl(t *testing.T, args ...string) result {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bus.url")
	if err := os.WriteFile(file, []byte(f.url+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	a := &app{stdout: &stdout, stderr: &stderr, getenv: func(string) string { return "" }, busFile: file}
	code := a.run(t.Context(), args)
	return result{code, stdout.String(), stderr.String()}
}
