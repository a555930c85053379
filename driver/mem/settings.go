package mem

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

var _ driver.Configurer = (*Driver)(nil)

// limitPrefix begins the metadata keys of limits.
const limitPrefix = "conf_limit_"

// SettingsMetadata returns a key for each limit.
func (d *Driver) SettingsMetadata(s volume.Settings) map[string]string {
	wanted := map[string]string{}
	for name, n := range s.Limits {
		wanted[limitPrefix+name] = strconv.FormatInt(n, 10)
	}
	return wanted
}

// ConfigureVolume sets the metadata of the image.
func (d *Driver) ConfigureVolume(ctx context.Context, v volume.Ref, s volume.Settings) (err error) {
	defer fault.Wrap(&err, "configure %s", v.Name)
	w, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer w.mu.Unlock()
	img, err := w.find(v)
	if err != nil {
		return err
	}
	shared := s.Multiattach || img.shared && !s.Unshare
	if shared != img.shared && len(img.watchers) > 0 {
		return fault.New(fault.Busy, "the image is open").WithBlockers(slices.Sorted(maps.Keys(img.watchers))...)
	}
	img.shared = shared
	maps.DeleteFunc(img.metadata, func(key, _ string) bool { return strings.HasPrefix(key, limitPrefix) })
	maps.Copy(img.metadata, d.SettingsMetadata(s))
	return nil
}
