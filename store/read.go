package store

import (
	"context"
	"strconv"

	"github.com/volumed/volumed/volume"
)

// The reads need no fence; any process may ask. Lists are paged: they return the
// marker of the next page, or "" with the last one. A filter's empty fields
// restrict nothing. Errors are fault.NotFound for a row that is not there,
// fault.Invalid for a page that cannot be, fault.Unavailable for a database that
// does not answer; a cancelled ctx ends them.

// Services returns services in the order in which they first came.
func (db *DB) Services(ctx context.Context, f volume.ServiceFilter) ([]volume.ServiceState, string, error) {
	var q selection
	if err := q.pageByID(f.Page); err != nil {
		return nil, "", err
	}
	if f.Host != "" {
		q.where(`(host = ? OR (length(host) > length(CAST(? AS TEXT))
			AND substr(host, length(host) - length(CAST(? AS TEXT))) = '@' || CAST(? AS TEXT)))`, f.Host)
	}
	fields := func(s *volume.ServiceState) []any { return append(serviceFields(&s.Service), (*int64)(&s.Age)) }
	rows, err := all(db.reader(ctx), fields,
		q.sql("SELECT "+serviceRow+", ("+db.d.now+" - updated_at) * 1000 FROM services", byID), q.args...)
	page, next := cut(&q, rows, func(s *volume.ServiceState) string { return strconv.FormatInt(s.ID, 10) })
	return page, next, err
}

// Volumes returns volumes that are not deleted, newest first.
func (db *DB) Volumes(ctx context.Context, f volume.VolumeFilter) ([]volume.Volume, string, error) {
	var q selection
	q.always("deleted_at IS NULL")
	q.equal("project_id", f.ProjectID)
	q.onHost(f.Host)
	q.equal("status", string(f.Status))
	q.equal("display_name", f.Name)
	if err := q.page(f.Page); err != nil {
		return nil, "", err
	}
	rows, err := all(db.reader(ctx), volumeFields, q.sql(selectVolumes, newestFirst), q.args...)
	page, next := cut(&q, rows, func(v *volume.Volume) string { return markerAt(v.CreatedAt, v.ID) })
	return page, next, err
}

// Volume returns a volume that is not deleted.
func (db *DB) Volume(ctx context.Context, id string) (volume.Volume, error) {
	return get(db.lookup(ctx), volumeFields, volumeResource(id), selectVolume, id)
}

// VolumeRecord returns a volume, also one of which only the record remains.
func (db *DB) VolumeRecord(ctx context.Context, id string) (volume.Volume, error) {
	return get(db.lookup(ctx), volumeFields, volumeResource(id), selectVolumes+" WHERE id = $1", id)
}

// AllocatedGB returns the sum of the sizes, in GiB, of the volumes on the service
// host or, if it names one, on the pool.
func (db *DB) AllocatedGB(ctx context.Context, host string) (int64, error) {
	var q selection
	q.always("deleted_at IS NULL")
	q.onHost(host)
	var sum int64
	_, err := db.reader(ctx).one([]any{&sum},
		q.sql("SELECT CAST(coalesce(sum(size), 0) AS BIGINT) FROM volumes", "1"), q.args...)
	return sum, err
}

// Snapshots returns snapshots that are not deleted, newest first.
func (db *DB) Snapshots(ctx context.Context, f volume.SnapshotFilter) ([]volume.Snapshot, string, error) {
	var q selection
	q.always("deleted_at IS NULL")
	q.equal("project_id", f.ProjectID)
	q.equal("volume_id", f.VolumeID)
	q.equal("status", string(f.Status))
	q.equal("display_name", f.Name)
	if err := q.page(f.Page); err != nil {
		return nil, "", err
	}
	rows, err := all(db.reader(ctx), snapshotFields, q.sql(selectSnapshots, newestFirst), q.args...)
	page, next := cut(&q, rows, func(s *volume.Snapshot) string { return markerAt(s.CreatedAt, s.ID) })
	return page, next, err
}

// Snapshot returns a snapshot that is not deleted.
func (db *DB) Snapshot(ctx context.Context, id string) (volume.Snapshot, error) {
	return get(db.lookup(ctx), snapshotFields, snapshotResource(id), selectSnapshot, id)
}

// SnapshotRecord returns a snapshot, also one of which only the record remains.
func (db *DB) SnapshotRecord(ctx context.Context, id string) (volume.Snapshot, error) {
	return get(db.lookup(ctx), snapshotFields, snapshotResource(id), selectSnapshots+" WHERE id = $1", id)
}

// Operations returns operations, newest first.
func (db *DB) Operations(ctx context.Context, f volume.OperationFilter) ([]volume.Operation, string, error) {
	var q selection
	q.equal("project_id", f.ProjectID)
	q.equal("backend", f.Backend)
	q.equal("status", string(f.Status))
	q.equal("method", f.Method)
	q.equal("resource_id", f.ResourceID)
	if f.Unfinished {
		q.always(unfinished)
	}
	if err := q.page(f.Page); err != nil {
		return nil, "", err
	}
	rows, err := all(db.reader(ctx), operationFields, q.sql(selectOperations, newestFirst), q.args...)
	page, next := cut(&q, rows, func(op *volume.Operation) string { return markerAt(op.CreatedAt, op.ID) })
	return page, next, err
}

// LastEvents returns the newest events of a resource, newest first, at most n.
func (db *DB) LastEvents(ctx context.Context, r volume.Resource, n int) ([]volume.Event, error) {
	return all(db.lookup(ctx), eventFields, selectLastEvents, r.ID, string(r.Type), n)
}

// Events returns events in the order in which they were committed.
func (db *DB) Events(ctx context.Context, f volume.EventFilter) ([]volume.Event, string, error) {
	var q selection
	q.equal("resource_type", string(f.Type))
	q.equal("resource_id", f.ResourceID)
	q.equal("operation_id", f.OperationID)
	if err := q.pageByID(f.Page); err != nil {
		return nil, "", err
	}
	rows, err := all(db.reader(ctx), eventFields, q.sql(selectEvents, byID), q.args...)
	page, next := cut(&q, rows, func(e *volume.Event) string { return strconv.FormatInt(e.ID, 10) })
	return page, next, err
}
