package store

import (
	"strings"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// snapshotColumns are the columns of snapshots, ordered as those of volumes.
var snapshotColumns = []string{
	"id", "created_at", "metadata",
	"volume_id", "project_id", "user_id", "display_name", "display_description", "status", "progress", "volume_size",
	"updated_at", "deleted_at", "previous_status",
}

const snapshotFixed = 3

func snapshotFields(s *volume.Snapshot) []any {
	return []any{
		&s.ID, timeOf(&s.CreatedAt), jsonOf(&s.Metadata),
		&s.VolumeID, &s.ProjectID, &s.UserID, &s.Name, &s.Description, (*string)(&s.Status), &s.Progress, &s.VolumeSize,
		timeOf(&s.UpdatedAt), timeOf(&s.DeletedAt), (*string)(&s.PreviousStatus),
	}
}

var (
	selectSnapshots  = "SELECT " + strings.Join(snapshotColumns, ", ") + " FROM snapshots"
	selectSnapshot   = selectSnapshots + " WHERE id = $1 AND deleted_at IS NULL"
	selectGone       = selectSnapshots + " WHERE id = $1 AND deleted_at IS NOT NULL"
	selectOfVolume   = selectSnapshots + " WHERE volume_id = $1 AND deleted_at IS NULL ORDER BY created_at, id"
	insertSnapshot   = insertInto("snapshots", snapshotColumns)
	updateSnapshot   = "UPDATE snapshots SET " + assignments(3, snapshotColumns[snapshotFixed:]) + " WHERE id = $1 AND status = $2"
	snapshotResource = func(id string) volume.Resource { return volume.Resource{Type: volume.SnapshotResource, ID: id} }
)

// Snapshot implements operation.Tx.
func (t *tx) Snapshot(id string) (volume.Snapshot, error) {
	return get(t.session, snapshotFields, snapshotResource(id), selectSnapshot+t.d.lockRow, id)
}

// DeletedSnapshot implements operation.Tx.
func (t *tx) DeletedSnapshot(id string) (volume.Snapshot, error) {
	return get(t.session, snapshotFields, snapshotResource(id), selectGone+t.d.lockRow, id)
}

// Snapshots implements operation.Tx.
func (t *tx) Snapshots(volumeID string) ([]volume.Snapshot, error) {
	return all(t.session, snapshotFields, selectOfVolume, volumeID)
}

// InsertSnapshot implements operation.Tx.
func (t *tx) InsertSnapshot(s *volume.Snapshot) error {
	s.CreatedAt, s.DeletedAt = t.now, deletedAt(s.Status, s.DeletedAt, t.now)
	n, err := t.exec(insertSnapshot, snapshotFields(s)...)
	if err == nil && n == 0 {
		err = fault.New(fault.Exists, "%s exists already", snapshotResource(s.ID))
	}
	return err
}

// UpdateSnapshot implements operation.Tx.
func (t *tx) UpdateSnapshot(s *volume.Snapshot, from volume.Status) error {
	s.UpdatedAt = t.now
	s.DeletedAt = deletedAt(s.Status, s.DeletedAt, t.now)
	n, err := t.exec(updateSnapshot, append([]any{s.ID, string(from)}, snapshotFields(s)[snapshotFixed:]...)...)
	if err != nil {
		return err
	}
	return t.compareAndSet(n, "snapshots", snapshotResource(s.ID), from)
}
