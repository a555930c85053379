package rbd

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/ceph/go-ceph/rbd"
	"golang.org/x/sync/errgroup"

	"github.com/volumed/volumed/fault"
)

const (
	// copySpan is how much of an image is looked through, copied and noted at once.
	copySpan = 1 << 30
	// chunksAtOnce is how many chunks are under way.
	chunksAtOnce = 8
)

// change is a part of an image that differs, and whether there is data.
type change struct {
	offset, length uint64
	data           bool
}

// copyWindow copies what differs from the snapshot before in a part of the source.
func (c *transfer) copyWindow(ctx context.Context, from string, offset, length uint64) error {
	changes, err := c.src.differing(ctx, from, offset, length)
	if err != nil {
		return err
	}
	group, running := errgroup.WithContext(ctx)
	group.SetLimit(chunksAtOnce)
	for _, e := range changes {
		for at, end := e.offset, e.offset+e.length; at < end; {
			next := min(end, at-at%chunkMost+chunkMost)
			part := change{at, next - at, e.data}
			if running.Err() != nil {
				break
			}
			group.Go(func() error {
				defer c.advance.sign()
				return c.copyPart(part, from == "")
			})
			at = next
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return uninterrupted(ctx)
}

// uninterrupted returns an error of the kind Cancelled once ctx is over.
func uninterrupted(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fault.New(fault.Cancelled, "interrupted; what was copied stays: %w", err)
	}
	return nil
}

// differing lists, in order, what differs from a snapshot of the image, or from an empty
// image.
func (i *image) differing(ctx context.Context, from string, offset, length uint64) (changes []change, err error) {
	if err := uninterrupted(ctx); err != nil {
		return nil, err
	}
	err = i.DiffIterate(rbd.DiffIterateConfig{
		SnapName: from, Offset: offset, Length: length, IncludeParent: rbd.IncludeParent, WholeObject: rbd.DisableWholeObject,
		Callback: func(offset, length uint64, exists int, _ any) int {
			changes = append(changes, change{offset, length, exists != 0})
			return 0
		},
	})
	return changes, classify(err, "find what differs")
}

// copyPart copies at most a chunk. fresh tells that the copy has nothing there yet.
func (c *transfer) copyPart(e change, fresh bool) error {
	data := zeros[:e.length]
	if e.data {
		data = make([]byte, e.length)
		if _, err := c.src.ReadAt(data, int64(e.offset)); err != nil && !errors.Is(err, io.EOF) {
			return classify(err, "read")
		}
	}
	if !bytes.Equal(data, zeros[:e.length]) {
		_, err := c.to.WriteAt(data, int64(e.offset))
		return classify(err, "write")
	}
	if fresh {
		return nil // a repeat has written the same, if anything
	}
	return c.clear(e)
}

// clear makes a part read as zeros. librbd skips what a discard has of an object, so
// only a whole one is discarded.
func (c *transfer) clear(e change) error {
	if size := uint64(1) << c.dest.cfg.order(); e.offset%size == 0 && e.length%size == 0 {
		_, err := c.to.Discard(e.offset, e.length)
		return classify(err, "discard")
	}
	_, err := c.to.WriteAt(zeros[:e.length], int64(e.offset))
	return classify(err, "write")
}
