package limit

import (
	"context"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/volume"
)

var _ driver.Reverter = (*Driver)(nil)

// RevertToSnapshot is driver.Reverter's, in the class Bulk; it is Unsupported where
// the driver below cannot do it.
func (d *Driver) RevertToSnapshot(ctx context.Context, s volume.SnapshotRef, size int64, p driver.Progress) error {
	below, err := driver.Ability[driver.Reverter](d.below, "revert volumes")
	if err != nil {
		return err
	}
	return runErr(ctx, d, call{Bulk, "RevertToSnapshot", true}, func() error { return below.RevertToSnapshot(ctx, s, size, p) })
}
