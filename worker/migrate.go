package worker

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/volumed/volumed/audit"
	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// migration is the state of migrate_volume.
type migration struct {
	rpc.MigrateVolumeRequest
	// Dest is where the volume goes to, or Refused why it cannot, as was found when the
	// request came.
	Dest    destination            `json:"dest,omitzero"`
	Refused *volume.OperationError `json:"refused,omitempty"`
	// Image is that of the volume, Name what the copy is called, Keep the names of the
	// snapshots that go with it. LeftID is the record of the image that is left behind.
	Image  volume.Ref `json:"image,omitzero"`
	Name   string     `json:"name,omitempty"`
	Keep   []string   `json:"keep,omitempty"`
	LeftID string     `json:"left_id,omitempty"`
	// TypeID is the type that the volume has then, and Settings what that wants.
	TypeID   string          `json:"type_id,omitempty"`
	Settings volume.Settings `json:"settings,omitzero"`
	// Before is what the image has, for one that stays where it is.
	Before volume.Settings `json:"before,omitzero"`

	copied volume.Location
}

// migrateVolume moves a volume to another backend: a copy, then the old image goes to the
// trash, then the row says where the volume is. Until that is committed the volume is this
// service's and nobody can attach it; from then on it is the other's.
func (w *Worker) migrateVolume() operation.Method[migration] {
	return operation.Method[migration]{
		Name: rpc.MethodMigrateVolume, Since: typedSince, Resource: volume.VolumeResource, Lane: operation.Bulk, Target: operation.Exclusive,
		Overwrites: true,
		Accept:     w.acceptMigrate,
		Steps: []operation.Step[migration]{
			{Name: "reserve", Run: w.reserveCopy},
			{Name: "copy", Interruptible: true, Run: w.copyVolume},
			{Name: "verify", Interruptible: true, When: func(m *migration) bool { return m.Verify && !m.Dest.Same }, Run: w.verifyCopy},
			{Name: "trash", Run: w.leaveImage},
		},
		Undo: w.stayHere, Finish: w.finishMigrate,
	}
}

func (w *Worker) acceptMigrate(tx operation.Tx, op *volume.Operation, m *migration) error {
	if m.Refused != nil {
		return m.Refused.Fault()
	}
	v, err := w.ourVolume(tx, op, m.VolumeID, "volume_id")
	if err != nil {
		return err
	}
	op.Resource.ID = v.ID
	if err := w.chooseDestination(tx, op, m, &v); err != nil {
		return err
	}
	if err := w.takeAlong(tx, op, m); err != nil {
		return err
	}
	m.Image, m.LeftID = v.Ref(w.cfg.VolumeNameTemplate), uuid.NewString()
	m.Name = (&volume.Volume{ID: v.ID}).Ref(w.cfg.VolumeNameTemplate).Name
	v.MigrationStatus = volume.MigrationStarting
	return move(tx, &v, volume.Maintenance)
}

// chooseDestination refuses a destination that the volume cannot have, and finds out what
// its type wants there.
func (w *Worker) chooseDestination(tx operation.Tx, op *volume.Operation, m *migration, v *volume.Volume) error {
	if volume.ParseHost(m.Dest.Host).Service() == w.cfg.Host {
		return fault.New(fault.Invalid, "volume %s is at %s already", v.ID, w.cfg.Host).WithField("host")
	}
	if _, err := driver.Ability[driver.Copier](w.driver, "copy volumes to others"); err != nil {
		return err
	}
	if _, err := driver.Ability[driver.Comparer](w.driver, "compare copies"); m.Verify && err != nil {
		return fault.Of(err).WithField("verify")
	}
	if v.ImageID == "" {
		return fault.New(fault.Conflict, "the image of volume %s is not known by its id", v.ID).
			WithHint("an operator can see with volumectl audit what there is")
	}
	if most := m.Dest.Most; most != nil && float64(v.Size) > *most && !m.Dest.Same {
		return unfit(v.Size, "host", m.Dest.Pool, *most)
	}
	wanted, err := v.VolumeTypeID, error(nil)
	if m.Before, err = settingsOf(tx, v, v.Size); err != nil {
		return err
	}
	if m.NewType != "" {
		wanted = m.NewType
	}
	if wanted == "" {
		return nil
	}
	t, err := tx.Type(wanted)
	if err != nil {
		return named(err, "new_type")
	}
	if err := fitting(&t, m.Dest.Host, m.Dest.BackendName, "host"); err != nil {
		return err
	}
	m.TypeID, m.Settings = t.ID, t.Settings(v.Size)
	m.Settings.Unshare, m.Before.Unshare = !m.Settings.Multiattach, !m.Before.Multiattach
	return awaitType(tx, op, &t)
}

