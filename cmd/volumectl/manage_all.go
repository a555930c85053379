package main

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// Actions of a manageStep.
const (
	actVolume   = "manage"
	actDeleted  = "manage-as-deleted"
	actSnapshot = "manage-snapshot"
	actSkip     = "skip"
)

// manageStep is what becomes of one image or snapshot.
type manageStep struct {
	Action     string `json:"action"`
	SourceName string `json:"source_name"` // image, or image@snapshot
	VolumeID   string `json:"volume_id,omitempty"`
	SnapshotID string `json:"snapshot_id,omitempty"`
	Reason     string `json:"reason,omitempty"` // why it is skipped
	Done       bool   `json:"done"`
	Error      string `json:"error,omitempty"`

	depth    int // of clones below one another
	key      string
	volume   rpc.ManageExistingRequest
	snapshot rpc.ManageExistingSnapshotRequest
}

// managed is the document of volume manage --all.
type managed struct {
	Steps []*manageStep `json:"steps"`
}

// manageAll takes over everything in the pool whose name holds an id, parents before
// their clones, volumes before their snapshots.
func (a *app) manageAll(ctx context.Context, service string, f manageFlags) error {
	steps, err := a.planAll(ctx, service, f)
	if err != nil {
		return err
	}
	if !f.plan {
		err = a.carryOutAll(ctx, service, f.change, steps)
	}
	return errors.Join(a.print(managed{steps}, manageTable(steps)), err)
}

func (a *app) planAll(ctx context.Context, service string, f manageFlags) ([]*manageStep, error) {
	o := rpc.CallOptions{Wait: listingWait}
	volumes, err := collect(list{}, a.client.ManageableVolumes(ctx, service, rpc.ManageableVolumesRequest{}, o))
	if err != nil {
		return nil, err
	}
	steps := planVolumes(volumes, f.req)
	ids := map[string]string{} // of volumes, by their image
	for _, s := range steps {
		if s.Action == actVolume {
			ids[s.key] = s.VolumeID
		}
	}
	snapshots, err := collect(list{}, a.client.ManageableSnapshots(ctx, service, rpc.ManageableSnapshotsRequest{}, o))
	for _, m := range snapshots {
		if s := planSnapshot(m, ids); s != nil {
			steps = append(steps, s)
		}
	}
	if steps == nil {
		steps = []*manageStep{} // in JSON an empty list, not null
	}
	return steps, err
}

// planVolumes says what becomes of each image that is not managed already.
func planVolumes(all []rpc.ManageableVolume, like rpc.ManageExistingRequest) []*manageStep {
	depths := depthsOf(all)
	var steps []*manageStep
	for _, m := range all {
		s := &manageStep{SourceName: m.Reference.SourceName, VolumeID: m.KeepID, depth: depths[m.Reference.SourceID], key: m.Reference.SourceID}
		s.volume = like
		s.volume.SourceName, s.volume.SourceID = m.Reference.SourceName, m.Reference.SourceID
		switch {
		case m.CinderID != "":
			continue
		case m.AsDeleted:
			s.Action, s.volume.AsDeleted, s.volume.VolumeType = actDeleted, true, ""
		case !m.SafeToManage:
			s.Action, s.Reason = actSkip, m.ReasonNotSafe
		case m.KeepID == "":
			s.Action, s.Reason = actSkip, "its name holds no id; manage it by its name"
		default:
			s.Action, s.volume.VolumeID = actVolume, m.KeepID
		}
		steps = append(steps, s)
	}
	slices.SortStableFunc(steps, func(a, b *manageStep) int {
		return cmp.Or(cmp.Compare(a.depth, b.depth), strings.Compare(a.SourceName, b.SourceName))
	})
	return steps
}

// depthsOf returns how many parents in the pool each image has, one above the other.
func depthsOf(all []rpc.ManageableVolume) map[string]int {
	parents := map[string]string{}
	for _, m := range all {
		if p := m.ExtraInfo.Parent; p != nil && p.Pool == "" {
			parents[m.Reference.SourceID] = p.ImageID
		}
	}
	depths := map[string]int{}
	for _, m := range all {
		depth := 0
		for id := parents[m.Reference.SourceID]; id != "" && depth < len(all); id = parents[id] {
			depth++
		}
		depths[m.Reference.SourceID] = depth
	}
	return depths
}

// planSnapshot says what becomes of a snapshot; nil for one that is managed or serves
// others, or whose volume is not managed with it.
func planSnapshot(m rpc.ManageableSnapshot, volumes map[string]string) *manageStep {
	id := cmp.Or(m.VolumeID, volumes[m.SourceReference.SourceID])
	if m.CinderID != "" || id == "" || !m.SafeToManage && m.KeepID == "" {
		return nil
	}
	s := &manageStep{
		Action: actSnapshot, SourceName: m.SourceReference.SourceName + "@" + m.Reference.SourceName, VolumeID: id, SnapshotID: m.KeepID,
		key: m.SourceReference.SourceID + "-" + m.Reference.SourceID,
		snapshot: rpc.ManageExistingSnapshotRequest{
			VolumeID: id, SourceName: m.Reference.SourceName, SnapshotID: m.KeepID,
		},
	}
	if m.KeepID == "" {
		s.Action, s.Reason = actSkip, "its name holds no id; manage it by its name"
	}
	return s
}

// carryOutAll carries the steps out, one after the other. What depends on one that has
// failed fails by itself.
func (a *app) carryOutAll(ctx context.Context, service string, c change, steps []*manageStep) error {
	failures, tried := 0, 0
	for _, s := range steps {
		if s.Action == actSkip {
			continue
		}
		tried++
		one := c
		one.requestID += "-" + s.key
		if err := a.carryOutStep(ctx, service, one, s); err != nil {
			failures++
			s.Error = err.Error()
		}
		s.Done = s.Error == ""
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if failures > 0 {
		return fault.New(fault.Conflict, "%w: %d of %d", errPartly, failures, tried).WithHint("what went well stays; %s", retryHint(c))
	}
	return nil
}

// retryHint says how to try what has failed again: under its request id, what was accepted
// and failed is the same failure.
func retryHint(c change) string {
	if c.named {
		return "the same command without --request-id tries the rest again"
	}
	return "the same command tries the rest again"
}

// errPartly is the error of a run of which some steps failed, which was printed.
var errPartly = errors.New("some could not be managed")

func (a *app) carryOutStep(ctx context.Context, service string, c change, s *manageStep) error {
	if s.Action == actSnapshot {
		_, err := carryOut(ctx, a, c, func(r rpc.SnapshotReply) *volume.Operation { return r.Operation },
			func(ctx context.Context, o rpc.CallOptions) (rpc.SnapshotReply, error) {
				return a.client.ManageExistingSnapshot(ctx, service, s.snapshot, o)
			})
		return err
	}
	_, err := carryOut(ctx, a, c, func(r rpc.VolumeReply) *volume.Operation { return r.Operation },
		func(ctx context.Context, o rpc.CallOptions) (rpc.VolumeReply, error) {
			return a.client.ManageExisting(ctx, service, s.volume, o)
		})
	return err
}

func manageTable(steps []*manageStep) table {
	t := table{head: []string{"ACTION", "SOURCE", "VOLUME", "DONE", "REASON"}}
	for _, s := range steps {
		t.rows = append(t.rows, []string{s.Action, s.SourceName, s.VolumeID, yes(s.Done), cmp.Or(s.Error, s.Reason)})
	}
	return t
}
