package rbd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"

	"github.com/ceph/go-ceph/rbd"
	"golang.org/x/sync/errgroup"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

var _ driver.Comparer = (*Driver)(nil)

// CompareCopy reads both sides wherever one of them has data. It does not ask what has
// changed from snapshot to snapshot, which is what the copy has gone by.
func (d *Driver) CompareCopy(ctx context.Context, v volume.Ref, keep []string, to driver.Driver, name string, progress driver.Progress) (err error) {
	defer fault.Wrap(&err, "compare %s with %s", v.Name, name)
	dest, leave, err := d.enterBoth(ctx, to)
	if err != nil {
		return err
	}
	defer leave()
	src, err := d.openWhole(d.data, v, rbd.OpenImageReadOnly)
	if fault.KindOf(err) == fault.NotFound {
		_, err = d.copiedBefore(v, dest, name, err)
		return err
	}
	if err != nil {
		return err
	}
	defer src.discard()
	stages, err := src.stages(keep)
	if err != nil {
		return err
	}
	made, err := dest.open(dest.data, volume.Ref{Name: name}, rbd.OpenImageReadOnly)
	if err != nil {
		return err
	}
	defer made.discard()
	c := comparison{sides: []*image{src, made}, advance: advance{progress: progress, stages: stages}}
	for n, s := range stages {
		for offset := uint64(0); offset == 0 || offset < s.size; offset += copySpan {
			if err := c.compare(ctx, s, offset); err != nil {
				return err
			}
			c.advance.reach(n, min(offset+copySpan, s.size))
		}
	}
	return nil
}

// comparison is one CompareCopy at work.
type comparison struct {
	sides   []*image
	advance advance
}

// compare compares a window of a stage.
func (c *comparison) compare(ctx context.Context, s stage, offset uint64) error {
	var chunks []uint64
	for _, side := range c.sides {
		if err := side.SetSnapshot(s.snapshot); err != nil {
			return classify(err, "read the snapshot "+s.snapshot)
		}
		if size, err := side.GetSize(); err != nil || size != s.size {
			return orElse(classify(err, "read the size"), fault.New(fault.Internal, "the sizes differ at %q: %d and %d bytes", s.snapshot, s.size, size))
		}
		held, err := side.differing(ctx, "", offset, min(copySpan, s.size-offset))
		if err != nil {
			return err
		}
		for _, e := range held {
			for at := e.offset / chunkMost; at*chunkMost < e.offset+e.length; at++ {
				chunks = append(chunks, at)
			}
		}
	}
	slices.Sort(chunks)
	group, running := errgroup.WithContext(ctx)
	group.SetLimit(chunksAtOnce)
	for _, n := range slices.Compact(chunks) {
		if running.Err() != nil {
			break
		}
		group.Go(func() error {
			defer c.advance.sign()
			return c.compareChunk(s, n*chunkMost)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return uninterrupted(ctx)
}

// compareChunk compares a chunk.
func (c *comparison) compareChunk(s stage, offset uint64) error {
	length := min(chunkMost, s.size-offset)
	var data [2][]byte
	for i, side := range c.sides {
		data[i] = make([]byte, length)
		if _, err := side.ReadAt(data[i], int64(offset)); err != nil && !errors.Is(err, io.EOF) {
			return classify(err, "read")
		}
	}
	if !bytes.Equal(data[0], data[1]) {
		return fault.New(fault.Internal, "the copy differs at %q, in the %d bytes from %d on", s.snapshot, length, offset).
			WithHint("the volume stays where it is; look at the logs of the OSDs of both sides, then try again")
	}
	return nil
}
