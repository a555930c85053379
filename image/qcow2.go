package image

import (
	"encoding/binary"
	"math"
)

// Parts of a qcow2 header, by docs/interop/qcow2 of QEMU.
const (
	qcowHeader2        = 72
	qcowHeader3        = 104
	qcowDirty          = 1 << 0
	qcowCorrupt        = 1 << 1
	qcowExternal       = 1 << 2
	qcowCompression    = 1 << 3
	qcowExtended       = 1 << 4
	qcowUnderstood     = qcowDirty | qcowCompression | qcowExtended
	qcowExtBacking     = 0xe2792aca
	qcowExtData        = 0x44415441
	qcowExtEncryption  = 0x0537be77
	qcowMostExtensions = 64
)

func (p *prober) qcow2() (int64, error) {
	head, err := p.at(0, qcowHeader2)
	if err != nil {
		return 0, err
	}
	be := binary.BigEndian
	version, backing, bits := be.Uint32(head[4:]), be.Uint64(head[8:]), be.Uint32(head[20:])
	size, crypt := be.Uint64(head[24:]), be.Uint32(head[32:])
	switch {
	case version != 2 && version != 3:
		return 0, damaged("it is qcow2 of version %d", version)
	case backing != 0:
		return 0, dependent("it has a backing file")
	case crypt != 0:
		return 0, encrypted()
	case be.Uint32(head[60:]) != 0:
		return 0, snapshots()
	case bits < 9 || bits > 21:
		return 0, damaged("it has clusters of 2^%d bytes", bits)
	case size > math.MaxInt64:
		return 0, damaged("it claims %d bytes for its guest", size)
	}
	length := int64(qcowHeader2)
	if version == 3 {
		if length, err = p.qcow3(); err != nil {
			return 0, err
		}
	}
	if err := p.qcowTables(head, size, bits); err != nil {
		return 0, err
	}
	return int64(size), p.qcowExtensions(length, int64(1)<<bits)
}

// qcow3 looks at what version 3 adds, and returns the length of the header.
func (p *prober) qcow3() (int64, error) {
	head, err := p.at(0, qcowHeader3)
	if err != nil {
		return 0, err
	}
	features, length := binary.BigEndian.Uint64(head[72:]), binary.BigEndian.Uint32(head[100:])
	switch {
	case features&qcowExternal != 0:
		return 0, dependent("its data is in another file")
	case features&qcowCorrupt != 0:
		return 0, damaged("it is marked as corrupt")
	case features&^qcowUnderstood != 0:
		return 0, damaged("it has unknown features %#x", features)
	case length < qcowHeader3 || length%8 != 0 || length > 4096:
		return 0, damaged("its header has %d bytes", length)
	}
	return int64(length), nil
}

// qcowTables checks that the first tables fit the size, and lie within the file: a
// file that was cut off, or that claims more than it has tables for, shows here.
func (p *prober) qcowTables(head []byte, size uint64, bits uint32) error {
	be := binary.BigEndian
	entries, l1 := be.Uint32(head[36:]), be.Uint64(head[40:])
	refs, refClusters := be.Uint64(head[48:]), be.Uint32(head[56:])
	perEntry := uint64(1) << (2*bits - 3) // bytes of the guest; a table has a cluster of 8 bytes each
	if uint64(entries) < size/perEntry {  // with extended entries it needs twice as many
		return damaged("it claims %d bytes for its guest, and has tables for %d", size, uint64(entries)*perEntry)
	}
	if l1 > math.MaxInt64 || !p.holds(int64(l1), int64(entries)*8) {
		return damaged("its table of clusters lies outside of the file")
	}
	if refs > math.MaxInt64 || !p.holds(int64(refs), int64(refClusters)<<bits) {
		return damaged("its table of references lies outside of the file")
	}
	return nil
}

// qcowExtensions looks for what makes the image depend on something. They lie between
// the header and the end of the first cluster.
func (p *prober) qcowExtensions(offset, end int64) error {
	for range qcowMostExtensions {
		if offset > end-8 || !p.holds(offset, 8) {
			return nil
		}
		head, err := p.at(offset, 8)
		if err != nil {
			return err
		}
		kind, length := binary.BigEndian.Uint32(head), int64(binary.BigEndian.Uint32(head[4:]))
		switch kind {
		case 0:
			return nil
		case qcowExtBacking:
			return dependent("it names the format of a backing file")
		case qcowExtData:
			return dependent("it names a file with its data")
		case qcowExtEncryption:
			return encrypted()
		}
		if offset += 8 + (length+7)&^7; offset > end {
			return damaged("an extension of its header does not end")
		}
	}
	return damaged("its header has more than %d extensions", qcowMostExtensions)
}
