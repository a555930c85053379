package image

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"
	"strings"
)

const (
	vmdkHeader     = 79
	vmdkAtEnd      = math.MaxUint64 // the grain directory is where the footer says
	vmdkDescriptor = 20             // sectors that a descriptor has at most
	vmdkMostGrains = 1 << 23        // sectors in a grain, at most
)

// vmdk takes images of one sparse file that has its descriptor within: hosted sparse
// and stream-optimized ones. All others name files.
func (p *prober) vmdk() (int64, error) {
	head, err := p.at(0, sector)
	if err != nil {
		return 0, err
	}
	if string(head[:4]) != "KDMV" {
		return 0, dependent("it is a descriptor or an extent of several files")
	}
	capacity, err := vmdkCapacity(head)
	if err != nil {
		return 0, err
	}
	if binary.LittleEndian.Uint64(head[56:]) == vmdkAtEnd {
		if err := p.vmdkFooter(capacity); err != nil {
			return 0, err
		}
	}
	offset, length := binary.LittleEndian.Uint64(head[28:]), binary.LittleEndian.Uint64(head[36:])
	if offset == 0 || length == 0 {
		return 0, dependent("it has no descriptor")
	}
	if offset > maxVirtual/sector || length > 1<<20/sector {
		return 0, damaged("its descriptor has %d sectors at %d", length, offset)
	}
	text, err := p.at(int64(offset)*sector, int(min(length, vmdkDescriptor)*sector))
	if err != nil {
		return 0, err
	}
	if err := checkDescriptor(text, capacity); err != nil {
		return 0, err
	}
	return int64(capacity) * sector, nil
}

// vmdkCapacity checks a header and returns its capacity in sectors. With none qemu
// would look for extents in other files.
func vmdkCapacity(head []byte) (uint64, error) {
	le := binary.LittleEndian
	version, capacity, grain := le.Uint32(head[4:]), le.Uint64(head[12:]), le.Uint64(head[20:])
	switch {
	case version < 1 || version > 3:
		return 0, damaged("it is VMDK of version %d", version)
	case capacity == 0:
		return 0, dependent("it has no capacity of its own")
	case capacity > maxVirtual/sector:
		return 0, damaged("it claims %d sectors for its guest", capacity)
	case grain == 0 || grain > vmdkMostGrains || grain&(grain-1) != 0:
		return 0, damaged("it has grains of %d sectors", grain)
	}
	return capacity, nil
}

// vmdkFooter checks that the header at the end, which counts, says the same as the one
// at the front.
func (p *prober) vmdkFooter(capacity uint64) error {
	foot, err := p.at(p.size-2*sector, sector)
	if err != nil {
		return err
	}
	if string(foot[:4]) != "KDMV" {
		return damaged("it has no footer")
	}
	again, err := vmdkCapacity(foot)
	if err != nil {
		return err
	}
	if again != capacity {
		return damaged("its header claims %d sectors, its footer %d", capacity, again)
	}
	return nil
}

// checkDescriptor refuses a descriptor that is not that of a single file.
func checkDescriptor(text []byte, capacity uint64) error {
	if end := bytes.IndexByte(text, 0); end >= 0 {
		text = text[:end]
	}
	extents, kind := 0, ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		key, value, assigned := strings.Cut(line, "=")
		key, value = strings.ToLower(strings.TrimSpace(key)), strings.Trim(strings.TrimSpace(value), `"`)
		switch {
		case assigned && key == "createtype":
			kind = value
		case assigned && key == "parentcid" && strings.ToLower(value) != "ffffffff":
			return dependent("it has a parent")
		case assigned && key == "parentfilenamehint":
			return dependent("it has a parent")
		case isExtent(line):
			extents++
			if err := checkExtent(line, capacity); err != nil {
				return err
			}
		}
	}
	if kind != "monolithicSparse" && kind != "streamOptimized" {
		return dependent("it is VMDK of the type " + strconv.Quote(kind))
	}
	if extents != 1 {
		return dependent("it has " + strconv.Itoa(extents) + " extents")
	}
	return nil
}

func isExtent(line string) bool {
	access, _, _ := strings.Cut(line, " ")
	switch strings.ToUpper(access) {
	case "RW", "RDONLY", "NOACCESS":
		return true
	default:
		return false
	}
}

// checkExtent refuses an extent that is not the sparse file itself.
func checkExtent(line string, capacity uint64) error {
	f := strings.Fields(line)
	if len(f) < 4 || strings.ToUpper(f[2]) != "SPARSE" {
		return dependent("it has an extent of its own kind")
	}
	if n, err := strconv.ParseUint(f[1], 10, 64); err != nil || n != capacity {
		return damaged("its extent has %s sectors, its header claims %d", strconv.Quote(f[1]), capacity)
	}
	return nil
}
