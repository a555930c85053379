package image

import (
	"errors"
	"io"

	"github.com/volumed/volumed/fault"
)

// sector is the unit in which several formats count.
const sector = 512

// Probe returns the size in bytes that a guest sees of the image of the given size
// and format. It reads headers only, and refuses what is damaged as far as they
// tell, what needs further files, and what is encrypted. Kinds: Invalid,
// Unsupported; those of r.
func Probe(r io.ReaderAt, size int64, format Format) (virtual int64, err error) {
	p := &prober{r: r, size: size}
	switch format {
	case Raw:
		return size, nil
	case QCOW2:
		virtual, err = p.qcow2()
	case VMDK:
		virtual, err = p.vmdk()
	case VHDX:
		virtual, err = p.vhdx()
	case VPC:
		virtual, err = p.vpc()
	case VDI:
		virtual, err = p.vdi()
	default:
		return 0, CheckFormat(format)
	}
	if err != nil {
		return 0, err
	}
	if virtual <= 0 || virtual > maxVirtual {
		return 0, damaged("it claims %d bytes for its guest", virtual)
	}
	return virtual, nil
}

// maxVirtual is the largest size of a guest's disk that is believed.
const maxVirtual = 1 << 62

// prober reads parts of an image.
type prober struct {
	r    io.ReaderAt
	size int64
}

// at returns n bytes from the offset on. What lies outside of the file is damage.
func (p *prober) at(offset int64, n int) ([]byte, error) {
	if !p.holds(offset, int64(n)) {
		return nil, damaged("it ends at %d, within its headers", p.size)
	}
	buf := make([]byte, n)
	_, err := p.r.ReadAt(buf, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fault.New(fault.Internal, "read the image: %w", err)
	}
	return buf, nil
}

// holds reports whether the file has n bytes at the offset.
func (p *prober) holds(offset, n int64) bool {
	return offset >= 0 && n >= 0 && offset <= p.size && n <= p.size-offset
}

// damaged is the error for an image whose headers cannot be true.
func damaged(format string, args ...any) error {
	return refused(fault.New(fault.Invalid, format, args...), "the image is damaged or cut off")
}

// dependent is the error for an image that is not whole without something else.
func dependent(what string) error {
	return refused(fault.New(fault.Invalid, "%s", what), "the image needs more than itself").
		WithHint("convert it to a single file without dependencies: qemu-img convert -O qcow2")
}

// encrypted is the error for an image that needs a key.
func encrypted() error {
	return refused(fault.New(fault.Unsupported, "its content is encrypted"), "the image needs a key")
}

// snapshots is the error for an image that holds more than one state of its disk: each
// costs qemu-img time and memory, and nobody would see any but the last.
func snapshots() error {
	return refused(fault.New(fault.Unsupported, "it has snapshots inside"), "the image is more than one disk").
		WithHint("convert it: qemu-img convert -O qcow2")
}

func refused(err *fault.Error, what string) *fault.Error {
	return fault.New(err.Kind, "%s: %s", what, err.Message).WithField("image.url")
}