// takeAlong claims the snapshots of the volume, of which no volumes can be made until they
// are at the other place.
func (w *Worker) takeAlong(tx operation.Tx, op *volume.Operation, m *migration) error {
	snapshots, err := tx.Snapshots(m.VolumeID)
	if err != nil {
		return err
	}
	m.Keep = nil // this may run again
	for i := range snapshots {
		s := &snapshots[i]
		if err := tx.Claim(op.ID, volume.Resource{Type: volume.SnapshotResource, ID: s.ID}, operation.Exclusive); err != nil {
			return err
		}
		if err := unused(tx, op, s); err != nil {
			return err
		}
		m.Keep = append(m.Keep, s.Ref(m.Image, w.cfg.SnapshotNameTemplate).Name)
	}
	return nil
}

// reserveCopy finds that nobody has the name at the destination, and writes that down:
// from then on an image of that name there is the copy.
func (w *Worker) reserveCopy(ctx context.Context, t *operation.Task, m *migration) error {
	if err := w.onlyOurs(ctx, m); err != nil {
		return err
	}
	v, err := w.store.Volume(ctx, m.VolumeID)
	if err != nil || v.MigrationStatus == volume.Migrating || m.Dest.Same {
		return err
	}
	err = w.withNeighbour(ctx, t, m, func(ctx context.Context, to driver.Driver) error {
		return vacant(ctx, to, m.Name)
	})
	if err != nil {
		return err
	}
	return w.store.Write(ctx, w.fence, func(tx operation.Tx) error {
		v, err := tx.Volume(m.VolumeID)
		if err != nil {
			return err
		}
		v.MigrationStatus = volume.Migrating
		return tx.UpdateVolume(&v, volume.Maintenance)
	})
}

// vacant refuses a name that an image has.
func vacant(ctx context.Context, at driver.Driver, name string) error {
	inventory, err := driver.Ability[driver.Inventory](at, "tell whether a name is taken")
	if err != nil {
		return err
	}
	found, err := inventory.Inspect(ctx, volume.Ref{Name: name}, false)
	if err == nil && len(found) > 0 {
		err = fault.New(fault.Exists, "there is an image %s at the destination, and it is not of this volume", name).
			WithBlockers("image " + found[0].ID).WithHint("find out whose it is, then remove or rename it")
	}
	return err
}

// onlyOurs refuses an image with snapshots that no row knows: they would be left behind,
// and go with the old image.
func (w *Worker) onlyOurs(ctx context.Context, m *migration) error {
	inventory, able := driver.As[driver.Inventory](w.driver)
	if !able || m.Dest.Same {
		return nil
	}
	found, err := inventory.Inspect(ctx, volume.Ref{ImageID: m.Image.ImageID}, false)
	if err != nil || len(found) == 0 || found[0].Trashed {
		return err
	}
	if strays := audit.Foreign(&found[0], m.Keep); len(strays) > 0 {
		return fault.New(fault.Conflict, "the image has %d snapshots that this service did not take, and that would be lost", len(strays)).
			WithBlockers(strays...).WithHint("remove them, or have them managed, first")
	}
	return nil
}

// copyVolume makes the copy, and gives it what the type of the volume wants.
func (w *Worker) copyVolume(ctx context.Context, t *operation.Task, m *migration) error {
	if m.Dest.Same {
		return w.settle(ctx, t, m.Image, m.Settings)
	}
	return w.withNeighbour(ctx, t, m, func(ctx context.Context, to driver.Driver) (err error) {
		copier, _ := driver.As[driver.Copier](w.driver)
		var copied volume.Location // of this call: an earlier one that was given up may return yet
		err = driver.Surround(ctx, w.driver, "CopyVolume", m.Image.Name, m.progress(t, 0), func(p driver.Progress) (err error) {
			copied, err = copier.CopyVolume(ctx, m.Image, m.Keep, to, m.Name, p)
			return err
		})
		if err != nil {
			return err
		}
		m.copied = copied
		return configure(ctx, to, volume.Ref{Name: m.Name, ImageID: m.copied.ImageID}, m.Settings)
	})
}

