package worker

import (
	"context"

	"github.com/volumed/volumed/internal/crashpoint"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/volume"
)

// overwrittenResource is what an operation claims when it begins to write over what a
// volume holds: from then on nobody knows what that is, also after a death.
const overwrittenResource volume.ResourceType = "overwritten"

// overwrite notes that the volume of the operation begins to be written, and reports
// whether an earlier attempt had noted it.
func (w *Worker) overwrite(ctx context.Context, op volume.Operation) (again bool, err error) {
	err = crashpoint.Around(ctx, "sql.overwritten", func() error {
		return w.store.Write(context.WithoutCancel(ctx), w.fence, func(tx operation.Tx) (err error) {
			if again, err = isOverwritten(tx, op.Resource.ID); err != nil || again {
				return err
			}
			return tx.Claim(op.ID, volume.Resource{Type: overwrittenResource, ID: op.Resource.ID}, operation.Shared)
		})
	})
	return again, err
}

// isOverwritten reports whether the operation that changes the volume has begun to write.
func isOverwritten(tx operation.Tx, volumeID string) (bool, error) {
	holders, err := tx.Holders("", volume.Resource{Type: overwrittenResource, ID: volumeID})
	return len(holders) > 0, err
}
