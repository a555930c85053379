package image

import (
	"bytes"
	"encoding/binary"
	"math"
)

// Parts of a VHDX file, by MS-VHDX. GUIDs are as they are on disk.
const (
	vhdxRegions      = 192 << 10 // the first region table; the second is its copy
	vhdxTable        = 64 << 10
	vhdxRegionEntry  = 32
	vhdxMostRegions  = 2047
	vhdxMetaEntry    = 32
	vhdxMostMetadata = 1023
	vhdxHasParent    = 1 << 1
)

var (
	guidMetadata = []byte{0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b, 0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e}
	guidFile     = []byte{0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d, 0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b}
	guidSize     = []byte{0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48, 0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8}
	guidParent   = []byte{0x2d, 0x5f, 0xd3, 0xa8, 0x0b, 0xb3, 0x4d, 0x45, 0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c}
)

func (p *prober) vhdx() (int64, error) {
	start, length, err := p.vhdxMetadata()
	if err != nil {
		return 0, err
	}
	table, err := p.at(start, vhdxTable)
	if err != nil {
		return 0, err
	}
	entries := binary.LittleEndian.Uint16(table[10:])
	if string(table[:8]) != "metadata" || entries > vhdxMostMetadata {
		return 0, damaged("it has no table of metadata")
	}
	var virtual int64
	for i := range int(entries) {
		entry := table[32+i*vhdxMetaEntry:][:vhdxMetaEntry]
		switch {
		case bytes.HasPrefix(entry, guidParent):
			return 0, dependent("it has a parent")
		case bytes.HasPrefix(entry, guidFile):
			item, err := p.vhdxItem(start, length, entry)
			if err != nil {
				return 0, err
			}
			if binary.LittleEndian.Uint32(item[4:])&vhdxHasParent != 0 {
				return 0, dependent("it has a parent")
			}
		case bytes.HasPrefix(entry, guidSize):
			item, err := p.vhdxItem(start, length, entry)
			if err != nil {
				return 0, err
			}
			if virtual, err = signed(binary.LittleEndian.Uint64(item)); err != nil {
				return 0, err
			}
		}
	}
	return virtual, nil
}

// vhdxMetadata finds the region of the metadata.
func (p *prober) vhdxMetadata() (start, length int64, err error) {
	table, err := p.at(vhdxRegions, vhdxTable)
	if err != nil {
		return 0, 0, err
	}
	entries := binary.LittleEndian.Uint32(table[8:])
	if string(table[:4]) != "regi" || entries > vhdxMostRegions {
		return 0, 0, damaged("it has no table of regions")
	}
	for i := range int(entries) {
		if entry := table[16+i*vhdxRegionEntry:][:vhdxRegionEntry]; bytes.HasPrefix(entry, guidMetadata) {
			start, err = signed(binary.LittleEndian.Uint64(entry[16:]))
			return start, int64(binary.LittleEndian.Uint32(entry[24:])), err
		}
	}
	return 0, 0, damaged("it has no region of metadata")
}

// vhdxItem returns the first 8 bytes of an item of the metadata.
func (p *prober) vhdxItem(start, length int64, entry []byte) ([]byte, error) {
	offset := int64(binary.LittleEndian.Uint32(entry[16:]))
	if offset < vhdxTable || offset > length-8 {
		return nil, damaged("its metadata lies outside of their region")
	}
	return p.at(start+offset, 8)
}

// signed refuses numbers that no offset or size in a file can have.
func signed(n uint64) (int64, error) {
	if n > math.MaxInt64/2 {
		return 0, damaged("it has %d for an offset or a size", n)
	}
	return int64(n), nil
}
