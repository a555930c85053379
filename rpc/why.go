package rpc

import (
	"context"
	"time"

	"github.com/volumed/volumed/volume"
)

// MethodWhy is answered by any worker, from SQL.
const MethodWhy = "why"

// WhyRequest names a volume or a snapshot: one of the two, deleted or not.
type WhyRequest struct {
	VolumeID   string `json:"volume_id,omitempty"`
	SnapshotID string `json:"snapshot_id,omitempty"`
}

// Verdict says in one word how a volume or a snapshot is.
type Verdict string

// The verdicts.
const (
	VerdictOK      Verdict = "ok"      // at rest, and nothing is wrong
	VerdictWorking Verdict = "working" // an operation makes progress
	VerdictWaiting Verdict = "waiting" // an operation waits for something
	VerdictFailed  Verdict = "failed"  // the last operation failed, or its status is an error
	VerdictAway    Verdict = "away"    // at rest, but its service is down or degraded
	VerdictStuck   Verdict = "stuck"   // something is to be done and nobody does it
	VerdictDeleted Verdict = "deleted" // only the record is left
)

// WhyReply tells what a volume or a snapshot waits for or why it failed.
type WhyReply struct {
	volume.Resource
	Status  volume.Status `json:"status"`
	Verdict Verdict       `json:"verdict"`
	// Summary is one sentence for a person.
	Summary string `json:"summary"`
	// Causes are what the verdict is made of, the most urgent first.
	Causes []Cause `json:"causes"`
	// Service is the one of the volume, unless it has no row any more.
	Service  *ServiceInfo     `json:"service,omitempty"`
	Volume   *volume.Volume   `json:"volume,omitempty"` // of a snapshot, the one that it is of
	Snapshot *volume.Snapshot `json:"snapshot,omitempty"`
	// Operations and Events are the last ones of the resource, newest first.
	Operations []volume.Operation `json:"operations"`
	Events     []volume.Event     `json:"events"`
}

// Cause is one thing that a volume or a snapshot waits for, or failed of.
type Cause struct {
	// Text says it in a sentence, Hint what to do about it, if anything can be done.
	Text string `json:"text"`
	Hint string `json:"hint,omitempty"`
	// OperationID is the operation that it is about.
	OperationID string `json:"operation_id,omitempty"`
	// BlockedBy names what stands in the way: volumes, snapshots, operations, images,
	// addresses of clients.
	BlockedBy []string  `json:"blocked_by,omitempty"`
	Since     time.Time `json:"since,omitzero"`
	NextTry   time.Time `json:"next_try,omitzero"`
}

// Why tells what a volume or a snapshot waits for or why it failed.
func (c *Client) Why(ctx context.Context, req WhyRequest) (WhyReply, error) {
	return invoke[WhyReply](ctx, c, "", MethodWhy, req, CallOptions{})
}
