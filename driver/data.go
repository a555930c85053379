package driver

import (
	"context"
	"errors"
	"io"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// Writer is a backend whose volumes the service itself can fill. Both methods are
// interrupted by ctx between two calls to the backend, with the kind Cancelled; what
// the volume holds is then unknown. Kinds: those of every method; Exhausted.
type Writer interface {
	// WriteVolume makes the volume hold the size bytes that data gives, and zeros
	// behind them. Whatever it held before is given back first, and zeros are not
	// written, so that they take no space. An error of data is returned. Kinds:
	// Invalid for more than the volume has room for.
	WriteVolume(ctx context.Context, v volume.Ref, data io.Reader, size int64, progress Progress) error
	// ClearVolume makes the volume hold nothing but zeros, and gives their space back.
	ClearVolume(ctx context.Context, v volume.Ref, progress Progress) error
}

// ShortData returns the error of a Writer whose data gave err before their size was read.
func ShortData(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fault.New(fault.Invalid, "the data end too early: %w", err)
	}
	return err
}

// EndOfData has data of which all is read say that they have ended well: what checks them
// knows only then. It returns the error of a Writer whose data have not.
func EndOfData(data io.Reader) error {
	n, err := io.ReadFull(data, make([]byte, 1))
	switch {
	case n > 0:
		return fault.New(fault.Invalid, "the data do not end where they should")
	case errors.Is(err, io.EOF):
		return nil
	default:
		return err
	}
}

// Reader is a backend whose snapshots the service itself can read.
type Reader interface {
	// ReadSnapshot calls each with what the snapshot holds, in order, without most of
	// what is zero; data is each's only while it runs. An error of each ends it and is
	// returned. It is interrupted by ctx between two calls to the backend, with the
	// kind Cancelled. Kinds: those of every method; NotFound for the snapshot.
	ReadSnapshot(ctx context.Context, s volume.SnapshotRef, progress Progress, each func(offset int64, data []byte) error) error
}

// Exporter is a backend that qemu can open by itself.
type Exporter interface {
	// BlockNode returns the options of qemu's block driver for the volume, or for a
	// snapshot of it unless the name is empty. They hold no key.
	BlockNode(v volume.Ref, snapshot string) map[string]string
}

// ImageCloner is a backend that makes volumes of images which others keep on the same
// storage, without a copy.
type ImageCloner interface {
	// CloneImage makes a clone of the image at the URL and grows it to the size of the
	// spec. It may be repeated as CreateVolume. Kinds: Invalid for a URL that names no
	// image of this storage, or one larger than the size; NotFound; Exists.
	CloneImage(ctx context.Context, v volume.Spec, url string) (volume.Location, error)
}
