package image

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/volumed/volumed/fault"
)

// made returns an image of 64 MiB as qemu-img makes it.
func made(t testing.TB, format Format, options ...string) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "image")
	args := append([]string{"create", "-q", "-f", string(format)}, options...)
	if out, err := exec.Command("qemu-img", append(args, file, "64M")...).CombinedOutput(); err != nil {
		t.Fatalf("qemu-img: %v, %s (apt-get install qemu-utils qemu-block-extra)", err, out)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// with returns the image with a value in the place of another.
func with(image []byte, offset int, value any, order binary.ByteOrder) []byte {
	changed := bytes.Clone(image)
	buf, err := binary.Append(nil, order, value)
	if err != nil {
		panic(err)
	}
	copy(changed[offset:], buf)
	return changed
}

func probed(image []byte, declared Format) (Format, int64, error) {
	format, err := Detect(image[:min(len(image), headLength)], declared)
	if err != nil {
		return "", 0, err
	}
	virtual, err := Probe(bytes.NewReader(image), int64(len(image)), format)
	return format, virtual, err
}

func TestProbeWhatQEMUMakes(t *testing.T) {
	for name, options := range map[string][]string{
		"qcow2":      nil,
		"qcow2/v2":   {"-o", "compat=0.10"},
		"qcow2/zstd": {"-o", "compression_type=zstd,cluster_size=2M"},
		"qcow2/ext":  {"-o", "extended_l2=on,cluster_size=128k"},
		"vmdk":       nil, "vmdk/stream": {"-o", "subformat=streamOptimized"},
		"vhdx": nil, "vhdx/fixed": {"-o", "subformat=fixed"},
		"vpc": {"-o", "force_size=on"}, "vpc/fixed": {"-o", "subformat=fixed,force_size=on"},
		"vdi": nil, "raw": nil,
	} {
		t.Run(name, func(t *testing.T) {
			kind, _, _ := strings.Cut(name, "/")
			image := made(t, Format(kind), options...)
			format, virtual, err := probed(image, Format(kind))
			wantKind(t, "", err)
			if format != Format(kind) || virtual != 64<<20 {
				t.Errorf("found %s of %d bytes", format, virtual)
			}
			if found, _, err := probed(image, ""); err == nil && found != format && name != "vpc/fixed" {
				t.Errorf("undeclared it is %s", found)
			}
			if kind != "raw" && name != "vpc/fixed" { // what is one thing is not another
				_, _, err := probed(image, Raw)
				wantKind(t, fault.Invalid, err)
			}
		})
	}
}

func TestProbeRefuses(t *testing.T) {
	be, le := binary.BigEndian, binary.LittleEndian
	qcow2, vmdk, vhdx, vpc, vdi := made(t, QCOW2), made(t, VMDK), made(t, VHDX), made(t, VPC), made(t, VDI)
	descriptor := func(old, now string) []byte {
		if len(old) != len(now) || !bytes.Contains(vmdk, []byte(old)) {
			t.Fatalf("%q cannot become %q", old, now)
		}
		return bytes.Replace(vmdk, []byte(old), []byte(now), 1)
	}
	for name, tt := range map[string]struct {
		image []byte
		kind  fault.Kind
		says  string
	}{
		"qcow2/backing":      {with(qcow2, 8, uint64(0x200), be), fault.Invalid, "backing file"},
		"qcow2/data_file":    {with(qcow2, 72, uint64(1<<2), be), fault.Invalid, "another file"},
		"qcow2/corrupt":      {with(qcow2, 72, uint64(1<<1), be), fault.Invalid, "corrupt"},
		"qcow2/unknown":      {with(qcow2, 72, uint64(1<<40), be), fault.Invalid, "unknown features"},
		"qcow2/encrypted":    {with(qcow2, 32, uint32(2), be), fault.Unsupported, "encrypted"},
		"qcow2/snapshots":    {with(qcow2, 60, uint32(1), be), fault.Unsupported, "snapshots"},
		"qcow2/version":      {with(qcow2, 4, uint32(9), be), fault.Invalid, "version 9"},
		"qcow2/clusters":     {with(qcow2, 20, uint32(63), be), fault.Invalid, "clusters"},
		"qcow2/bomb":         {with(qcow2, 24, uint64(1<<60), be), fault.Invalid, "claims"},
		"qcow2/negative":     {with(qcow2, 24, uint64(1<<63), be), fault.Invalid, "claims"},
		"qcow2/empty":        {with(qcow2, 24, uint64(0), be), fault.Invalid, "claims"},
		"qcow2/tables":       {with(qcow2, 40, uint64(1<<50), be), fault.Invalid, "outside"},
		"qcow2/many":         {with(qcow2, 36, uint32(1<<31), be), fault.Invalid, "outside"},
		"qcow2/header":       {with(qcow2, 100, uint32(13), be), fault.Invalid, "header"},
		"qcow2/ext_data":     {with(qcow2, int(be.Uint32(qcow2[100:])), uint32(qcowExtData), be), fault.Invalid, "names a file"},
		"qcow2/ext_backing":  {with(qcow2, int(be.Uint32(qcow2[100:])), uint32(qcowExtBacking), be), fault.Invalid, "backing"},
		"qcow2/ext_long":     {with(qcow2, int(be.Uint32(qcow2[100:]))+4, uint32(1<<31), be), fault.Invalid, "does not end"},
		"qcow2/cut":          {qcow2[:100], fault.Invalid, "ends at"},
		"qcow2/cut_tables":   {qcow2[:100<<10], fault.Invalid, "outside"},
		"qcow/1":             {with(qcow2, 4, uint32(1), be), fault.Invalid, "version 1"},
		"vmdk/no_capacity":   {with(vmdk, 12, uint64(0), le), fault.Invalid, "capacity"},
		"vmdk/bomb":          {with(vmdk, 12, uint64(1<<62), le), fault.Invalid, "claims"},
		"vmdk/grains":        {with(vmdk, 20, uint64(3), le), fault.Invalid, "grains"},
		"vmdk/version":       {with(vmdk, 4, uint32(7), le), fault.Invalid, "version"},
		"vmdk/footer":        {with(vmdk, 56, uint64(vmdkAtEnd), le), fault.Invalid, "footer"},
		"vmdk/no_descriptor": {with(vmdk, 28, uint64(0), le), fault.Invalid, "descriptor"},
		"vmdk/far":           {with(vmdk, 28, uint64(1<<52), le), fault.Invalid, "ends at"},
		"vmdk/parent":        {descriptor("parentCID=ffffffff", "parentCID=00000001"), fault.Invalid, "parent"},
		"vmdk/flat":          {descriptor(" SPARSE ", " FLAT   "), fault.Invalid, "extent"},
		"vmdk/type":          {descriptor("monolithicSparse", "monolithicFlat.."), fault.Invalid, "type"},
		"vmdk/extents":       {descriptor("ddb.virtualHWVersion", "RW 131072 SPARSE \"x\""), fault.Invalid, "extents"},
		"vmdk/text":          {[]byte("# Disk DescriptorFile\nversion=1\nRW 1 FLAT \"/etc/passwd\" 0\n" + strings.Repeat("#", 512)), fault.Invalid, "descriptor"},
		"vhdx/cut":           {vhdx[:1<<20], fault.Invalid, "ends at"},
		"vhdx/regions":       {with(vhdx, vhdxRegions+8, uint32(1<<20), le), fault.Invalid, "regions"},
		"vpc/parent":         {with(vpc, 60, uint32(vhdParent), be), fault.Invalid, "parent"},
		"vpc/type":           {with(vpc, 60, uint32(9), be), fault.Invalid, "type"},
		"vpc/bomb":           {with(vpc, 48, uint64(1<<63), be), fault.Invalid, "offset or a size"},
		"vdi/difference":     {with(vdi, 76, uint32(4), le), fault.Invalid, "difference"},
		"vdi/version":        {with(vdi, 68, uint32(3), le), fault.Invalid, "version"},
		"qed":                {[]byte("QED\x00" + strings.Repeat("\x00", 512)), fault.Unsupported, "qed"},
		"luks":               {[]byte("LUKS\xba\xbe\x00\x02" + strings.Repeat("\x00", 512)), fault.Unsupported, "luks"},
		"gzip":               {[]byte("\x1f\x8b\x08" + strings.Repeat("\x00", 512)), fault.Unsupported, "packed"},
	} {
		t.Run(name, func(t *testing.T) {
			format, virtual, err := probed(tt.image, "")
			wantKind(t, tt.kind, err)
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%s of %d: %v does not say %q", format, virtual, err, tt.says)
			}
		})
	}
}

