package observe

import (
	"context"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/volume"
)

var _ driver.Reverter = (*Driver)(nil)

// RevertToSnapshot is driver.Reverter's; it is Unsupported where the driver below
// cannot do it.
func (d *Driver) RevertToSnapshot(ctx context.Context, s volume.SnapshotRef, size int64, p driver.Progress) error {
	below, err := driver.Ability[driver.Reverter](d.below, "revert volumes")
	if err != nil {
		return err
	}
	return watchLong(d, "RevertToSnapshot", s.String(), p, func(p driver.Progress) error { return below.RevertToSnapshot(ctx, s, size, p) })
}
