package rbd

import (
	"context"
	"slices"
	"syscall"

	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

var _ driver.Crowded = (*Driver)(nil)

// hasRoom refuses, with driver.ErrTooManySnapshots, a snapshot beyond the limit. One that
// is there counts. Snapshots that are taken at the same time do not see each other.
func (i *image) hasRoom(name string) error {
	most := i.d.cfg.MaxSnapshots
	if most <= 0 {
		return nil
	}
	snapshots, err := i.GetSnapshotNames()
	if err != nil {
		return classify(err, "list the snapshots")
	}
	if len(snapshots) < most || slices.ContainsFunc(snapshots, func(s rbd.SnapInfo) bool { return s.Name == name }) {
		return nil
	}
	return fault.New(fault.Exhausted, "%d snapshots, with those that are hidden and live on for clones: %w", len(snapshots), driver.ErrTooManySnapshots).
		WithHint("delete snapshots of that volume, flatten clones of it, or raise rbd_max_snapshots_per_image")
}

// HeldSnapshots opens the image once.
func (d *Driver) HeldSnapshots(ctx context.Context, v volume.Ref, from int) (total int, held [][]volume.Ref, err error) {
	defer fault.Wrap(&err, "look for snapshots of %s", v.Name)
	leave, err := d.enter(ctx)
	if err != nil {
		return 0, nil, err
	}
	defer leave()
	img, err := d.openWhole(d.control, v, rbd.OpenImageReadOnly)
	if err != nil {
		return 0, nil, err
	}
	defer img.discard()
	snapshots, err := img.GetSnapshotNames()
	if err != nil {
		return 0, nil, classify(err, "list the snapshots")
	}
	if len(snapshots) < from {
		return len(snapshots), nil, nil
	}
	slices.SortFunc(snapshots, func(a, b rbd.SnapInfo) int { return int(a.Id) - int(b.Id) })
	for _, s := range snapshots {
		holders, err := img.holders(s.Id)
		if err != nil {
			return 0, nil, err
		}
		if len(holders) > 0 {
			held = append(held, holders)
		}
	}
	return len(snapshots), held, nil
}

// holders returns the clones of a snapshot that is hidden; none of any other, and none if
// not all of them are volumes of this pool.
func (i *image) holders(snapshot uint64) ([]volume.Ref, error) {
	kind, err := i.GetSnapNamespaceType(snapshot)
	if err != nil || kind != rbd.SnapNamespaceTypeTrash {
		return nil, classify(err, "read the kind of the snapshot")
	}
	if err := i.SetSnapByID(snapshot); err != nil {
		return nil, classify(err, "read the snapshot")
	}
	clones, err := i.ListChildrenAttributes()
	switch errno(err) {
	case 0:
	case syscall.ENOENT, syscall.ERANGE: // one of them has just been removed; there are thousands
		return nil, nil
	default:
		return nil, classify(err, "list the clones")
	}
	refs := make([]volume.Ref, 0, len(clones))
	for _, c := range clones {
		if c.Trash || c.PoolName != i.d.cfg.Pool || c.PoolNamespace != "" {
			return nil, nil
		}
		refs = append(refs, volume.Ref{Name: c.ImageName, ImageID: c.ImageID})
	}
	return refs, nil
}
