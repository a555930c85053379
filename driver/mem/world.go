package mem

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// World is the storage below any number of drivers. All methods may be called
// at any time by several goroutines.
type World struct {
	number   int64 // of the world, so that no two have images of one id
	mu       sync.Mutex
	sequence int
	live     map[string]*image // by name
	trash    map[string]*image // by id
	format   int               // of new clones
	pool     string            // name
	total    float64           // GiB
	full     bool
	down     string // why nothing answers; empty = it answers
}

// image is a volume, in the trash or not.
type image struct {
	id, name  string
	size      int64     // GiB
	parent    *snapshot // of which it is a clone
	format    int       // of the clone
	snapshots map[string]*snapshot
	watchers  map[string]int // address -> open handles
	locks     []volume.ImageLock
	metadata  map[string]string
	data      map[int64][]byte // pieces that are not zero, by offset
	shared    bool             // several hosts may write
	broken    string           // why it cannot be read
	group     string
	trashed   bool
	keepUntil time.Time
}

// snapshot is a snapshot of an image. One that was removed while clones of
// format 2 need it lives on as their parent only.
type snapshot struct {
	of        *image
	id        int
	name      string
	size      int64 // GiB
	protected bool
	data      map[int64][]byte
}

// worlds is how many there have been.
var worlds atomic.Int64

// NewWorld returns an empty world whose clones are of format 2.
func NewWorld() *World {
	return &World{number: worlds.Add(1), live: map[string]*image{}, trash: map[string]*image{}, format: 2, pool: "mem", total: 1024}
}

// SetCloneFormat sets the format of the clones made from now on: with 1 their
// snapshot cannot be removed before them.
func (w *World) SetCloneFormat(format int) { w.mu.Lock(); defer w.mu.Unlock(); w.format = format }

// SetPool names the pool, so that two worlds are two places; it is "mem" before.
func (w *World) SetPool(name string) { w.mu.Lock(); defer w.mu.Unlock(); w.pool = name }

// SetTotal gives the pool a size in GiB, of which it only tells; 1024 before.
func (w *World) SetTotal(size float64) { w.mu.Lock(); defer w.mu.Unlock(); w.total = size }

// SetFull fills the pool or empties it: while it is full nothing new is made.
func (w *World) SetFull(full bool) { w.mu.Lock(); defer w.mu.Unlock(); w.full = full }

// SetDown takes the storage away for the stated reason, or brings it back with
// an empty one. While it is away every call fails at once with Unavailable.
func (w *World) SetDown(reason string) { w.mu.Lock(); defer w.mu.Unlock(); w.down = reason }

// Watch opens the image as a client at addr would, and returns how to close it.
// It is fault.NotFound for an image that is not there.
func (w *World) Watch(name, addr string) (release func(), err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	img := w.live[name]
	if img == nil {
		return nil, fault.New(fault.NotFound, "no image %s", name)
	}
	img.watchers[addr]++
	return sync.OnceFunc(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if img.watchers[addr]--; img.watchers[addr] == 0 {
			delete(img.watchers, addr)
		}
	}), nil
}

// SetGroup makes the image a member of the group, or of none with an empty name.
// It is fault.NotFound for an image that is not there.
func (w *World) SetGroup(name, group string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	img := w.live[name]
	if img == nil {
		return fault.New(fault.NotFound, "no image %s", name)
	}
	img.group = group
	return nil
}

// Images returns the names of the images, sorted.
func (w *World) Images() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(maps.Keys(w.live))
}

// Trash returns the former names of the images in the trash, sorted.
func (w *World) Trash() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	names := make([]string, 0, len(w.trash))
	for _, img := range w.trash {
		names = append(names, img.name)
	}
	slices.Sort(names)
	return names
}

// Snapshots returns the names of the snapshots of an image, sorted; none for an
// image that is not there.
func (w *World) Snapshots(name string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	img := w.live[name]
	if img == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(img.snapshots))
}

// Size returns the size of an image in GiB, 0 for one that is not there.
func (w *World) Size(name string) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if img := w.live[name]; img != nil {
		return img.size
	}
	return 0
}

// Parent returns image@snapshot of which the image is a clone; it is empty for
// an image that is no clone.
func (w *World) Parent(name string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	img := w.live[name]
	if img == nil || img.parent == nil {
		return ""
	}
	return img.parent.of.name + "@" + img.parent.name
}

// next returns a number never returned before.
func (w *World) next() int { w.sequence++; return w.sequence }

// add makes an image.
func (w *World) add(name string, size int64) *image {
	img := &image{
		id: fmt.Sprintf("mem%04x%08x", w.number, w.next()), name: name, size: size,
		snapshots: map[string]*snapshot{}, watchers: map[string]int{}, metadata: map[string]string{},
	}
	w.live[name] = img
	return img
}

// childrenOf names the clones, in the trash or not, that depend on the image
// and for which pick is true.
func (w *World) childrenOf(parent *image, pick func(child *image) bool) []string {
	var names []string
	for _, images := range []map[string]*image{w.live, w.trash} {
		for _, img := range images {
			if img.parent != nil && img.parent.of == parent && pick(img) {
				names = append(names, img.label())
			}
		}
	}
	slices.Sort(names)
	return names
}

// label names the image for a person.
func (i *image) label() string {
	if i.trashed {
		return i.name + " (in the trash)"
	}
	return i.name
}
