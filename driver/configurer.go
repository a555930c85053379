package driver

import (
	"context"

	"github.com/volumed/volumed/volume"
)

// Configurer is a backend that can do for a volume what its type wants.
type Configurer interface {
	// ConfigureVolume makes the settings of the volume those that are given: limits that
	// it has and that are not among them are removed. What has them already is not
	// touched. Limits hold at once, also for clients that have the volume open. Whether
	// several hosts may write is changed only while nobody has it open: Busy, with the
	// watchers in BlockedBy, otherwise. A volume about which the settings say nothing of
	// that is left as it was made.
	ConfigureVolume(ctx context.Context, v volume.Ref, s volume.Settings) error
	// SettingsMetadata returns the metadata by which an image has the limits, as an
	// inventory tells it.
	SettingsMetadata(s volume.Settings) map[string]string
}
