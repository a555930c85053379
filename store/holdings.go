package store

import (
	"context"
	"slices"
	"strings"

	"github.com/volumed/volumed/volume"
)

// Holdings returns all rows that say what a service has on its backend. They are not
// of one moment; an operation is among them if it was unfinished when the reading
// began or when it ended.
func (db *DB) Holdings(ctx context.Context, host string) (h volume.Holdings, err error) {
	s := db.reader(ctx)
	if h.Operations, err = s.unfinishedOf(host); err != nil {
		return h, err
	}
	var live selection
	live.always("deleted_at IS NULL")
	live.onHost(host)
	if h.Volumes, err = all(s, volumeFields, live.whole(selectVolumes), live.args...); err != nil {
		return h, err
	}
	of := selectSnapshots + " WHERE deleted_at IS NULL AND volume_id IN (" + live.whole("SELECT id FROM volumes") + ")"
	if h.Snapshots, err = all(s, snapshotFields, of, live.args...); err != nil {
		return h, err
	}
	var trashed selection
	trashed.always("deleted_at IS NOT NULL AND image_id <> ''")
	trashed.onHost(host)
	if h.Trashed, err = all(s, volumeFields, trashed.whole(selectVolumes), trashed.args...); err != nil {
		return h, err
	}
	known := map[string]bool{}
	for _, op := range h.Operations {
		known[op.ID] = true
	}
	later, err := s.unfinishedOf(host)
	for _, op := range later {
		if !known[op.ID] {
			h.Operations = append(h.Operations, op)
		}
	}
	return h, err
}

func (s *session) unfinishedOf(host string) ([]volume.Operation, error) {
	return all(s, operationFields, selectOperations+" WHERE backend = $1 AND "+unfinished, host)
}

// VolumeRecords returns those of the volumes that have rows, also those of which only
// the record remains.
func (db *DB) VolumeRecords(ctx context.Context, ids []string) ([]volume.Volume, error) {
	return byIDs(db.reader(ctx), volumeFields, selectVolumes, ids)
}

// SnapshotRecords does the same for snapshots.
func (db *DB) SnapshotRecords(ctx context.Context, ids []string) ([]volume.Snapshot, error) {
	return byIDs(db.reader(ctx), snapshotFields, selectSnapshots, ids)
}

// VolumesOfImages returns the volumes, deleted or not and of whatever service, that have
// one of these image ids.
func (db *DB) VolumesOfImages(ctx context.Context, imageIDs []string) ([]volume.Volume, error) {
	return byColumn(db.reader(ctx), volumeFields, selectVolumes, ofImage, imageIDs)
}

// ofImage names the image id in the words of the condition that its index has.
const ofImage = "image_id <> '' AND image_id"

// idBatch is how many ids one statement asks for.
const idBatch = 500

func byIDs[T any](s *session, fields func(*T) []any, selectFrom string, ids []string) ([]T, error) {
	return byColumn(s, fields, selectFrom, "id", ids)
}

func byColumn[T any](s *session, fields func(*T) []any, selectFrom, column string, ids []string) (rows []T, err error) {
	for batch := range slices.Chunk(ids, idBatch) {
		args := make([]any, len(batch))
		for i, id := range batch {
			args[i] = id
		}
		found, err := all(s, fields, selectFrom+" WHERE "+column+" IN ("+placeholders(len(args))+")", args...)
		if err != nil {
			return nil, err
		}
		rows = append(rows, found...)
	}
	return rows, nil
}

// whole returns the statement without an order and a limit.
func (q *selection) whole(selectFrom string) string {
	return selectFrom + " WHERE " + strings.Join(q.conditions, " AND ")
}
