package rbd

import (
	"context"
	"encoding/binary"
	"maps"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/crashpoint"
	"github.com/volumed/volumed/volume"
)

var _ driver.Configurer = (*Driver)(nil)

// qosPrefix begins the metadata keys by which librbd limits the clients of an image.
const qosPrefix = "conf_rbd_qos_"

// qosKeys are librbd's options by Cinder's names of the rates; the options for bursts end
// in _burst instead of _limit. (cinder-volume writes the burst of all operations into the
// option for bytes.)
var qosKeys = map[string]string{
	"total_iops_sec": "iops", "read_iops_sec": "read_iops", "write_iops_sec": "write_iops",
	"total_bytes_sec": "bps", "read_bytes_sec": "read_bps", "write_bytes_sec": "write_bps",
}

// SettingsMetadata returns the keys conf_rbd_qos_*.
func (d *Driver) SettingsMetadata(s volume.Settings) map[string]string {
	wanted := map[string]string{}
	for rate, key := range qosKeys {
		if n := s.Limits[rate]; n > 0 {
			wanted[qosPrefix+key+"_limit"] = strconv.FormatInt(n, 10)
		}
		if n := s.Limits[volume.BurstOf(rate)]; n > 0 {
			wanted[qosPrefix+key+"_burst"] = strconv.FormatInt(n, 10)
		}
	}
	return wanted
}

// exclusive are the features that keep other hosts from writing, which several that
// write at once have to do without.
const exclusive = rbd.FeatureExclusiveLock | rbd.FeatureObjectMap | rbd.FeatureFastDiff | rbd.FeatureJournaling

// ConfigureVolume compares with the header, and opens the image only to change it:
// clones inherit the metadata of their parent, so each of them is looked at.
func (d *Driver) ConfigureVolume(ctx context.Context, v volume.Ref, s volume.Settings) (err error) {
	defer fault.Wrap(&err, "configure %s", v.Name)
	leave, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := d.control.isNamed(v); err != nil {
		return err
	}
	set, unset, features, err := d.differences(v.Name, s)
	if err != nil || len(set)+len(unset) == 0 && !d.mustSwitch(features, s) {
		return err
	}
	img, err := d.openWhole(d.control, v, rbd.OpenImage)
	if err != nil {
		return err
	}
	defer img.close(&err)
	if d.mustSwitch(features, s) {
		if err := img.share(ctx, s.Multiattach); err != nil {
			return err
		}
	}
	return img.setMetadata(ctx, set, unset)
}

// differences returns what must be set and unset to give the image its limits, and the
// features that it has. An image without a header lacks everything: opening it tells why.
func (d *Driver) differences(name string, s volume.Settings) (set map[string]string, unset []string, features uint64, err error) {
	id, err := d.control.imageID(name)
	if err != nil {
		return nil, nil, 0, err
	}
	values, err := d.control.header(id)
	if err != nil {
		return nil, nil, 0, err
	}
	set = d.SettingsMetadata(s)
	if raw := values["features"]; len(raw) == 8 {
		features = binary.LittleEndian.Uint64(raw)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		key, ok := strings.CutPrefix(name, "metadata_")
		if !ok || !strings.HasPrefix(key, qosPrefix) {
			continue
		}
		switch wanted, known := set[key]; {
		case !known:
			unset = append(unset, key)
		case wanted == string(values[name]):
			delete(set, key)
		}
	}
	return set, unset, features, nil
}

// mustSwitch reports whether an image with the features cannot be shared and has to be, or
// the other way round.
func (d *Driver) mustSwitch(features uint64, s volume.Settings) bool {
	if s.Multiattach {
		return features&exclusive != 0
	}
	return s.Unshare && d.features&exclusive&^features != 0
}

// share takes away the features that keep other hosts from writing, or gives those back
// that new images have.
func (i *image) share(ctx context.Context, shared bool) error {
	others, err := i.watchers()
	if err != nil {
		return err
	}
	if len(others) > 0 {
		return fault.New(fault.Busy, "the image is open in other clients, which would go on as before").WithBlockers(others...).
			WithHint("detach it first")
	}
	now, err := i.GetFeatures()
	if err != nil {
		return classify(err, "read the features")
	}
	mask := now & exclusive
	if !shared {
		mask = i.d.features & exclusive &^ now
	}
	if mask == 0 {
		return nil
	}
	err = crashpoint.Around(ctx, "rbd.update_features", func() error { return i.UpdateFeatures(mask, !shared) })
	if errno(err) == syscall.EINVAL { // another process came first
		if again, rerr := i.GetFeatures(); rerr == nil && (again&mask == 0) == shared {
			return nil
		}
	}
	return classify(err, "change the features")
}

// setMetadata sets and removes keys.
func (i *image) setMetadata(ctx context.Context, set map[string]string, unset []string) error {
	for _, key := range unset {
		err := crashpoint.Around(ctx, "rbd.remove_metadata", func() error { return i.RemoveMetadata(key) })
		if err != nil && errno(err) != syscall.ENOENT {
			return classify(err, "remove the setting "+key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(set)) {
		if err := crashpoint.Around(ctx, "rbd.set_metadata", func() error { return i.SetMetadata(key, set[key]) }); err != nil {
			return classify(err, "set "+key)
		}
	}
	return nil
}
