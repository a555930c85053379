package mem

import (
	"bytes"
	"context"
	"io"
	"maps"
	"slices"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

var (
	_ driver.Writer = (*Driver)(nil)
	_ driver.Reader = (*Driver)(nil)
)

// chunkSize is how much of an image is kept in one piece; pieces of zeros are not kept.
const chunkSize = 1 << 20

// WriteVolume keeps what is not zero.
func (d *Driver) WriteVolume(ctx context.Context, v volume.Ref, data io.Reader, size int64, progress driver.Progress) (err error) {
	defer fault.Wrap(&err, "write to %s", v.Name)
	room := int64(0)
	if err := d.onImage(ctx, v, func(img *image) { room, img.data = img.size*volume.GiB, nil }); err != nil {
		return err
	}
	if size < 0 || size > room {
		return fault.New(fault.Invalid, "there are %d bytes to be written, the volume has %d", size, room).WithField("size")
	}
	for offset := int64(0); offset < size; offset += chunkSize {
		buf := make([]byte, min(chunkSize, size-offset))
		if _, err := io.ReadFull(data, buf); err != nil {
			return driver.ShortData(err)
		}
		if err := d.onImage(ctx, v, func(img *image) { img.put(offset, buf) }); err != nil {
			return err
		}
		if progress != nil {
			progress(int(offset * 100 / size))
		}
	}
	return driver.EndOfData(data)
}

// ClearVolume forgets everything.
func (d *Driver) ClearVolume(ctx context.Context, v volume.Ref, _ driver.Progress) (err error) {
	defer fault.Wrap(&err, "clear %s", v.Name)
	return d.onImage(ctx, v, func(img *image) { img.data = nil })
}

// onImage changes an image.
func (d *Driver) onImage(ctx context.Context, v volume.Ref, change func(*image)) error {
	w, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer w.mu.Unlock()
	img, err := w.find(v)
	if err == nil {
		change(img)
	}
	return err
}

// put keeps a piece. Maps of data are shared with snapshots, and never changed.
func (i *image) put(offset int64, piece []byte) {
	if bytes.Count(piece, []byte{0}) == len(piece) {
		return
	}
	data := maps.Clone(i.data)
	if data == nil {
		data = map[int64][]byte{}
	}
	data[offset], i.data = piece, data
}

// ReadSnapshot reads what the image held.
func (d *Driver) ReadSnapshot(ctx context.Context, s volume.SnapshotRef, progress driver.Progress, each func(int64, []byte) error) (err error) {
	defer fault.Wrap(&err, "read %s", s)
	if err := driver.CheckName(s.Name); err != nil {
		return err
	}
	var snap *snapshot
	if err := d.onImage(ctx, s.Volume, func(img *image) { snap = img.snapshots[s.Name] }); err != nil {
		return err
	}
	if snap == nil {
		return fault.New(fault.NotFound, "no such snapshot")
	}
	for _, offset := range slices.Sorted(maps.Keys(snap.data)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := each(offset, snap.data[offset]); err != nil {
			return err
		}
	}
	if progress != nil {
		progress(100)
	}
	return nil
}
