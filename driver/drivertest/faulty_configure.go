package drivertest

import (
	"context"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/volume"
)

var _ driver.Configurer = (*Faulty)(nil)

// ConfigureVolume is driver.Configurer's.
func (f *Faulty) ConfigureVolume(ctx context.Context, v volume.Ref, s volume.Settings) error {
	below, err := driver.Ability[driver.Configurer](f.Driver, "configure volumes")
	if err != nil {
		return err
	}
	return doErr(f, "ConfigureVolume", func() error { return below.ConfigureVolume(ctx, v, s) })
}

// SettingsMetadata is driver.Configurer's; nil for a driver below that is none.
func (f *Faulty) SettingsMetadata(s volume.Settings) map[string]string {
	if below, able := driver.As[driver.Configurer](f.Driver); able {
		return below.SettingsMetadata(s)
	}
	return nil
}
