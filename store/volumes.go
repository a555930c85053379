package store

import (
	"slices"
	"strings"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// volumeColumns are the columns of volumes: those that never change, and metadata,
// which has a life of its own; those that the indexes are about; the rest.
var volumeColumns = []string{
	"id", "created_at", "metadata",
	"deleted_at", "project_id", "host", "size", "volume_type_id", "image_id",
	"_name_id", "user_id", "display_name", "display_description", "status", "previous_status",
	"attach_status", "cluster_name", "availability_zone", "snapshot_id", "source_volid", "migration_status",
	"bootable", "multiattach", "updated_at", "launched_at", "terminated_at", "image_metadata", "adopted_parent",
}

const (
	volumeFixed   = 3
	volumeIndexed = 9
)

func volumeFields(v *volume.Volume) []any {
	return []any{
		&v.ID, timeOf(&v.CreatedAt), jsonOf(&v.Metadata),
		timeOf(&v.DeletedAt), &v.ProjectID, &v.Host, &v.Size, &v.VolumeTypeID, &v.ImageID,
		&v.NameID, &v.UserID, &v.Name, &v.Description, (*string)(&v.Status), (*string)(&v.PreviousStatus),
		&v.AttachStatus, &v.ClusterName, &v.AvailabilityZone, &v.SnapshotID, &v.SourceVolID, (*string)(&v.MigrationStatus),
		&v.Bootable, &v.Multiattach, timeOf(&v.UpdatedAt), timeOf(&v.LaunchedAt), timeOf(&v.TerminatedAt), jsonOf(&v.ImageMetadata),
		jsonOf(&v.AdoptedParent),
	}
}

var (
	selectVolumes = "SELECT " + strings.Join(volumeColumns, ", ") + " FROM volumes"
	selectVolume  = selectVolumes + " WHERE id = $1 AND deleted_at IS NULL"
	selectDeleted = selectVolumes + " WHERE id = $1 AND deleted_at IS NOT NULL"
	insertVolume  = insertInto("volumes", volumeColumns)
	// SQLite writes every index anew that an UPDATE names a column of. Most updates
	// leave those as they are, and then do not name them.
	updateUnmoved = "UPDATE volumes SET " + assignments(8, volumeColumns[volumeIndexed:]) +
		" WHERE id = $1 AND status = $2 AND deleted_at IS NULL AND project_id = $3 AND host = $4 AND size = $5 AND volume_type_id = $6 AND image_id = $7"
	updateVolume   = "UPDATE volumes SET " + assignments(3, volumeColumns[volumeFixed:]) + " WHERE id = $1 AND status = $2"
	countAttached  = "SELECT count(*) FROM volume_attachment WHERE volume_id = $1 AND deleted_at IS NULL"
	volumeResource = func(id string) volume.Resource { return volume.Resource{Type: volume.VolumeResource, ID: id} }
)

// Volume implements operation.Tx.
func (t *tx) Volume(id string) (volume.Volume, error) {
	return get(t.session, volumeFields, volumeResource(id), selectVolume+t.d.lockRow, id)
}

// DeletedVolume implements operation.Tx.
func (t *tx) DeletedVolume(id string) (volume.Volume, error) {
	return get(t.session, volumeFields, volumeResource(id), selectDeleted+t.d.lockRow, id)
}

// InsertVolume implements operation.Tx.
func (t *tx) InsertVolume(v *volume.Volume) error {
	v.CreatedAt, v.DeletedAt = t.now, deletedAt(v.Status, v.DeletedAt, t.now)
	n, err := t.exec(insertVolume, volumeFields(v)...)
	if err == nil && n == 0 {
		err = fault.New(fault.Exists, "%s exists already", volumeResource(v.ID))
	}
	return err
}

// UpdateVolume implements operation.Tx.
func (t *tx) UpdateVolume(v *volume.Volume, from volume.Status) error {
	v.UpdatedAt = t.now
	v.DeletedAt = deletedAt(v.Status, v.DeletedAt, t.now)
	fields, key := volumeFields(v), []any{v.ID, string(from)}
	if v.DeletedAt.IsZero() {
		n, err := t.exec(updateUnmoved, slices.Concat(key, fields[volumeFixed+1:])...) // without deleted_at
		if err != nil || n > 0 {
			return err
		}
	}
	n, err := t.exec(updateVolume, slices.Concat(key, fields[volumeFixed:])...)
	if err != nil {
		return err
	}
	return t.compareAndSet(n, "volumes", volumeResource(v.ID), from)
}

// Attachments implements operation.Tx.
func (t *tx) Attachments(volumeID string) (int, error) {
	var n int
	_, err := t.one([]any{&n}, countAttached, volumeID)
	return n, err
}

// deletedAt keeps status and deleted_at together: a row is a record exactly while
// it is deleted, since the time when that began.
func deletedAt(status volume.Status, since, now time.Time) time.Time {
	switch {
	case status != volume.Deleted:
		return time.Time{}
	case since.IsZero():
		return now
	default:
		return since
	}
}
