package driver

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/volumed/volumed/fault"
)

// maxName is the longest name of an image or snapshot, in bytes. Longer ones fit
// on some clusters only, depending on the names of objects made from them.
const maxName = 200

// CheckName refuses, with the kind Invalid, a name that is not safe as the name
// of an image or a snapshot: empty, over 200 bytes, not UTF-8, holding '/' or
// '@' (which separate pool, image and snapshot wherever such names are written)
// or characters that do not print. A NUL would even name another image, since C
// ends the name there.
func CheckName(name string) error {
	switch {
	case name == "":
		return fault.New(fault.Invalid, "name is empty")
	case len(name) > maxName:
		return fault.New(fault.Invalid, "name of %d bytes is too long: use at most %d", len(name), maxName)
	case !utf8.ValidString(name):
		return fault.New(fault.Invalid, "name %q is not UTF-8", name)
	case strings.ContainsAny(name, "/@"):
		return fault.New(fault.Invalid, "name %q holds '/' or '@'", name)
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fault.New(fault.Invalid, "name %q holds characters that do not print", name)
	}
	return nil
}

// MaxSize is the largest size of a volume in GiB: its bytes fit in 63 bits.
// Backends may have a lower bound of their own.
const MaxSize = 1<<33 - 1

// CheckSize refuses, with the kind Invalid, a size in GiB that no volume can have.
func CheckSize(size int64) error {
	if size < 1 || size > MaxSize {
		return fault.New(fault.Invalid, "size is %d GiB: use 1 to %d", size, int64(MaxSize)).WithField("size")
	}
	return nil
}
