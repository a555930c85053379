package image

import "encoding/binary"

const (
	vhdFixed   = 2
	vhdDynamic = 3
	vhdParent  = 4
)

// vpc reads the footer, of which dynamic images have a copy at the front.
func (p *prober) vpc() (int64, error) {
	foot, err := p.at(0, sector)
	if err != nil {
		return 0, err
	}
	dynamic := string(foot[:8]) == "conectix"
	if !dynamic {
		if foot, err = p.at(p.size-sector, sector); err != nil {
			return 0, err
		}
		if string(foot[:8]) != "conectix" {
			return 0, damaged("it has no footer of a VHD")
		}
	}
	virtual, err := signed(binary.BigEndian.Uint64(foot[48:]))
	if err != nil {
		return 0, err
	}
	switch kind := binary.BigEndian.Uint32(foot[60:]); {
	case kind == vhdParent:
		return 0, dependent("it has a parent")
	case kind == vhdFixed && !dynamic:
		if virtual > p.size-sector {
			return 0, damaged("it claims %d bytes for its guest, and has %d", virtual, p.size-sector)
		}
		return virtual, nil
	case kind == vhdDynamic && dynamic:
		return virtual, nil
	default:
		return 0, damaged("it is a VHD of the type %d", kind)
	}
}

const (
	vdiDynamic = 1
	vdiStatic  = 2
)

// vdi reads the header of VirtualBox's format.
func (p *prober) vdi() (int64, error) {
	head, err := p.at(0, sector)
	if err != nil {
		return 0, err
	}
	if version := binary.LittleEndian.Uint32(head[68:]); version != 1<<16|1 {
		return 0, damaged("it is VDI of version %d.%d", version>>16, version&0xffff)
	}
	switch kind := binary.LittleEndian.Uint32(head[76:]); kind {
	case vdiDynamic, vdiStatic:
	default:
		return 0, dependent("it is a VDI that is the difference to another")
	}
	return signed(binary.LittleEndian.Uint64(head[368:]))
}
