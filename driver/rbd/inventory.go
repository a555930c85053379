package rbd

import (
	"context"
	"strings"
	"sync"
	"syscall"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

var _ driver.Inventory = (*Driver)(nil)

// readers is how many images an inventory reads at once. Reads of headers wait for
// the network, so a few keep an OSD busy; more would stand in the way of the calls
// that people wait for.
const readers = 8

// Inventory lists the directory and the trash of the pool, and reads the header of
// every image.
func (d *Driver) Inventory(ctx context.Context, deep bool, each func(img volume.Image, total int) error) (err error) {
	defer fault.Wrap(&err, "take the inventory of pool %s", d.cfg.Pool)
	leave, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	entries, err := d.control.entries(ctx)
	if err != nil {
		return err
	}
	return inParallel(ctx, readers, entries,
		func(e volume.Image) (*volume.Image, error) { return d.survey(e, deep) },
		func(img *volume.Image) error {
			if img == nil { // removed since
				return nil
			}
			return each(*img, len(entries))
		})
}

// Inspect reads one image by its id and one by its name.
func (d *Driver) Inspect(ctx context.Context, v volume.Ref, deep bool) (found []volume.Image, err error) {
	defer fault.Wrap(&err, "inspect %s", v)
	leave, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	var entries []volume.Image
	if v.ImageID != "" {
		e, err := d.control.entryOf(v.ImageID)
		if err != nil {
			return nil, err
		}
		if e != nil {
			entries = append(entries, *e)
		}
	}
	if v.Name != "" {
		id, err := d.control.directoryID(v.Name)
		if err != nil {
			return nil, err
		}
		if id != "" && id != v.ImageID {
			entries = append(entries, volume.Image{ID: id, Name: v.Name})
		}
	}
	for _, e := range entries {
		img, err := d.survey(e, deep)
		if err != nil {
			return nil, err
		}
		if img != nil {
			found = append(found, *img)
		}
	}
	return found, nil
}

// entries returns the images in the directory and in the trash, with no more than
// these tell. An image that moves between them meanwhile is in either.
func (l *link) entries(ctx context.Context) ([]volume.Image, error) {
	var all []volume.Image
	at := map[string]int{}
	put := func(e volume.Image) {
		if i, twice := at[e.ID]; twice {
			all[i] = e
			return
		}
		at[e.ID] = len(all)
		all = append(all, e)
	}
	err := l.eachID(ctx, directory, func(id string, value []byte) {
		if name, _, ok := cutString(value); ok {
			put(volume.Image{ID: id, Name: name})
		}
	})
	if err != nil {
		return nil, err
	}
	err = l.eachID(ctx, trashObject, func(id string, value []byte) {
		e, err := parseTrashEntry(id, value)
		if err != nil {
			put(volume.Image{ID: id, Trashed: true, Broken: err.Error()})
			return
		}
		put(trashed(e))
	})
	return all, err
}

func trashed(e *trashEntry) volume.Image {
	return volume.Image{ID: e.id, Name: e.name, Trashed: true, KeepUntil: e.keepUntil}
}

// eachID calls do for the entries of an object that stand under image ids.
func (l *link) eachID(ctx context.Context, object string, do func(id string, value []byte)) error {
	for after := ""; ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := 0
		err := l.io.ListOmapValues(object, after, "id_", trashPage, func(key string, value []byte) {
			n, after = n+1, key
			do(strings.TrimPrefix(key, "id_"), value)
		})
		switch {
		case errno(err) == syscall.ENOENT:
			return nil
		case err != nil:
			return classify(err, "read "+object)
		case n < trashPage:
			return nil
		}
	}
}

// entryOf returns what the directory or the trash says of an image id, nil if neither
// has it. The trash counts where both do: a move there has begun.
func (l *link) entryOf(id string) (*volume.Image, error) {
	e, err := l.trashGet(id)
	if err != nil {
		return nil, err
	}
	if e != nil {
		img := trashed(e)
		return &img, nil
	}
	value, err := l.omapValue(directory, "id_"+id)
	if err != nil || value == nil {
		return nil, err
	}
	name, _, _ := cutString(value)
	return &volume.Image{ID: id, Name: name}, nil
}

// directoryID returns the id that the directory has for a name, empty for none.
func (l *link) directoryID(name string) (string, error) {
	value, err := l.omapValue(directory, "name_"+name)
	if err != nil || value == nil {
		return "", err
	}
	id, _, _ := cutString(value)
	return id, nil
}

// survey tells all of an image that the directory or the trash has; nil for one that
// is gone meanwhile.
func (d *Driver) survey(img volume.Image, deep bool) (*volume.Image, error) {
	if img.Broken != "" {
		return &img, nil
	}
	values, err := d.control.header(img.ID)
	if err != nil {
		return nil, err
	}
	if values == nil {
		return d.headless(img)
	}
	if err = decodeHeader(&img, values, d.control.io.GetPoolID()); err != nil {
		err = d.readOpen(&img)
	}
	if err == nil && deep {
		err = d.readClients(&img)
	}
	switch fault.KindOf(err) {
	case "":
		return &img, nil
	case fault.Unavailable:
		return nil, err
	case fault.NotFound:
		return d.headless(img)
	default:
		img.Broken = err.Error()
		return &img, nil
	}
}

// headless tells of an image whose header is not there: it was removed meanwhile, or
// a removal, or a creation, has stopped half way.
func (d *Driver) headless(img volume.Image) (*volume.Image, error) {
	e, err := d.control.entryOf(img.ID)
	if err != nil || e == nil {
		return nil, err
	}
	values, err := d.control.header(img.ID)
	if err != nil {
		return nil, err
	}
	if values != nil {
		e.Broken = "it cannot be opened: something that it needs is not there, such as its parent"
		return e, nil
	}
	if e.Broken = "it has no header: it is half made, or half removed"; e.Trashed {
		e.Broken = "it has no header: it is half removed"
	}
	return e, nil
}

// inParallel calls read for every item, so many at once, and take for the results, one
// at a time. It ends at the first error and returns it.
func inParallel[T, R any](ctx context.Context, n int, items []T, read func(T) (R, error), take func(R) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan T)
	var taking sync.Mutex
	var all sync.WaitGroup
	for range min(n, len(items)) {
		all.Go(func() {
			for item := range next {
				r, err := read(item)
				if err == nil {
					taking.Lock()
					if err = context.Cause(ctx); err == nil {
						err = take(r)
					}
					taking.Unlock()
				}
				if err != nil {
					cancel(err)
				}
			}
		})
	}
	feed(ctx, next, items)
	all.Wait()
	return context.Cause(ctx)
}

// feed sends the items until ctx ends, and closes the channel.
func feed[T any](ctx context.Context, to chan<- T, items []T) {
	defer close(to)
	for _, item := range items {
		select {
		case to <- item:
		case <-ctx.Done():
			return
		}
	}
}
