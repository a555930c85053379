package drivertest

import (
	"context"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/volume"
)

var _ driver.Reverter = (*Faulty)(nil)

// RevertToSnapshot is driver.Reverter's.
func (f *Faulty) RevertToSnapshot(ctx context.Context, s volume.SnapshotRef, size int64, p driver.Progress) error {
	below, err := driver.Ability[driver.Reverter](f.Driver, "revert volumes")
	if err != nil {
		return err
	}
	return doErr(f, "RevertToSnapshot", func() error { return below.RevertToSnapshot(ctx, s, size, p) })
}
