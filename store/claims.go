package store

import (
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/volume"
)

const (
	// An operation that claims again keeps the stronger of its modes.
	insertClaim = `INSERT INTO claims (resource_type, resource_id, operation_id, mode, created_at)
		SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS BIGINT)
		WHERE NOT EXISTS (SELECT 1 FROM claims
			WHERE resource_type = $1 AND resource_id = $2 AND mode = 'exclusive' AND operation_id <> $3)
		ON CONFLICT (operation_id, resource_id, resource_type) DO UPDATE
			SET mode = CASE WHEN excluded.mode = 'exclusive' THEN excluded.mode ELSE claims.mode END`
	selectOwner = `SELECT operation_id FROM claims
		WHERE resource_type = $1 AND resource_id = $2 AND mode = 'exclusive'`
	selectHolders = `SELECT operation_id FROM claims
		WHERE resource_type = $1 AND resource_id = $2 AND mode = 'shared' AND operation_id <> $3
		ORDER BY created_at, operation_id`
	deleteClaims = `DELETE FROM claims WHERE operation_id = $1`
)

// Claim implements operation.Tx. An operation may claim a resource again: the
// stronger mode stays.
func (t *tx) Claim(operationID string, r volume.Resource, mode operation.ClaimMode) error {
	if err := t.lockKey("claims " + r.String()); err != nil {
		return err
	}
	n, err := t.exec(insertClaim, string(r.Type), r.ID, operationID, string(mode), timeOf(&t.now))
	if err != nil || n > 0 {
		return err
	}
	var owner string
	if _, err := t.one([]any{&owner}, selectOwner, string(r.Type), r.ID); err != nil {
		return err
	}
	return fault.New(fault.Busy, "%s is being changed by operation %s", r, owner).WithBlockers(owner)
}

// Holders implements operation.Tx; the oldest claim comes first.
func (t *tx) Holders(operationID string, r volume.Resource) ([]string, error) {
	return all(t.session, func(id *string) []any { return []any{id} }, selectHolders, string(r.Type), r.ID, operationID)
}

// Release implements operation.Tx.
func (t *tx) Release(operationID string) error {
	_, err := t.exec(deleteClaims, operationID)
	return err
}

// lockKey locks a name until the end of the transaction, where the engine needs it.
func (s *session) lockKey(name string) error {
	if s.d.lockKey == "" {
		return nil
	}
	_, err := s.exec(s.d.lockKey, name)
	return err
}
