package store

import (
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// What people say of a resource is written by itself, beside the operations that
// change the rest of its row.

const (
	setLabels     = " SET display_name = $2, display_description = $3, metadata = $4, updated_at = $5"
	ofLive        = " WHERE id = $1 AND deleted_at IS NULL"
	labelVolume   = "UPDATE volumes" + setLabels + ", bootable = $6" + ofLive
	labelSnapshot = "UPDATE snapshots" + setLabels + ofLive
)

// LabelVolume implements operation.Tx.
func (t *tx) LabelVolume(v *volume.Volume) error {
	v.UpdatedAt = t.now
	return t.label(labelVolume, volumeResource(v.ID), &v.Name, &v.Description, jsonOf(&v.Metadata), timeOf(&t.now), &v.Bootable)
}

// LabelSnapshot implements operation.Tx.
func (t *tx) LabelSnapshot(s *volume.Snapshot) error {
	s.UpdatedAt = t.now
	return t.label(labelSnapshot, snapshotResource(s.ID), &s.Name, &s.Description, jsonOf(&s.Metadata), timeOf(&t.now))
}

func (t *tx) label(update string, r volume.Resource, values ...any) error {
	n, err := t.exec(update, append([]any{r.ID}, values...)...)
	if err == nil && n == 0 {
		err = fault.New(fault.NotFound, "there is no %s", r)
	}
	return err
}
