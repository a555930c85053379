package worker

import (
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// Names of methods that no caller asks for by name: create_volume becomes one
// of the first five where it has a source, and the fifth begins the sixth; a delete is
// followed by the seventh, a clone of a volume by the eighth; manage_existing becomes
// manage_deleted_volume for what was deleted, and a delete one of the last two where it
// leaves the backend alone.
const (
	methodCreateFromSnapshot = "create_volume_from_snapshot"
	methodCreateClone        = "create_cloned_volume"
	methodCreateFromImage    = "create_volume_from_image"
	methodCloneImage         = "clone_image"
	methodCreateCached       = "create_volume_from_cached_image"
	methodCacheImage         = "cache_image"
	methodPurge              = "purge_volume"
	methodDropSnapshot       = "drop_clone_snapshot"
	methodManageDeleted      = "manage_deleted_volume"
	methodUnmanage           = "unmanage_volume"
	methodUnmanageSnapshot   = "unmanage_snapshot"
)

// register makes the engine know everything this worker can do.
func (w *Worker) register(e *operation.Engine) {
	operation.Register(e, w.createVolume())
	operation.Register(e, w.createFromSnapshot())
	operation.Register(e, w.createClone())
	operation.Register(e, w.createFromImage())
	operation.Register(e, w.createCached())
	operation.Register(e, w.cacheImage())
	operation.Register(e, w.cloneImage())
	operation.Register(e, w.reimage())
	operation.Register(e, w.copyToImage())
	operation.Register(e, w.deleteVolume())
	operation.Register(e, w.undeleteVolume())
	operation.Register(e, w.purgeVolume())
	operation.Register(e, w.dropSnapshot())
	operation.Register(e, w.extendVolume())
	operation.Register(e, w.flattenVolume())
	operation.Register(e, w.flattenInBackground())
	operation.Register(e, w.revertToSnapshot())
	operation.Register(e, w.updateVolume())
	operation.Register(e, w.updateSnapshot())
	operation.Register(e, w.retype())
	operation.Register(e, w.migrateVolume())
	operation.Register(e, w.createSnapshot())
	operation.Register(e, w.deleteSnapshot())
	operation.Register(e, w.manageExisting())
	operation.Register(e, w.manageDeleted())
	operation.Register(e, w.manageExistingSnapshot())
	operation.Register(e, w.unmanageVolume())
	operation.Register(e, w.unmanageSnapshot())
	operation.Register(e, w.auditBackend())
	operation.Register(e, w.applyRepairs())
}

// ourVolume returns a volume of this service that the operation's project may
// touch. To a project, the volumes of others do not exist.
func (w *Worker) ourVolume(tx operation.Tx, op *volume.Operation, id, field string) (volume.Volume, error) {
	v, err := tx.Volume(id)
	if err == nil && op.ProjectID != "" && v.ProjectID != op.ProjectID {
		err = absent(volume.VolumeResource, id)
	}
	if err != nil {
		return volume.Volume{}, named(err, field)
	}
	return v, firstOf(w.here(&v, field), offLimits(op, &v, field))
}

// offLimits refuses to change an image of the cache: others are made of it. An operator
// may delete it.
func offLimits(op *volume.Operation, v *volume.Volume, field string) error {
	if v.ProjectID != volume.CacheProject || op.Method == rpc.MethodDeleteVolume {
		return nil
	}
	return cached(v, field)
}

func cached(v *volume.Volume, field string) error {
	return fault.New(fault.Conflict, "volume %s is an image in the cache of %s, which nobody uses or changes", v.ID, volume.ParseHost(v.Host).Service()).
		WithField(field).WithHint("it can be deleted; volumes that were made of it stay")
}

// here refuses a volume of another service.
func (w *Worker) here(v *volume.Volume, field string) error {
	if host := volume.ParseHost(v.Host).Service(); host != w.cfg.Host {
		return fault.New(fault.Invalid, "volume %s belongs to %s, not to %s", v.ID, host, w.cfg.Host).
			WithField(field).WithHint("send the request to %s", host)
	}
	return nil
}

// ourSnapshot returns a snapshot of this service, and its volume.
func (w *Worker) ourSnapshot(tx operation.Tx, op *volume.Operation, id, field string) (volume.Snapshot, volume.Volume, error) {
	s, err := tx.Snapshot(id)
	if err == nil && op.ProjectID != "" && s.ProjectID != op.ProjectID {
		err = absent(volume.SnapshotResource, id)
	}
	if err != nil {
		return volume.Snapshot{}, volume.Volume{}, named(err, field)
	}
	v, err := w.ourVolume(tx, op, s.VolumeID, field)
	return s, v, err
}

// absent is the error for what is not there. For what belongs to another project
// it is the same, word for word.
func absent(t volume.ResourceType, id string) error {
	return fault.New(fault.NotFound, "there is no %s", volume.Resource{Type: t, ID: id})
}

// named says which field of the request named what is missing.
func named(err error, field string) error {
	if f := fault.Of(err); f.Kind == fault.NotFound {
		return f.WithField(field)
	}
	return err
}

// leave writes the volume as the operation leaves it, and hands it to those who wait.
func leave(tx operation.Tx, t *operation.Task, v *volume.Volume, from volume.Status) error {
	err := tx.UpdateVolume(v, from)
	if err == nil {
		t.Leave(*v)
	}
	return err
}

// leaveSnapshot does the same for a snapshot.
func leaveSnapshot(tx operation.Tx, t *operation.Task, s *volume.Snapshot, from volume.Status) error {
	s.PreviousStatus = from
	err := tx.UpdateSnapshot(s, from)
	if err == nil {
		t.Leave(*s)
	}
	return err
}

// move changes the status of a volume, if the change is a legal one.
func move(tx operation.Tx, v *volume.Volume, to volume.Status) error {
	from := v.Status
	if !from.CanBecome(to) {
		return fault.New(fault.Conflict, "volume %s is %s", v.ID, from).
			WithHint("a volume in this status cannot become %s; see volumectl operation list --resource %s", to, v.ID)
	}
	v.PreviousStatus, v.Status = from, to
	return tx.UpdateVolume(v, from)
}

// moveSnapshot does the same for a snapshot.
func moveSnapshot(tx operation.Tx, s *volume.Snapshot, to volume.Status) error {
	from := s.Status
	if !from.SnapshotCanBecome(to) {
		return fault.New(fault.Conflict, "snapshot %s is %s", s.ID, from).
			WithHint("a snapshot in this status cannot become %s", to)
	}
	s.PreviousStatus, s.Status = from, to
	return tx.UpdateSnapshot(s, from)
}

// sizeResource is what the copies of a volume claim, shared, until they are made:
// the size that they were accepted with must still be the one of the image then.
const sizeResource volume.ResourceType = "size"

// claimSource keeps a volume and its size until the operation has ended.
func claimSource(tx operation.Tx, op *volume.Operation, id string) error {
	if err := tx.Claim(op.ID, volume.Resource{Type: volume.VolumeResource, ID: id}, operation.Shared); err != nil {
		return err
	}
	return tx.Claim(op.ID, volume.Resource{Type: sizeResource, ID: id}, operation.Shared)
}

// usable returns an error unless a source can be read from.
func usable(v *volume.Volume) error {
	switch v.Status {
	case volume.Available, volume.InUse:
		return nil
	default:
		return fault.New(fault.Conflict, "volume %s is %s; it must be available or in-use", v.ID, v.Status)
	}
}
