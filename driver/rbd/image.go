package rbd

import (
	"encoding/binary"
	"syscall"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/driver"
	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// image is an open image. It belongs to one call, which closes it: a handle that
// is left open for writing keeps the image from being deleted.
type image struct {
	*rbd.Image
	d  *Driver
	id string
}

// opener is one of librbd's ways to open an image, at its head.
type opener func(io *rados.IOContext, nameOrID, snapshot string) (*rbd.Image, error)

// open opens the image that v names. Kinds: NotFound; Conflict for an image of
// that name with another id; Invalid for a name that no image can have.
func (d *Driver) open(l *link, v volume.Ref, how opener) (*image, error) {
	if err := driver.CheckName(v.Name); err != nil {
		return nil, err
	}
	img, err := d.openAs(l, v.Name, how)
	if err != nil {
		return nil, err
	}
	if err := sameImage(v, img.id); err != nil {
		img.discard()
		return nil, err
	}
	return img, nil
}

// openAs opens an image by whatever the opener wants.
func (d *Driver) openAs(l *link, nameOrID string, how opener) (*image, error) {
	raw, err := how(l.io, nameOrID, rbd.NoSnapshot)
	if err != nil {
		return nil, classify(err, "open image")
	}
	d.handles.Add(1)
	img := &image{Image: raw, d: d}
	if img.id, err = raw.GetId(); err != nil {
		img.discard()
		return nil, classify(err, "read the image id")
	}
	return img, nil
}

// close closes the image. Its failure becomes the result of the call if that
// would have succeeded: what was written may not be there.
func (i *image) close(result *error) {
	i.d.handles.Add(-1)
	if err := i.Close(); err != nil && *result == nil {
		*result = classify(err, "close image")
	}
}

// discard closes an image that was only read: its failure changes no result.
func (i *image) discard() {
	var err error
	if i.close(&err); err != nil {
		i.d.log.Debug("image did not close", "image_id", i.id, "error", err)
	}
}

// sameImage refuses, with the kind Conflict, an image whose id is not that of v.
func sameImage(v volume.Ref, id string) error {
	if v.ImageID == "" || v.ImageID == id {
		return nil
	}
	return fault.New(fault.Conflict, "the image of that name has the id %s, not %s: it is another one and is left alone", id, v.ImageID)
}

// imageID returns the id of the image of that name, empty if there is none. It
// reads the object that librbd resolves names by, without opening the image,
// which costs as much as creating one.
func (l *link) imageID(name string) (string, error) {
	buf := make([]byte, 256)
	n, err := l.io.Read("rbd_id."+name, buf, 0)
	if errno(err) == syscall.ENOENT {
		return "", nil
	}
	if err != nil {
		return "", classify(err, "read the image id")
	}
	id, _, ok := cutString(buf[:n])
	if !ok {
		return "", fault.New(fault.Internal, "the object rbd_id.%s holds %d bytes that are no image id", name, n)
	}
	return id, nil
}

// cutString takes a string in Ceph's encoding from the front of b: its length,
// little endian in 32 bits, then its bytes.
func cutString(b []byte) (s string, rest []byte, ok bool) {
	if len(b) < 4 {
		return "", b, false
	}
	n := uint64(binary.LittleEndian.Uint32(b))
	if uint64(len(b)-4) < n {
		return "", b, false
	}
	return string(b[4 : 4+n]), b[4+n:], true
}

// appendString is the reverse of cutString.
func appendString(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(s))), s...)
}

// omapValue returns one value of an object's map, nil if the key or the object is
// not there.
func (l *link) omapValue(object, key string) ([]byte, error) {
	op := rados.CreateReadOp()
	defer op.Release()
	step := op.GetOmapValuesByKeys([]string{key})
	err := op.Operate(l.io, object, rados.OperationNoFlag)
	if errno(err) == syscall.ENOENT {
		return nil, nil
	}
	if err != nil {
		return nil, classify(err, "read "+object)
	}
	pair, err := step.Next()
	if err != nil {
		return nil, classify(err, "read "+object)
	}
	if pair == nil {
		return nil, nil
	}
	return pair.Value, nil
}
