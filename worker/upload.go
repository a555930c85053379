package worker

import (
	"context"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/image"
	"github.com/volumed/volumed/internal/crashpoint"
	"github.com/volumed/volumed/operation"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// uploading is the state of copy_volume_to_image.
type uploading struct {
	rpc.CopyVolumeToImageRequest
	Size int64 `json:"size,omitempty"` // GiB
	// From is the snapshot that is copied. As that of a clone it is named after the
	// operation, and exists only as long as that, or the one that follows it to remove the
	// snapshot, is unfinished: removed before the end is known, it would be taken anew.
	From volume.SnapshotRef `json:"from,omitzero"`
}

// copyToImage writes what a volume holds, as it is at one moment, into an image. A
// repetition copies the same snapshot again.
func (w *Worker) copyToImage() operation.Method[uploading] {
	return operation.Method[uploading]{
		Name: rpc.MethodCopyVolumeToImage, Since: "1.1", Resource: volume.VolumeResource, Lane: operation.Bulk, Target: operation.Shared,
		Accept: w.acceptUpload,
		Steps: []operation.Step[uploading]{
			{Name: "snapshot", Run: func(ctx context.Context, _ *operation.Task, u *uploading) error {
				return w.driver.CreateSnapshot(ctx, u.From)
			}},
			{Name: "copy", Interruptible: true, Run: w.copyOut},
		},
		Undo: func(ctx context.Context, t *operation.Task, u *uploading, _ error) error {
			if err := w.confirm(ctx); err != nil { // the file may be a successor's
				return err
			}
			return w.images.Withdraw(u.target(t.Operation()))
		},
		Finish: w.finishUpload,
	}
}

func (w *Worker) acceptUpload(tx operation.Tx, op *volume.Operation, u *uploading) error {
	_, reads := driver.Ability[driver.Reader](w.driver, "read volumes")
	_, exports := driver.Ability[driver.Exporter](w.driver, "be read by qemu-img")
	if err := firstOf(reads, exports); err != nil {
		return err
	}
	v, err := w.ourVolume(tx, op, u.VolumeID, "volume_id")
	if err != nil {
		return err
	}
	if v.Status == volume.InUse && !u.Force {
		return fault.New(fault.Conflict, "volume %s is in use", v.ID).WithField("force").
			WithHint("detach it; or force, and the image is what a loss of power would have left")
	}
	if err := w.images.CheckTarget(u.target(*op)); err != nil {
		return err
	}
	op.Resource.ID, u.Size = v.ID, v.Size
	u.From = volume.SnapshotRef{Volume: v.Ref(w.cfg.VolumeNameTemplate), Name: cloneSnapshotName(op.ID)}
	return move(tx, &v, volume.Uploading)
}

// target says where the image goes.
func (u *uploading) target(op volume.Operation) image.Target {
	return image.Target{URL: u.Image.URL, Key: op.ID, Time: op.CreatedAt}
}

func (w *Worker) copyOut(ctx context.Context, t *operation.Task, u *uploading) error {
	size, qcow2 := u.Size*volume.GiB, image.Format(u.Image.Format) == image.QCOW2
	d, err := w.images.Deliver(u.target(t.Operation()), size, qcow2)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	if d.Done {
		return d.Discard()
	}
	if qcow2 {
		return w.export(ctx, t, u, d)
	}
	reader, _ := driver.As[driver.Reader](w.driver)
	return d.Raw(ctx, size, func(ctx context.Context, each func(int64, []byte) error) error {
		return driver.Surround(ctx, w.driver, "ReadSnapshot", u.From.String(), t.Progress, func(p driver.Progress) error {
			return reader.ReadSnapshot(ctx, u.From, p, each)
		})
	})
}

// export has qemu-img read the snapshot.
func (w *Worker) export(ctx context.Context, t *operation.Task, u *uploading, d *image.Delivery) error {
	exporter, _ := driver.As[driver.Exporter](w.driver)
	node := exporter.BlockNode(u.From.Volume, u.From.Name)
	err := crashpoint.Around(ctx, "qemu.export", func() error {
		return w.images.Export(ctx, node, u.Size*volume.GiB, d.File, t.Progress)
	})
	if err := w.unlessAway(ctx, err); err != nil {
		return err
	}
	return d.Finish(ctx)
}

// finishUpload gives the volume its status back, and has the snapshot removed, whatever
// became of the image.
func (w *Worker) finishUpload(tx operation.Tx, t *operation.Task, u *uploading, _ error) error {
	v, lost := tx.Volume(u.VolumeID)
	if lost != nil {
		return lost
	}
	attached, err := tx.Attachments(v.ID)
	if err != nil {
		return err
	}
	t.Follow(dropRequest(t.Operation(), dropping{SourceVolID: u.VolumeID, Snapshot: u.From}))
	v.Status, v.PreviousStatus = afterExtend(v.PreviousStatus, attached), volume.Uploading
	return leave(tx, t, &v, volume.Uploading)
}
