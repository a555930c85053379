package store

import (
	"context"
	"strings"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// typeColumns are the columns of volume_types: those that never change, then the rest.
var typeColumns = []string{
	"id", "created_at",
	"name", "description", "extra_specs", "qos_specs", "qos_consumer", "updated_at",
}

const typeFixed = 2

func typeFields(t *volume.Type) []any {
	return []any{
		&t.ID, timeOf(&t.CreatedAt),
		&t.Name, &t.Description, jsonOf(&t.ExtraSpecs), jsonOf(&t.QoS), (*string)(&t.Consumer), timeOf(&t.UpdatedAt),
	}
}

var (
	selectTypes = "SELECT " + strings.Join(typeColumns, ", ") + " FROM volume_types"
	// A name may look like an id: the id counts first.
	selectType = selectTypes + " WHERE id = $1 OR name = $1 ORDER BY CASE WHEN id = $1 THEN 0 ELSE 1 END LIMIT 1"
	insertType = insertInto("volume_types", typeColumns)
	updateType = "UPDATE volume_types SET " + assignments(2, typeColumns[typeFixed:]) + " WHERE id = $1"
	deleteType = "DELETE FROM volume_types WHERE id = $1"
	// A deleted volume counts as long as it may come back.
	countTyped = "SELECT count(*) FROM volumes WHERE volume_type_id = $1 AND volume_type_id <> '' AND (deleted_at IS NULL OR image_id <> '')"
	// The name of a type that another has, if any.
	typeNamed    = "SELECT id FROM volume_types WHERE name = $1 AND id <> $2"
	typeResource = func(id string) volume.Resource { return volume.Resource{Type: volume.TypeResource, ID: id} }
)

// Type implements operation.Tx.
func (t *tx) Type(idOrName string) (volume.Type, error) {
	return get(t.session, typeFields, typeResource(idOrName), selectType+t.d.lockShare, idOrName)
}

// TypeToChange implements operation.Tx.
func (t *tx) TypeToChange(idOrName string) (row volume.Type, volumes int, err error) {
	row, err = get(t.session, typeFields, typeResource(idOrName), selectType+t.d.lockRow, idOrName)
	if err != nil {
		return row, 0, err
	}
	_, err = t.one([]any{&volumes}, countTyped, row.ID)
	return row, volumes, err
}

// InsertType implements operation.Tx.
func (t *tx) InsertType(row *volume.Type) error {
	row.CreatedAt = t.now
	n, err := t.exec(insertType, typeFields(row)...)
	if err == nil && n == 0 {
		err = nameTaken(row)
	}
	return err
}

// UpdateType implements operation.Tx.
func (t *tx) UpdateType(row *volume.Type) error {
	var other string
	taken, err := t.one([]any{&other}, typeNamed, row.Name, row.ID)
	if err != nil {
		return err
	}
	if taken {
		return nameTaken(row)
	}
	row.UpdatedAt = t.now
	n, err := t.exec(updateType, append([]any{row.ID}, typeFields(row)[typeFixed:]...)...)
	if err == nil && n == 0 {
		err = fault.New(fault.NotFound, "there is no %s", typeResource(row.ID))
	}
	return err
}

func nameTaken(row *volume.Type) error {
	return fault.New(fault.Exists, "another volume type has the name %q", row.Name).WithField("name")
}

// DeleteType implements operation.Tx.
func (t *tx) DeleteType(id string) error {
	_, err := t.exec(deleteType, id)
	return err
}

// Type returns a volume type by its id or, where no type has that, by its name.
func (db *DB) Type(ctx context.Context, idOrName string) (volume.Type, error) {
	return get(db.lookup(ctx), typeFields, typeResource(idOrName), selectType, idOrName)
}

// Types returns volume types, newest first.
func (db *DB) Types(ctx context.Context, f volume.TypeFilter) ([]volume.Type, string, error) {
	var q selection
	q.equal("name", f.Name)
	if err := q.page(f.Page); err != nil {
		return nil, "", err
	}
	rows, err := all(db.reader(ctx), typeFields, q.sql(selectTypes, newestFirst), q.args...)
	page, next := cut(&q, rows, func(t *volume.Type) string { return markerAt(t.CreatedAt, t.ID) })
	return page, next, err
}

// AllTypes returns every volume type by its id.
func (db *DB) AllTypes(ctx context.Context) (map[string]volume.Type, error) {
	rows, err := all(db.reader(ctx), typeFields, selectTypes)
	byID := make(map[string]volume.Type, len(rows))
	for _, t := range rows {
		byID[t.ID] = t
	}
	return byID, err
}
