package storetest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/volume"
)

func testTypes(t *testing.T, url string) {
	db := Open(t, url)
	fence := TakeOver(t, db, "node1@rbd0")
	gold := volume.Type{
		ID: uuid.NewString(), Name: "gold", Description: "fast", ExtraSpecs: map[string]string{"multiattach": "<is> True"},
		QoS: map[string]string{"total_iops_sec": "100"}, Consumer: volume.BothEnds,
	}
	// One whose name is the id of the other.
	odd := volume.Type{ID: uuid.NewString(), Name: gold.ID}
	write(t, db, fence, func(tx operation.Tx) error {
		if err := tx.InsertType(&gold); err != nil {
			return err
		}
		return tx.InsertType(&odd)
	})
	for _, name := range []string{gold.ID, gold.Name} {
		got, err := db.Type(t.Context(), name)
		if diff := cmp.Diff(gold, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("type %s: %v %s", name, err, diff)
		}
	}
	if _, err := db.Type(t.Context(), "silver"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("a type that is not there: %v", err)
	}
	for name, change := range map[string]func(tx operation.Tx) error{
		"insert": func(tx operation.Tx) error { return tx.InsertType(&volume.Type{ID: uuid.NewString(), Name: "gold"}) },
		"update": func(tx operation.Tx) error { return tx.UpdateType(&volume.Type{ID: odd.ID, Name: "gold"}) },
	} {
		if err := db.Write(t.Context(), fence, change); fault.KindOf(err) != fault.Exists {
			t.Errorf("%s of a name that is taken: %v", name, err)
		}
	}
	gold.Name, gold.QoS, gold.Consumer = "silver", nil, ""
	write(t, db, fence, func(tx operation.Tx) error { return tx.UpdateType(&gold) })
	byID, err := db.AllTypes(t.Context())
	if diff := cmp.Diff(gold, byID[gold.ID], cmpopts.EquateEmpty()); err != nil || diff != "" || len(byID) != 2 {
		t.Errorf("%d types: %v %s", len(byID), err, diff)
	}
	page, next, err := db.Types(t.Context(), volume.TypeFilter{Page: volume.Page{Limit: 1}})
	if err != nil || len(page) != 1 || next == "" {
		t.Fatalf("a page of %d, next %q: %v", len(page), next, err)
	}
	rest, next, err := db.Types(t.Context(), volume.TypeFilter{Page: volume.Page{Limit: 1, Marker: next}})
	if err != nil || len(rest) != 1 || next != "" || rest[0].ID == page[0].ID {
		t.Errorf("the next page: %+v, next %q: %v", rest, next, err)
	}
	write(t, db, fence, func(tx operation.Tx) error { return tx.DeleteType(odd.ID) })
	write(t, db, fence, func(tx operation.Tx) error { return tx.DeleteType(odd.ID) })
	if _, err := db.Type(t.Context(), odd.ID); fault.KindOf(err) != fault.NotFound {
		t.Errorf("a deleted type: %v", err)
	}
}

// testTypesInUse counts the volumes of a type: those that live, and those that may come
// back.
func testTypesInUse(t *testing.T, url string) {
	db := Open(t, url)
	fence := TakeOver(t, db, "node1@rbd0")
	kind := volume.Type{ID: uuid.NewString(), Name: "gold"}
	write(t, db, fence, func(tx operation.Tx) error { return tx.InsertType(&kind) })
	v := NewVolume(uuid.NewString(), fence.Host)
	v.VolumeTypeID, v.ImageID = kind.ID, "1234"
	other := NewVolume(uuid.NewString(), fence.Host)
	write(t, db, fence, func(tx operation.Tx) error {
		if err := tx.InsertVolume(&other); err != nil {
			return err
		}
		return tx.InsertVolume(&v)
	})
	count := func(want int) {
		t.Helper()
		write(t, db, fence, func(tx operation.Tx) error {
			row, n, err := tx.TypeToChange("gold")
			if err == nil && (row.ID != kind.ID || n != want) {
				t.Errorf("type %s has %d volumes, want %d", row.ID, n, want)
			}
			return err
		})
	}
	count(1)
	v.Status = volume.Deleted
	write(t, db, fence, func(tx operation.Tx) error { return tx.UpdateVolume(&v, volume.Creating) })
	count(1)
	v.ImageID = ""
	write(t, db, fence, func(tx operation.Tx) error { return tx.UpdateVolume(&v, volume.Deleted) })
	count(0)
	// A volume gets another type, and nothing else of it changes that an index is about.
	other.VolumeTypeID = kind.ID
	write(t, db, fence, func(tx operation.Tx) error { return tx.UpdateVolume(&other, volume.Creating) })
	count(1)
}
