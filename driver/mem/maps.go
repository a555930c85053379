package mem

import (
	"context"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

var _ driver.Mapper = (*Driver)(nil)

// RebuildMaps has nothing to do: what is in memory need not be mapped.
func (d *Driver) RebuildMaps(ctx context.Context, v volume.Ref, progress driver.Progress) (err error) {
	defer fault.Wrap(&err, "rebuild the maps of %s", v.Name)
	w, err := d.enter(ctx)
	if err != nil {
		return err
	}
	_, err = w.find(v)
	w.mu.Unlock()
	if err == nil && progress != nil {
		progress(100)
	}
	return err
}