// progress is that of the operation: where the copy is verified, copy and comparison are
// a half each.
func (m *migration) progress(t *operation.Task, half int) driver.Progress {
	if !m.Verify {
		return t.Progress
	}
	return func(percent int) { t.Progress((half*100 + percent) / 2) }
}

// verifyCopy compares the copy with the volume.
func (w *Worker) verifyCopy(ctx context.Context, t *operation.Task, m *migration) error {
	return w.withNeighbour(ctx, t, m, func(ctx context.Context, to driver.Driver) error {
		return driver.Surround(ctx, w.driver, "CompareCopy", m.Image.Name, m.progress(t, 1), func(p driver.Progress) error {
			comparer, _ := driver.As[driver.Comparer](w.driver)
			return comparer.CompareCopy(ctx, m.Image, m.Keep, to, m.Name, p)
		})
	})
}

// leaveImage takes the old image out of reach. Whoever opened it meanwhile keeps it from
// that, and the volume stays.
func (w *Worker) leaveImage(ctx context.Context, _ *operation.Task, m *migration) error {
	if m.Dest.Same {
		return nil
	}
	if err := w.confirm(ctx); err != nil {
		return err
	}
	if err := w.onlyOurs(ctx, m); err != nil { // the copy took its time
		return err
	}
	_, err := w.driver.DeleteVolume(ctx, m.Image, 0)
	return err
}

// stayHere takes everything back: first the old image, then the copy.
func (w *Worker) stayHere(ctx context.Context, t *operation.Task, m *migration, _ error) error {
	if err := w.confirm(ctx); err != nil {
		return err
	}
	if m.Dest.Same {
		return w.settle(ctx, t, m.Image, m.Before)
	}
	v, err := w.store.Volume(ctx, m.VolumeID)
	if err != nil || v.MigrationStatus != volume.Migrating {
		return err // nothing has been made
	}
	if err := w.driver.UndeleteVolume(ctx, m.Image); err != nil {
		return err // then the copy may be all that there is
	}
	return w.withNeighbour(ctx, t, m, func(ctx context.Context, to driver.Driver) error {
		copier, _ := driver.As[driver.Copier](to)
		return unlessOpen(copier.RemoveCopy(ctx, m.Name))
	})
}

// finishMigrate hands the volume over, with what was left of it to be purged here.
func (w *Worker) finishMigrate(tx operation.Tx, t *operation.Task, m *migration, err error) error {
	w.owed.settle(t.Operation().ID)
	v, lost := tx.Volume(m.VolumeID)
	if lost != nil {
		return lost
	}
	v.Status, v.PreviousStatus = v.PreviousStatus, volume.Maintenance
	switch {
	case err == nil:
		if err := w.recordLeft(tx, t, m, &v); err != nil {
			return err
		}
		v.Host, v.AvailabilityZone, v.MigrationStatus = m.Dest.Host, m.Dest.Zone, volume.MigrationSuccess
		if m.NewType != "" {
			v.VolumeTypeID, v.Multiattach = m.TypeID, m.Settings.Multiattach
		}
	case errors.Is(err, fault.Cancelled):
		v.MigrationStatus = ""
	default:
		v.MigrationStatus = volume.MigrationError
	}
	return leave(tx, t, &v, volume.Maintenance)
}

// recordLeft makes a record of its own for the image that the volume leaves, as that of a
// deleted volume: it is purged once no clone depends on it any more.
func (w *Worker) recordLeft(tx operation.Tx, t *operation.Task, m *migration, v *volume.Volume) error {
	if m.Dest.Same {
		return nil
	}
	left := *v
	left.ID, left.NameID = m.LeftID, v.ID
	if v.NameID != "" {
		left.NameID = v.NameID
	}
	left.ImageID, left.Description = m.Image.ImageID, "what volume "+v.ID+" has left behind"
	left.Status, left.PreviousStatus, left.MigrationStatus = volume.Deleted, "", volume.MigrationSourceOf(v.ID)
	left.Metadata, left.VolumeTypeID = nil, ""
	left.TerminatedAt = time.Now().UTC().Truncate(time.Microsecond)
	if err := tx.InsertVolume(&left); err != nil {
		return err
	}
	v.NameID, v.ImageID, v.AdoptedParent = "", m.copied.ImageID, nil
	t.Follow(w.purgeAfter(t.Operation(), &left, deletion{Parent: left.AdoptedParent}))
	return nil
}