// vhdxItemAt finds where the metadata of an image keep an item.
func vhdxItemAt(t *testing.T, image, guid []byte) int {
	t.Helper()
	start, _, err := (&prober{bytes.NewReader(image), int64(len(image))}).vhdxMetadata()
	wantKind(t, "", err)
	entry := bytes.Index(image[start:], guid)
	if entry < 0 {
		t.Fatal("no such item")
	}
	return int(start) + int(binary.LittleEndian.Uint32(image[int(start)+entry+16:]))
}

func TestProbeRefusesVHDX(t *testing.T) {
	vhdx := made(t, VHDX)
	for name, image := range map[string][]byte{
		"bomb":   with(vhdx, vhdxItemAt(t, vhdx, guidSize), uint64(1<<63), binary.LittleEndian),
		"empty":  with(vhdx, vhdxItemAt(t, vhdx, guidSize), uint64(0), binary.LittleEndian),
		"parent": with(vhdx, vhdxItemAt(t, vhdx, guidFile)+4, uint32(vhdxHasParent), binary.LittleEndian),
	} {
		if _, _, err := probed(image, ""); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever a file holds: no panic, no size that cannot be, no memory without bounds.
func FuzzProbe(f *testing.F) {
	f.Add(made(f, VHDX), []byte(nil), uint32(0)) // too large to be kept
	f.Fuzz(func(t *testing.T, front, back []byte, gap uint32) {
		image := &sparse{front: front, back: back, size: int64(len(front)) + int64(gap) + int64(len(back))}
		for _, declared := range append([]Format{""}, Formats...) {
			format, err := Detect(front[:min(len(front), headLength)], declared)
			if err != nil {
				continue
			}
			if virtual, err := Probe(image, image.size, format); err == nil && format != Raw && (virtual <= 0 || virtual > maxVirtual) {
				t.Errorf("%s of %d bytes", format, virtual)
			}
		}
	})
}

// sparse is a file with a hole in the middle.
type sparse struct {
	front, back []byte
	size        int64
}

// ReadAt implements io.ReaderAt.
func (s *sparse) ReadAt(p []byte, offset int64) (int, error) {
	clear(p)
	if offset < int64(len(s.front)) {
		copy(p, s.front[offset:])
	}
	if start := s.size - int64(len(s.back)); offset+int64(len(p)) > start {
		copy(p[max(0, start-offset):], s.back[max(0, offset-start):])
	}
	return len(p), nil
}
