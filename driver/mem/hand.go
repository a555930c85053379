package mem

import (
	"slices"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// The methods here do what a person with the rbd command does, behind the back of
// every driver. Those that name an image are fault.NotFound for one that is not
// there.

// Add makes an image of its own, and returns its id.
func (w *World) Add(name string, size int64) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.add(name, size).id
}

// Remove removes an image at once, with its snapshots.
func (w *World) Remove(name string) error {
	return w.hand(name, func(img *image) { delete(w.live, img.name) })
}

// Rename gives an image another name.
func (w *World) Rename(name, to string) error {
	return w.hand(name, func(img *image) {
		delete(w.live, name)
		img.name, w.live[to] = to, img
	})
}

// Resize gives an image another size in GiB, larger or smaller.
func (w *World) Resize(name string, size int64) error {
	return w.hand(name, func(img *image) { img.size = size })
}

// MoveToTrash moves an image to the trash.
func (w *World) MoveToTrash(name string) error {
	return w.hand(name, func(img *image) {
		delete(w.live, name)
		img.trashed, img.keepUntil, w.trash[img.id] = true, time.Now(), img
	})
}

// Restore takes an image out of the trash again.
func (w *World) Restore(id string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	img := w.trash[id]
	if img == nil {
		return fault.New(fault.NotFound, "no image %s in the trash", id)
	}
	delete(w.trash, id)
	img.trashed, w.live[img.name] = false, img
	return nil
}

// Break makes an image one that cannot be read, for the reason given.
func (w *World) Break(name, why string) error {
	return w.hand(name, func(img *image) { img.broken = why })
}

// AddSnapshot takes a snapshot of an image. One of that name is replaced.
func (w *World) AddSnapshot(name, snap string, protected bool) error {
	return w.hand(name, func(img *image) {
		img.snapshots[snap] = &snapshot{of: img, id: w.next(), name: snap, size: img.size, protected: protected}
	})
}

// RemoveSnapshot removes a snapshot of an image, if it has it.
func (w *World) RemoveSnapshot(name, snap string) error {
	return w.hand(name, func(img *image) { delete(img.snapshots, snap) })
}

// SetParent makes an image a clone of a snapshot; without one, of nothing.
func (w *World) SetParent(name, parent, snap string) error {
	return w.hand(name, func(img *image) {
		img.parent = nil
		if of := w.live[parent]; of != nil {
			img.parent = of.snapshots[snap]
		}
	})
}

// SetMetadata sets a key of an image.
func (w *World) SetMetadata(name, key, value string) error {
	return w.hand(name, func(img *image) { img.metadata[key] = value })
}

// Lock takes a lock on an image.
func (w *World) Lock(name string, lock volume.ImageLock) error {
	return w.hand(name, func(img *image) {
		if !slices.Contains(img.locks, lock) {
			img.locks = append(img.locks, lock)
		}
	})
}

// Look returns all that a deep inventory tells of an image.
func (w *World) Look(name string) (told volume.Image, err error) {
	err = w.hand(name, func(img *image) { told = img.tell(true) })
	return told, err
}

func (w *World) hand(name string, do func(*image)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	img := w.live[name]
	if img == nil {
		return fault.New(fault.NotFound, "no image %s", name)
	}
	do(img)
	return nil
}
