package worker

import (
	"context"
	"strconv"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/volume"
)

// typeFor returns the type that a request asks for, if this backend can have volumes of
// it.
func (w *Worker) typeFor(tx operation.Tx, idOrName, field string) (volume.Type, error) {
	t, err := tx.Type(idOrName)
	if err != nil {
		return t, named(err, field)
	}
	if err := fitting(&t, w.cfg.Host, w.cfg.BackendName, field); err != nil {
		return t, err
	}
	if _, able := driver.As[driver.Configurer](w.driver); !able && !t.Settings(1).IsZero() {
		return t, fault.New(fault.Unsupported, "the driver of %s cannot do what the type %s wants", w.cfg.Host, t.Name).WithField(field)
	}
	return t, nil
}

// fitting refuses a type that the service at host, whose backend has the name, can have
// no volumes of.
func fitting(t *volume.Type, host, backendName, field string) error {
	if wanted := t.ExtraSpecs[volume.SpecBackendName]; wanted != "" && wanted != backendName {
		return fault.New(fault.Invalid, "the type %s is for backends named %q, and that of %s is named %q", t.Name, wanted, host, backendName).
			WithField(field).WithHint("send the volume to a service with volume_backend_name = %s", wanted)
	}
	if t.Is(volume.SpecReplication) {
		return fault.New(fault.Unsupported, "the type %s wants volumes that are mirrored, and %s mirrors none", t.Name, host).WithField(field)
	}
	return nil
}

// chooseType completes a creation with what its type wants. source is the volume that it
// is made from, nil for none: its image hands its own settings down.
func (w *Worker) chooseType(tx operation.Tx, c *creation, source *volume.Volume) error {
	c.Configure = source != nil // whatever was set on its image, by whomever
	if c.VolumeType == "" {
		return nil
	}
	t, err := w.typeFor(tx, c.VolumeType, "volume_type")
	if err != nil {
		return err
	}
	c.TypeID, c.Settings = t.ID, t.Settings(c.Size)
	c.Configure = c.Configure || !c.Settings.IsZero()
	return nil
}

// configure gives the image what its type wants.
func (w *Worker) configure(ctx context.Context, v volume.Ref, s volume.Settings) error {
	return configure(ctx, w.driver, v, s)
}

func configure(ctx context.Context, d driver.Driver, v volume.Ref, s volume.Settings) error {
	conf, able := driver.As[driver.Configurer](d)
	if !able {
		return nil // which typeFor has found to be no loss
	}
	return driver.SurroundBrief(ctx, d, "ConfigureVolume", v.Name, func() error { return conf.ConfigureVolume(ctx, v, s) })
}

// settle gives the image what its type wants, with all that follows from it.
func (w *Worker) settle(ctx context.Context, t *operation.Task, v volume.Ref, s volume.Settings) error {
	err := w.configure(ctx, v, s)
	if err == nil && s.Unshare {
		err = w.rebuildMaps(ctx, t, v)
	}
	return err
}

// rebuildMaps makes the maps of a volume valid that was shared.
func (w *Worker) rebuildMaps(ctx context.Context, t *operation.Task, v volume.Ref) error {
	mapper, able := driver.As[driver.Mapper](w.driver)
	if !able {
		return nil
	}
	return driver.Surround(ctx, w.driver, "RebuildMaps", v.Name, t.Progress, func(p driver.Progress) error {
		return mapper.RebuildMaps(ctx, v, p)
	})
}

// settingsOf returns what the type of a volume wants of its image; a volume without a
// type wants nothing.
func settingsOf(tx operation.Tx, v *volume.Volume, size int64) (volume.Settings, error) {
	if v.VolumeTypeID == "" {
		return volume.Settings{}, nil
	}
	t, err := tx.Type(v.VolumeTypeID)
	return t.Settings(size), err
}

// frontEnd adds to a connection what the hypervisor is to enforce, in Cinder's form.
func (w *Worker) frontEnd(ctx context.Context, v *volume.Volume, info *volume.ConnectionInfo) error {
	if v.VolumeTypeID == "" {
		return nil
	}
	t, err := w.store.Type(ctx, v.VolumeTypeID)
	if err != nil {
		return err
	}
	limits := t.FrontEndLimits(v.Size)
	if len(limits) == 0 {
		return nil
	}
	specs := make(map[string]string, len(limits))
	for name, n := range limits {
		specs[name] = strconv.FormatInt(n, 10)
	}
	info.Data["qos_specs"] = specs
	return nil
}

// metadataWanted returns the metadata that the settings of each of the volumes make, by
// the id of the volume.
func (w *Worker) metadataWanted(ctx context.Context, volumes []volume.Volume) (map[string]map[string]string, error) {
	conf, able := driver.As[driver.Configurer](w.driver)
	if !able {
		return nil, nil
	}
	types, err := w.store.AllTypes(ctx)
	wanted := map[string]map[string]string{}
	for i := range volumes {
		v := &volumes[i]
		if t, typed := types[v.VolumeTypeID]; typed {
			wanted[v.ID] = conf.SettingsMetadata(t.Settings(v.Size))
		}
	}
	return wanted, err
}
