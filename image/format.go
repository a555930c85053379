package image

import (
	"bytes"
	"slices"

	"github.com/volumed/volumed/fault"
)

// Format is a format of disk images, in the words of qemu-img.
type Format string

// The formats that are taken. Raw is what a disk holds, as it is.
const (
	Raw   Format = "raw"
	QCOW2 Format = "qcow2"
	VMDK  Format = "vmdk"
	VHDX  Format = "vhdx"
	VPC   Format = "vpc" // VHD
	VDI   Format = "vdi"
)

// Formats are all of them.
var Formats = []Format{Raw, QCOW2, VMDK, VHDX, VPC, VDI}

// magics are what files of a format have at an offset. A format that is not taken is
// in the table all the same: what is of it must not pass for raw.
var magics = []struct {
	format Format
	offset int
	magic  string
}{
	{QCOW2, 0, "QFI\xfb"},
	{VMDK, 0, "KDMV"},
	{VMDK, 0, "COWD"},
	{VMDK, 0, "# Disk DescriptorFile"},
	{VHDX, 0, "vhdxfile"},
	{VPC, 0, "conectix"},
	{VDI, 64, "\x7f\x10\xda\xbe"},
	{"qed", 0, "QED\x00"},
	{"parallels", 0, "WithoutFreeSpace"},
	{"parallels", 0, "WithouFreSpacExt"},
	{"bochs", 0, "Bochs Virtual HD Image"},
	{"cloop", 0, "#!/bin/sh\n#V2.0 Format\n"},
	{"luks", 0, "LUKS\xba\xbe"},
}

// compressed are the magics of what has to be unpacked before it is an image.
var compressed = []struct{ name, magic string }{
	{"gzip", "\x1f\x8b"}, {"xz", "\xfd7zXZ\x00"}, {"zstd", "\x28\xb5\x2f\xfd"}, {"bzip2", "BZh"}, {"zip", "PK\x03\x04"},
}

// headLength is how much of the front Detect has to see.
const headLength = 4096

// CheckFormat refuses, with the kind Invalid, a format that is not taken. Empty is:
// it is found out.
func CheckFormat(f Format) error {
	if f == "" || slices.Contains(Formats, f) {
		return nil
	}
	return fault.New(fault.Invalid, "format %q is not one of %v", string(f), Formats).WithField("image.format")
}

// Detect returns the format of the image that begins with head, its first 4096 bytes
// or all of it, and refuses what does not agree with the declared format, which may
// be empty. A fixed VHD looks like raw from its front, so it is taken for VPC only if
// declared. Kinds: Invalid, Unsupported.
func Detect(head []byte, declared Format) (Format, error) {
	if err := CheckFormat(declared); err != nil {
		return "", err
	}
	found := Raw
	for _, m := range magics {
		if len(head) >= m.offset && bytes.HasPrefix(head[m.offset:], []byte(m.magic)) {
			found = m.format
			break
		}
	}
	switch {
	case !slices.Contains(Formats, found):
		return "", fault.New(fault.Unsupported, "the image is of the format %s, which is not taken", found).
			WithField("image.format").WithHint("convert it to one of %v", Formats)
	case found == Raw && declared == VPC:
		return VPC, nil
	case declared != "" && declared != found:
		return "", fault.New(fault.Invalid, "the image is of the format %s, not %s", found, declared).WithField("image.format")
	case found == Raw && declared == "":
		return found, packed(head)
	}
	return found, nil
}

// packed refuses what nobody means as the content of a disk.
func packed(head []byte) error {
	for _, c := range compressed {
		if bytes.HasPrefix(head, []byte(c.magic)) {
			return fault.New(fault.Unsupported, "the image is packed by %s", c.name).
				WithField("image.url").WithHint("unpack it first; if it is what the disk shall hold, say format raw")
		}
	}
	return nil
}
