package rbd

import (
	"bytes"
	"context"
	"io"
	"sync"

	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/internal/crashpoint"
	"github.com/volumed/volumed/volume"
)

var _ driver.Writer = (*Driver)(nil)

const (
	// chunkMost is the most that is written at once, in bytes; objects that are
	// smaller are written whole.
	chunkMost = 4 << 20
	// writesAtOnce is how many chunks of one volume are on their way.
	writesAtOnce = 8
	// blockSize is the grain in which the edges of a chunk are looked at for zeros.
	blockSize = 4 << 10
	// discardMost is how much is given back by one call, in bytes.
	discardMost = 1 << 30
)

// zeros is what a chunk is compared with.
var zeros [chunkMost]byte

// WriteVolume writes chunks as large as objects, several at once.
func (d *Driver) WriteVolume(ctx context.Context, v volume.Ref, data io.Reader, size int64, progress driver.Progress) (err error) {
	defer fault.Wrap(&err, "write to %s", v.Name)
	img, leave, err := d.openToFill(ctx, v)
	if err != nil {
		return err
	}
	defer leave()
	defer img.close(&err)
	info, err := img.Stat()
	if err != nil {
		return classify(err, "read the size")
	}
	if size < 0 || uint64(size) > info.Size {
		return fault.New(fault.Invalid, "there are %d bytes to be written, the volume has %d", size, info.Size).WithField("size")
	}
	if err := img.clear(ctx, nil); err != nil {
		return err
	}
	f := &filler{img: img, chunk: min(chunkMost, int(info.Obj_size)), progress: percentOf(size, progress)}
	if err := f.fill(ctx, data, size); err != nil {
		return err
	}
	return classify(img.Flush(), "flush")
}

// ClearVolume discards what there is.
func (d *Driver) ClearVolume(ctx context.Context, v volume.Ref, progress driver.Progress) (err error) {
	defer fault.Wrap(&err, "clear %s", v.Name)
	img, leave, err := d.openToFill(ctx, v)
	if err != nil {
		return err
	}
	defer leave()
	defer img.close(&err)
	return img.clear(ctx, progress)
}

// openToFill opens an image for data. The caller calls leave after it has closed it.
func (d *Driver) openToFill(ctx context.Context, v volume.Ref) (_ *image, leave func(), err error) {
	leave, err = d.enter(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err = driver.CheckName(v.Name); err == nil {
		err = d.control.read() // over the data connection it would hang
	}
	var img *image
	if err == nil {
		img, err = d.openWhole(d.data, v, rbd.OpenImage)
	}
	if err != nil {
		leave()
		return nil, nil, err
	}
	return img, leave, nil
}

// extent is a part of an image.
type extent struct{ offset, length uint64 }

// extents returns the parts of the image that hold something, of its parent as well.
func (i *image) extents(whole rbd.DiffWholeObject) (found []extent, size uint64, err error) {
	if size, err = i.GetSize(); err != nil {
		return nil, 0, classify(err, "read the size")
	}
	err = i.DiffIterate(rbd.DiffIterateConfig{
		Length: size, IncludeParent: rbd.IncludeParent, WholeObject: whole,
		Callback: func(offset, length uint64, exists int, _ any) int {
			if exists == 0 {
				return 0
			}
			if last := len(found) - 1; last >= 0 && found[last].offset+found[last].length == offset {
				found[last].length += length
			} else {
				found = append(found, extent{offset, length})
			}
			return 0
		},
	})
	return found, size, classify(err, "look for data")
}

// clear discards whatever the image holds.
func (i *image) clear(ctx context.Context, progress driver.Progress) error {
	held, size, err := i.extents(rbd.EnableWholeObject)
	if err != nil {
		return err
	}
	tell := percentOf(int64(size), progress)
	for _, e := range held {
		for end := e.offset + e.length; e.offset < end; {
			if err := interrupted(ctx); err != nil {
				return err
			}
			n := min(discardMost, end-e.offset)
			err := crashpoint.Around(ctx, "rbd.discard", func() error {
				_, err := i.Discard(e.offset, n)
				return err
			})
			if err != nil {
				return classify(err, "discard")
			}
			e.offset += n
			tell(int64(e.offset))
		}
	}
	return nil
}

// interrupted is the error of a ctx that is over.
func interrupted(ctx context.Context) error {
	if cause := ctx.Err(); cause != nil {
		return fault.New(fault.KindOf(cause), "interrupted: %w", cause)
	}
	return nil
}

// percentOf makes a progress in bytes of one in percent. It is called on one goroutine.
func percentOf(total int64, progress driver.Progress) func(bytes int64) {
	return func(bytes int64) {
		if progress != nil && total > 0 {
			progress(int(min(bytes*100/total, 100)))
		}
	}
}

// filler writes data into an image.
type filler struct {
	img      *image
	chunk    int
	progress func(bytes int64)

	mu     sync.Mutex
	failed error // the first that did
}

// fill writes size bytes. When it returns nothing is on its way any more.
func (f *filler) fill(ctx context.Context, data io.Reader, size int64) (err error) {
	free := make(chan []byte, writesAtOnce)
	for range writesAtOnce {
		free <- nil // made when it is needed
	}
	defer func() {
		for range writesAtOnce {
			<-free
		}
		if err == nil {
			err = f.failure()
		}
	}()
	for offset := int64(0); offset < size; {
		if err := interrupted(ctx); err != nil {
			return err
		}
		buf := <-free
		if err := f.failure(); err != nil {
			free <- buf
			return err
		}
		if buf == nil {
			buf = make([]byte, f.chunk)
		}
		n, err := io.ReadFull(data, buf[:min(int64(f.chunk), size-offset)])
		if err != nil {
			free <- buf
			return driver.ShortData(err)
		}
		f.write(ctx, free, buf, n, offset)
		offset += int64(n)
		f.progress(offset)
	}
	return driver.EndOfData(data)
}

// write writes n bytes of buf in the background and gives buf back, unless they are zero.
func (f *filler) write(ctx context.Context, free chan<- []byte, buf []byte, n int, offset int64) {
	from, to := trim(buf[:n])
	if from == to {
		free <- buf
		return
	}
	go func() {
		defer func() { free <- buf }()
		err := crashpoint.Around(ctx, "rbd.write", func() error {
			_, err := f.img.WriteAt(buf[from:to], offset+int64(from))
			return err
		})
		if err != nil {
			f.fail(classify(err, "write"))
		}
	}()
}

// trim returns where in p the blocks begin and end that are not zero.
func trim(p []byte) (from, to int) {
	if bytes.Equal(p, zeros[:len(p)]) {
		return 0, 0
	}
	for to = len(p); from+blockSize <= to && bytes.Equal(p[from:from+blockSize], zeros[:blockSize]); {
		from += blockSize
	}
	for to-blockSize >= from && bytes.Equal(p[to-blockSize:to], zeros[:blockSize]) {
		to -= blockSize
	}
	return from, to
}

func (f *filler) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed == nil {
		f.failed = err
	}
}

func (f *filler) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}
