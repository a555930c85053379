package worker

import (
	"context"
	"time"

	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/volume"
)

// Store is what a worker needs of the database.
type Store interface {
	operation.Journal
	serviceStore
	reader
	typeStore
	auditStore
	Close() error
}

// serviceStore keeps the worker's own row.
type serviceStore interface {
	// TakeOver makes this process the one of the service and returns its row,
	// with the epoch that fences everything the process writes, and the row as
	// the process before has left it.
	TakeOver(ctx context.Context, s volume.Service) (row volume.Service, before volume.ServiceState, err error)
	// Heartbeat writes that the process lives, by the database's clock.
	Heartbeat(ctx context.Context, fence operation.Fence, phase volume.Phase, reason string, addrs []string) error
	// Prune removes records of operations that ended before the time.
	Prune(ctx context.Context, before time.Time) (int, error)
}

// reader answers questions from the tables. Lists return the marker of the next
// page, empty after the last.
type reader interface {
	ID() string
	Schema() string // for people
	Services(ctx context.Context, f volume.ServiceFilter) ([]volume.ServiceState, string, error)
	Volumes(ctx context.Context, f volume.VolumeFilter) ([]volume.Volume, string, error)
	Snapshots(ctx context.Context, f volume.SnapshotFilter) ([]volume.Snapshot, string, error)
	Operations(ctx context.Context, f volume.OperationFilter) ([]volume.Operation, string, error)
	// LastEvents are the newest events of a resource, newest first.
	LastEvents(ctx context.Context, r volume.Resource, n int) ([]volume.Event, error)
	// Volume and Snapshot return rows that are not deleted, Record also those
	// that are.
	Volume(ctx context.Context, id string) (volume.Volume, error)
	Snapshot(ctx context.Context, id string) (volume.Snapshot, error)
	VolumeRecord(ctx context.Context, id string) (volume.Volume, error)
	SnapshotRecord(ctx context.Context, id string) (volume.Snapshot, error)
	// AllocatedGB is the sum of the sizes of the service's volumes, in GiB.
	AllocatedGB(ctx context.Context, host string) (int64, error)
	// CacheVolumes are the volumes of the service's image cache: those that are no
	// entries, then the least recently used first.
	CacheVolumes(ctx context.Context, host string) ([]volume.CacheVolume, error)
}

// auditStore keeps audits and answers what they ask. Its writes are made under the
// fence, and may be repeated.
type auditStore interface {
	// Holdings are all rows that say what the service has on its backend; the
	// Records are those of the given ids that there are, deleted or not.
	Holdings(ctx context.Context, host string) (volume.Holdings, error)
	VolumeRecords(ctx context.Context, ids []string) ([]volume.Volume, error)
	// VolumesOfImages are the volumes, deleted or not and of whatever service, that have
	// the images with these ids.
	VolumesOfImages(ctx context.Context, imageIDs []string) ([]volume.Volume, error)
	SnapshotRecords(ctx context.Context, ids []string) ([]volume.Snapshot, error)
	// SaveAudit replaces what was saved of the audit before.
	SaveAudit(ctx context.Context, fence operation.Fence, a *volume.Audit, findings []volume.Finding) error
	// TakePlan notes which operation carries a plan out: no other may.
	TakePlan(ctx context.Context, fence operation.Fence, auditID, operationID string) error
	StepDone(ctx context.Context, fence operation.Fence, auditID string, step int) error
	Audits(ctx context.Context, f volume.AuditFilter) ([]volume.Audit, string, error)
	Audit(ctx context.Context, id string) (volume.Audit, error)
	Findings(ctx context.Context, f volume.FindingFilter) ([]volume.Finding, string, error)
}
