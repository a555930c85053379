package rbd

import (
	"encoding/binary"
	"strings"
	"syscall"

	"github.com/ceph/go-ceph/rbd"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// An image's header is an object whose map holds all that an inventory wants to
// know. Opening the image tells the same, at ten times the price and with
// a look at its parents. The forms of the values are those of Ceph's class rbd; what
// has another form than those known here is read by opening the image.

// headerPage is how many values of a header are read at once; few images have more.
const headerPage = 512

// errForm marks a value whose form this version does not know.
var errForm = fault.New(fault.Unsupported, "the header has a form that this version does not know")

// header returns the values in the header of an image, nil for an image without one.
func (l *link) header(id string) (map[string][]byte, error) {
	values := map[string][]byte{}
	for after := ""; ; {
		n := 0
		err := l.io.ListOmapValues("rbd_header."+id, after, "", headerPage, func(key string, value []byte) {
			n, after = n+1, key
			values[key] = value
		})
		switch {
		case errno(err) == syscall.ENOENT:
			return nil, nil
		case err != nil:
			return nil, classify(err, "read the header")
		case n < headerPage:
			return values, nil
		}
	}
}

// decodeHeader fills in img from the values of its header. pool is the id of its
// pool.
func decodeHeader(img *volume.Image, values map[string][]byte, pool int64) error {
	size := &decoder{rest: values["size"]}
	img.Size = int64(size.uint64())
	if size.failed {
		return errForm
	}
	if value, ok := values["parent"]; ok {
		parent, err := decodeParent(value, pool)
		if err != nil {
			return err
		}
		img.Parent = parent
	}
	if err := decodeFeatures(img, values); err != nil {
		return err
	}
	img.Metadata = map[string]string{}
	var snapshots []volume.ImageSnapshot
	for key, value := range values {
		if name, ok := strings.CutPrefix(key, "metadata_"); ok {
			img.Metadata[name] = string(value)
		}
		if !strings.HasPrefix(key, "snapshot_") {
			continue
		}
		snapshot, err := decodeSnapshot(value)
		if err != nil {
			return err
		}
		if snapshot != nil {
			snapshots = append(snapshots, *snapshot)
		}
	}
	img.Snapshots = byID(snapshots)
	return nil
}

// opGroup is set among what librbd calls the operations of an image when the image is a
// member of a group.
const opGroup = 1 << 2

// decodeFeatures fills in what the features tell. An image that was never used for more
// than reading and writing has no operations.
func decodeFeatures(img *volume.Image, values map[string][]byte) error {
	features := &decoder{rest: values["features"]}
	img.Migrating = features.uint64()&rbd.FeatureMigrating != 0
	operations := &decoder{rest: values["op_features"]}
	if values["op_features"] != nil {
		img.Grouped = operations.uint64()&opGroup != 0
	}
	if features.failed || operations.failed {
		return errForm
	}
	return nil
}

// decodeParent decodes a parent; nil for one that the head has been flattened off,
// of which only snapshots still depend. Version 1 has no namespace, and an
// overlap of 0 for none.
func decodeParent(value []byte, pool int64) (*volume.ImageParent, error) {
	d, version := newDecoder(value, 2)
	of := int64(d.uint64())
	namespace := ""
	if version >= 2 {
		namespace = d.string()
	}
	parent := &volume.ImageParent{ImageID: d.string(), SnapshotID: d.uint64()}
	depends := of >= 0
	if version >= 2 {
		depends = depends && d.byte() != 0
	} else {
		depends = depends && d.uint64() != 0
	}
	switch {
	case d.failed:
		return nil, errForm
	case !depends:
		return nil, nil
	}
	parent.Pool = otherPool(of, pool, namespace)
	return parent, nil
}

// decodeSnapshot decodes a snapshot; nil for one that users do not see, such as one
// that was removed and has clones. Only the form that Ceph has had since Nautilus is
// known.
func decodeSnapshot(value []byte) (*volume.ImageSnapshot, error) {
	const since = 8
	d, version := newDecoder(value, since)
	s := &volume.ImageSnapshot{ID: d.uint64(), Name: d.string(), Size: int64(d.uint64())}
	if version < since || value[1] < since {
		return nil, errForm
	}
	s.Protected = d.byte() != 0 // also while it is being unprotected
	d.uint64()                  // flags
	namespace, _ := d.struct_()
	const ofUsers = 0
	kind := namespace.uint32()
	switch {
	case d.failed || namespace.failed:
		return nil, errForm
	case kind != ofUsers:
		return nil, nil
	}
	return s, nil
}

// decoder reads values in Ceph's encoding, little endian. What is asked of it beyond
// the end is zero, and failed is set.
type decoder struct {
	rest   []byte
	failed bool
}

// newDecoder begins with the head of a struct: its version, the oldest version that
// can read it, and its length. It fails for one that version known cannot read.
func newDecoder(value []byte, known byte) (*decoder, byte) {
	d := &decoder{rest: value}
	inner, version := d.struct_()
	if d.failed || value[1] > known {
		return &decoder{failed: true}, 0
	}
	return inner, version
}

func (d *decoder) take(n uint64) []byte {
	if d.failed || uint64(len(d.rest)) < n {
		d.failed = true
		return make([]byte, 8)
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) byte() byte     { return d.take(1)[0] }
func (d *decoder) uint32() uint32 { return binary.LittleEndian.Uint32(d.take(4)) }
func (d *decoder) uint64() uint64 { return binary.LittleEndian.Uint64(d.take(8)) }

func (d *decoder) string() string {
	b := d.take(uint64(d.uint32()))
	if d.failed {
		return ""
	}
	return string(b)
}

// struct_ takes a struct inside and returns a decoder of it, with its version.
func (d *decoder) struct_() (*decoder, byte) {
	version := d.byte()
	d.byte()
	b := d.take(uint64(d.uint32()))
	return &decoder{rest: b, failed: d.failed}, version
}
