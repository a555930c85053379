package storetest

import (
	"testing"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/volume"
)

// testLabels changes what people say of a volume and a snapshot, and nothing else of
// their rows.
func testLabels(t *testing.T, url string) {
	db := Open(t, url)
	fence := TakeOver(t, db, "node@rbd0")
	v, op := wholeVolume(fence.Host), wholeOperation(fence)
	s := wholeSnapshot(v.ID)
	write(t, db, fence, func(tx operation.Tx) error {
		if err := tx.InsertOperation(&op); err != nil {
			return err
		}
		if err := tx.InsertVolume(&v); err != nil {
			return err
		}
		return tx.InsertSnapshot(&s)
	})
	for _, metadata := range []map[string]string{{"a": "1", "ü": "\"'"}, nil} {
		v.Name, v.Description, v.Metadata, v.Bootable = "new", "", metadata, metadata != nil
		s.Name, s.Description, s.Metadata = "", "other", metadata
		write(t, db, fence, func(tx operation.Tx) error {
			other, another := v, s
			other.Size, other.Status, another.Status = 99, volume.Error, volume.Error // not written
			if err := tx.LabelVolume(&other); err != nil {
				return err
			}
			err := tx.LabelSnapshot(&another)
			v.UpdatedAt, s.UpdatedAt = other.UpdatedAt, another.UpdatedAt
			return err
		})
		wantRows(t, db, fence, v, s, op)
	}
	before := v.Status
	v.Status = volume.Deleted
	write(t, db, fence, func(tx operation.Tx) error { return tx.UpdateVolume(&v, before) })
	writeKind(t, db, fence, fault.NotFound, func(tx operation.Tx) error { return tx.LabelVolume(&v) })
}
