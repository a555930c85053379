package rbd

import (
	"bytes"
	"context"

	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

var (
	_ driver.Reader   = (*Driver)(nil)
	_ driver.Exporter = (*Driver)(nil)
)

// readsAhead is how many chunks are read before they are asked for.
const readsAhead = 8

// ReadSnapshot reads chunks as large as objects, several ahead.
func (d *Driver) ReadSnapshot(ctx context.Context, s volume.SnapshotRef, progress driver.Progress, each func(int64, []byte) error) (err error) {
	defer fault.Wrap(&err, "read %s", s)
	leave, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := driver.CheckName(s.Name); err != nil {
		return err
	}
	if err := d.control.read(); err != nil {
		return err
	}
	img, err := d.openWhole(d.data, s.Volume, rbd.OpenImageReadOnly)
	if err != nil {
		return err
	}
	defer img.discard()
	if err := img.SetSnapshot(s.Name); err != nil {
		return classify(err, "read the snapshot")
	}
	held, size, err := img.extents(rbd.DisableWholeObject)
	if err != nil {
		return err
	}
	return img.readAll(ctx, held, percentOf(int64(size), progress), each)
}

// chunk is a part of an image that is being read.
type chunk struct {
	offset int64
	data   []byte
	err    error
	read   chan struct{} // closed when it is
}

// readAll reads the extents in order. When it returns nothing is on its way any more.
func (i *image) readAll(ctx context.Context, held []extent, progress func(int64), each func(int64, []byte) error) (err error) {
	pieces := split(held)
	var ahead []*chunk
	defer func() {
		for _, c := range ahead {
			<-c.read
		}
	}()
	var spare [][]byte
	for len(pieces) > 0 || len(ahead) > 0 {
		for ; len(pieces) > 0 && len(ahead) < readsAhead; pieces = pieces[1:] {
			var buf []byte
			if last := len(spare) - 1; last >= 0 {
				buf, spare = spare[last], spare[:last]
			} else {
				buf = make([]byte, chunkMost)
			}
			ahead = append(ahead, i.readAhead(pieces[0], buf))
		}
		c := ahead[0]
		<-c.read
		ahead = ahead[1:]
		if err := interrupted(ctx); err != nil {
			return err
		}
		if c.err != nil {
			return c.err
		}
		if !bytes.Equal(c.data, zeros[:len(c.data)]) {
			if err := each(c.offset, c.data); err != nil {
				return err
			}
		}
		progress(c.offset + int64(len(c.data)))
		spare = append(spare, c.data[:cap(c.data)])
	}
	return nil
}

// split cuts extents at multiples of the chunk.
func split(held []extent) (pieces []extent) {
	for _, e := range held {
		for end := e.offset + e.length; e.offset < end; {
			n := min(end-e.offset, chunkMost-e.offset%chunkMost)
			pieces = append(pieces, extent{e.offset, n})
			e.offset += n
		}
	}
	return pieces
}

func (i *image) readAhead(e extent, buf []byte) *chunk {
	c := &chunk{offset: int64(e.offset), data: buf[:e.length], read: make(chan struct{})}
	go func() {
		defer close(c.read)
		_, err := i.ReadAt(c.data, c.offset)
		c.err = classify(err, "read")
	}()
	return c
}

// BlockNode returns what qemu's driver rbd takes.
func (d *Driver) BlockNode(v volume.Ref, snapshot string) map[string]string {
	node := map[string]string{"driver": "rbd", "pool": d.cfg.Pool, "image": v.Name, "conf": d.cfg.ConfFile, "user": d.cfg.User}
	if d.cfg.ConfFile == "" {
		node["conf"] = "/etc/ceph/" + d.cfg.Cluster + ".conf"
	}
	if d.cfg.User == "" {
		node["user"] = "admin"
	}
	if snapshot != "" {
		node["snapshot"] = snapshot
	}
	return node
}
